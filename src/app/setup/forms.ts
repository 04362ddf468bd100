import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import type { Logger } from 'pino';
import type { GitHubAddresses } from '../../config.ts';
import type { ForgeKind, Repository } from '../../site/identity.ts';
import type { Store } from '../../store/store.ts';
import { readBody } from '../body.ts';
import type { Codes } from './code.ts';
import type { Connections, Stored } from './connections.ts';
import { show } from './page.ts';
import { type CodeProblem, codePage, problemPage } from './pages.ts';
import type { Sealer } from './sealing.ts';
import type { Visit, Visits } from './visits.ts';

export type Env = { readonly Bindings: HttpBindings };
/** What the pages tell of this Mayfly. */
export type About = {
  readonly publicUrl: URL;
  readonly instance: string;
  readonly github: GitHubAddresses;
  /** The App of the environment, if any. */
  readonly appId: number | null;
  /** The GitLab of the environment, if any. */
  readonly gitlabUrl: string | null;
};
/** What is connected at the moment. */
export type ForgesNow = {
  reload(): Promise<void>;
  origin(kind: ForgeKind): 'environment' | 'stored' | undefined;
  stored(): Stored;
  /** Ends the sites of repositories that are about to be left, and says so there as far as that is possible. Never takes long. */
  farewell(gone: readonly Pick<Repository, 'forge' | 'id'>[]): Promise<void>;
  /** Ends all sites of the forge, and forgets it with its credentials. */
  disconnect(kind: ForgeKind): Promise<void>;
};
export type SetupParts = {
  readonly store: Pick<Store, 'tickets' | 'repositories' | 'hooks' | 'sites' | 'apply'>;
  readonly visits: Visits;
  readonly codes: Codes;
  readonly sealer: Sealer;
  readonly connections: Connections;
  readonly forges: ForgesNow;
  readonly about: About;
  readonly log: Logger;
};
/** The fields of a form that was sent from one of our pages, in this browser. */
export type Posted = { readonly visit: Visit; readonly fields: URLSearchParams };

const FORM_LIMITS = { maxBytes: 256 * 1024, withinMs: 10_000 };

/** The page that asks for the code, with a cookie for the answer. */
export function askCode({ visits }: Pick<SetupParts, 'visits'>, c: Context, problem: CodeProblem | null) {
  const visit = visits.of(c) ?? visits.begin(c, 'stranger');
  return show(c, codePage({ token: visits.formToken(visit), problem }));
}

/** The form of somebody who may send it, or the page that says why not. */
export async function readForm(parts: Pick<SetupParts, 'visits'>, c: Context<Env>, from: Visit['kind']): Promise<Posted | Response> {
  const body = await readBody(c.env.incoming, FORM_LIMITS);
  if (typeof body === 'string') return show(c, problemPage('This form cannot be read', 'It is too large, or did not arrive whole.', 413));
  const fields = new URLSearchParams(body.toString('utf8'));
  const visit = parts.visits.of(c);
  if (visit === undefined || (from === 'admitted' && visit.kind !== 'admitted')) return askCode(parts, c, 'expired');
  // Browsers say whence a form was sent; what is no browser has no cookie of ours to be misused.
  const isFromHere = ['same-origin', 'none', undefined].includes(c.req.header('sec-fetch-site'));
  if (isFromHere && parts.visits.isFormOf(visit, fields.get('form') ?? '')) return { visit, fields };
  return show(
    c,
    problemPage('This form is not taken', 'It was not sent from a page that this browser has open. Go back and try again.', 403),
  );
}
