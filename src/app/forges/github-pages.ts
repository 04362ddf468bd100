import { z } from 'zod';
import type { Repository } from '../../site/identity.ts';
import type { Octokit } from '../probot.ts';
import { type Answer, strict } from './answer.ts';
import type { Caller, Named } from './github-call.ts';
import { drop, type Gone, type Learnt } from './gone.ts';

type Page<Item> = { readonly status: number; readonly headers: { readonly link?: string | undefined }; readonly data: readonly Item[] };
type Kept<Item> = { readonly etag: string; readonly page: Page<Item> };
type At = Named & { readonly page: number; readonly per_page: number; readonly headers: Readonly<Record<string, string>> };
type Reply = {
  readonly status: number;
  readonly headers: { readonly link?: string | undefined; readonly etag?: string | undefined };
  readonly data: unknown;
};

/** A page of a hundred pulls takes about 40 KB when cut down to what we read. */
const MAX_PAGES = 500;

const isUnchanged = (error: unknown): boolean => error instanceof Error && 'status' in error && error.status === 304;

/**
 * A list that is asked for again and again, each page with the tag of its last answer: one that did not change costs nothing of GitHub's
 * hourly quota.
 */
export function createPages<Item>(
  caller: Caller,
  list: { readonly item: z.ZodType<Item>; readonly ask: (octokit: Octokit, at: At) => Promise<Reply> },
) {
  const pages = new Map<string, Learnt<Kept<Item>>>();

  function keep(key: string, kept: Learnt<Kept<Item>>): void {
    const oldest = pages.size >= MAX_PAGES ? pages.keys().next().value : undefined;
    if (oldest !== undefined) pages.delete(oldest);
    pages.set(key, kept);
  }

  return {
    async all(repository: Repository): Promise<Answer<readonly Item[]>> {
      return caller.readAll<readonly Item[], Item>(repository, {
        items: (data) => data,
        ask: async (octokit, at) => {
          const key = `${repository.id} ${at.owner}/${at.repo} ${at.page}`;
          const kept = pages.get(key)?.value;
          try {
            const { status, headers, data } = await list.ask(octokit, { ...at, headers: kept ? { 'if-none-match': kept.etag } : {} });
            if (status >= 300) return { status, headers, data: [] }; // moved; the caller follows
            const page = { status, headers: { link: headers.link }, data: strict(z.array(list.item), data) };
            if (headers.etag) keep(key, { of: repository, value: { etag: headers.etag, page } });
            return page;
          } catch (error) {
            if (kept && isUnchanged(error)) return kept.page;
            throw error;
          }
        },
      });
    },
    forget: (gone: Gone): void => drop(pages, gone),
  };
}
