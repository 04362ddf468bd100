import { z } from 'zod';
import type { Repository } from '../../site/identity.ts';
import { Fault } from '../../site/problem.ts';
import type { GitHubApp, Octokit } from '../probot.ts';
import type { Answer } from './answer.ts';
import { GITHUB_WINDOWS, type RequestKind, type WriteKind } from './github-limit.ts';
import { drop, type Gone, type Learnt } from './gone.ts';
import { createLimits, limited } from './limits.ts';

/** What `octokit` throws for an answer of 400 and more, and for none at all. */
const refusal = z.object({
  status: z.number(),
  request: z.object({ url: z.string() }).catch({ url: '' }),
  response: z
    .object({
      headers: z.record(z.string(), z.unknown()).catch({}),
      data: z
        .object({ message: z.string().catch(''), documentation_url: z.string().catch('') })
        .catch({ message: '', documentation_url: '' }),
    })
    .optional(),
});
type Refusal = z.infer<typeof refusal>;

/** GitHub's advice for a limit that does not say how long. */
const PAUSE_MS = 60_000;

/** A redirect that was not followed. */
class Moved extends Error {}

function limitOf({ status, response }: Refusal): number | undefined {
  if (!response || (status !== 403 && status !== 429)) return undefined;
  const number = (name: string) => Number.parseInt(String(response.headers[name] ?? ''), 10);
  if (number('retry-after') >= 0) return Date.now() + number('retry-after') * 1000;
  if (number('x-ratelimit-remaining') === 0) return Math.max(number('x-ratelimit-reset') * 1000 || 0, Date.now() + 1000);
  return status === 429 || response.data.documentation_url.includes('rate-limit') ? Date.now() + PAUSE_MS : undefined;
}

/** Its refusals are JSON and have a message. */
const isGitHubs = ({ response }: Refusal): boolean => response !== undefined && response.data.message !== '';
const isMinting = ({ request }: Refusal): boolean => request.url.endsWith('/access_tokens');
const cut = (text: string): string => text.split('\n', 1)[0]?.slice(0, 200) ?? '';

function faultOf(seen: Refusal, cause: unknown): Fault {
  const until = limitOf(seen);
  if (until !== undefined) return limited(until, cause);
  if (!seen.response) return new Fault('forge-unreachable', { details: { cause: 'no answer from GitHub' }, cause });
  // A key that was changed, or GitHub's own trouble with signing in, is no verdict on what was asked.
  // Nor is an answer that is not GitHub's own: a proxy's page, or another server's.
  const isStrangers = (seen.status === 404 || isMinting(seen)) && !isGitHubs(seen);
  if (seen.status >= 500 || seen.status === 401 || isStrangers)
    return new Fault('forge-unreachable', { details: { cause: `GitHub answered ${seen.status}` }, cause });
  // A suspended installation gets a 403 where its token is minted, an uninstalled one a 404.
  if (seen.status === 404 || (seen.status === 403 && isMinting(seen))) return new Fault('access-gone', { cause });
  return new Fault('forge-refused', { details: { cause: `${seen.status} ${cut(seen.response.data.message)}` }, cause });
}

const refusalIn = (error: unknown): Refusal | undefined => refusal.safeParse(error instanceof Fault ? error.cause : error).data;

/** Whether the thing asked for is said not to be there; that a repository is gone takes GitHub's own word, which `locate` asks for. */
export const isMissing = (error: unknown): boolean => {
  const seen = refusalIn(error);
  return seen?.response !== undefined && !isMinting(seen) && (seen.status === 404 || seen.status === 410);
};

export type Named = { readonly owner: string; readonly repo: string };
type Replied<T> = { readonly status: number; readonly data: T; readonly headers: { readonly link?: string | undefined } };
type Ask<T> = (octokit: Octokit, named: Named) => Promise<Replied<T>>;
/** Asks for one page of 100. */
type AskPage<T> = (octokit: Octokit, at: Named & { readonly page: number; readonly per_page: number }) => Promise<Replied<T>>;

export interface Caller {
  /** Asks under the repository's name of today. Throws Faults only; `access-gone` when the repository is out of reach. */
  read<T>(repository: Repository, ask: Ask<T>): Promise<Answer<T>>;
  /** Every page of a list; `items` takes the list out of an answer. */
  readAll<T, I>(
    repository: Repository,
    list: { readonly ask: AskPage<T>; readonly items: (data: T) => readonly I[] },
  ): Promise<Answer<readonly I[]>>;
  /** The same for what changes something, within GitHub's limits on that kind. */
  write<T>(repository: Repository, kind: WriteKind, ask: Ask<T>): Promise<Answer<T>>;
  /** As GitHub names it now, asked for by its id; undefined when it is out of reach. */
  locate(repository: Pick<Repository, 'forge' | 'id' | 'access'> & { readonly name?: string }): Promise<Repository | undefined>;
  /** Any one request of the installation, within GitHub's limits on its kind, a read unless told; errors become Faults. */
  guarded<T>(access: string, run: (octokit: Octokit) => Promise<T>, kind?: RequestKind): Promise<T>;
  /** Names, and of a whole access its token, pause and limits. */
  forget(gone: Gone): void;
  /** Any request of the app itself, `/app/…`. */
  asApp<T>(run: (octokit: Octokit) => Promise<T>): Promise<T>;
}

/** Stands for the app itself among the installations, which GitHub counts from 1: its limits are its own. */
const APP = '0';

/** The way every request to GitHub goes: pauses kept, limits kept, renames followed by id, errors translated. */
export function createCaller(github: GitHubApp): Caller {
  const limits = createLimits(GITHUB_WINDOWS);
  /** Names learnt since, by id and the name that was told: an event may still carry the one of before. */
  const names = new Map<string, Learnt<string>>();
  const nameOf = ({ id, name }: Pick<Repository, 'id' | 'name'>): string => names.get(`${id} ${name}`)?.value ?? name;

  async function guarded<T>(access: string, run: (octokit: Octokit) => Promise<T>, kind: RequestKind = 'read'): Promise<T> {
    const installation = Number(access);
    if (!Number.isSafeInteger(installation) || installation <= 0) throw new Fault('access-gone');
    return paused(access, async () => {
      await limits.take(access, kind);
      return run(github.forInstallation(installation));
    });
  }

  async function paused<T>(access: string, run: () => Promise<T>): Promise<T> {
    limits.checkPause(access);
    try {
      return await run();
    } catch (error) {
      if (error instanceof Fault || error instanceof Moved) throw error;
      const seen = refusal.safeParse(error);
      if (!seen.success) throw error; // not from GitHub: a bug
      const until = limitOf(seen.data);
      if (until !== undefined) limits.pause(access, until);
      throw faultOf(seen.data, error);
    }
  }

  const split = (name: string): Named => {
    const [owner = '', repo = ''] = name.split('/');
    return { owner, repo };
  };

  async function locate(repository: Parameters<Caller['locate']>[0]): Promise<Repository | undefined> {
    const { forge, id, access } = repository;
    let last: unknown;
    let isGitHubsWord = false;
    const ask = async (path: string): Promise<string | undefined> => {
      try {
        const { data } = await guarded(access, (octokit) => octokit.request(`GET ${path}`));
        isGitHubsWord = true;
        const seen = z.object({ id: z.coerce.string(), full_name: z.string() }).safeParse(data);
        return seen.success && seen.data.id === id ? seen.data.full_name : undefined;
      } catch (error) {
        if (!isMissing(error)) throw error;
        last = error;
        const seen = refusalIn(error);
        isGitHubsWord ||= seen !== undefined && isGitHubs(seen);
        return undefined;
      }
    };
    const told = repository.name;
    const name = (await ask(`/repositories/${id}`)) ?? (told && (await ask(`/repos/${told}`)));
    if (!name && !isGitHubsWord) throw last;
    if (!name) return undefined;
    if (told) names.set(`${id} ${told}`, { of: { id, access }, value: name });
    return { forge, id, access, name };
  }

  async function once<T>(repository: Repository, ask: Ask<T>, kind: RequestKind): Promise<{ readonly kind: 'found' } & Replied<T>> {
    const name = nameOf(repository);
    const answer = await guarded(repository.access, (octokit) => ask(octokit, split(name)), kind);
    if (answer.status >= 300 && answer.status < 400) throw new Moved(name);
    return { kind: 'found', ...answer };
  }

  async function read<T>(
    repository: Repository,
    ask: Ask<T>,
    kind: RequestKind = 'read',
  ): Promise<({ readonly kind: 'found' } & Replied<T>) | { readonly kind: 'missing' }> {
    const asked = nameOf(repository);
    try {
      return await once(repository, ask, kind);
    } catch (error) {
      if (!(error instanceof Moved) && !isMissing(error)) throw error;
      // Not there under this name: renamed, out of reach, or only the thing itself is missing.
      const today = await locate(repository);
      if (!today) throw new Fault('access-gone', { cause: error });
      if (today.name === asked) return { kind: 'missing' };
    }
    try {
      return await once(repository, ask, kind);
    } catch (error) {
      if (isMissing(error)) return { kind: 'missing' };
      throw error;
    }
  }

  return {
    guarded,
    asApp: (run) => paused(APP, async () => run(await github.asApp())),
    locate,
    read: (repository, ask) => read(repository, ask),
    forget(gone) {
      drop(names, gone);
      if (gone.id !== 'all') return;
      limits.forget(gone.access);
      github.forget(Number(gone.access));
    },
    async readAll(repository, list) {
      const all = [];
      for (let page = 1; ; page += 1) {
        const answer = await read(repository, (octokit, named) => list.ask(octokit, { ...named, page, per_page: 100 }));
        if (answer.kind === 'missing') return answer;
        all.push(...list.items(answer.data));
        if (!/rel="next"/.test(answer.headers.link ?? '')) return { kind: 'found', data: all };
      }
    },
    write: (repository, kind, ask) => read(repository, ask, kind),
  };
}
