import type { Logger } from 'pino';
import { PROJECT } from '../../infra/labels.ts';
import type { Held } from '../site/ports.ts';
import { lookAtStacks, openPulumiState, pulumiSession } from '../store/pulumi-state.ts';
import { OUR_HOST } from './pulumi-lock.ts';

/** Where Pulumi keeps its state. */
export interface PulumiBackend extends AsyncDisposable {
  /** `PULUMI_BACKEND_URL` of what works under no lease. */
  readonly url: string;
  /** The same for a child that works under this lease: where the backend can, it takes no more from one whose lease is over. */
  urlFor(held: Held): string;
  /** Shuts every earlier holder out of the stack, where the backend can. */
  fence(held: Held, stack: string): Promise<void>;
  /** Removes the last lines about a stack that is gone, where Pulumi may have left some. */
  forget(held: Held, stack: string): Promise<void>;
  /** Names of our stacks; null where Pulumi has to be asked. */
  list(): Promise<readonly string[] | null>;
  /** Pulumi tells the whole address of a database that it cannot open. */
  withoutPassword(text: string): string;
}

/** @param given as configured: PostgreSQL, or what else Pulumi takes (`s3://…`), which has no fence */
export async function openPulumiBackend(given: string, log: Logger): Promise<PulumiBackend> {
  const isPostgres = isPostgresUrl(given);
  const state = isPostgres ? await openPulumiState({ url: given, project: PROJECT, ourHost: OUR_HOST, log }) : null;
  const { password } = new URL(given);
  return {
    url: isPostgres ? withParameters(given) : given,
    urlFor: (held) => (isPostgres ? withParameters(given, pulumiSession(held)) : given),
    fence: async (held, stack) => state?.fence(held, stack),
    forget: async (held, stack) => state?.forget(held, stack),
    // Pulumi's own list fails as a whole when it cannot read one of the states.
    list: async () => state?.stacks() ?? null,
    withoutPassword: (text) => (password === '' ? text : text.replaceAll(password, '***').replaceAll(decodeURIComponent(password), '***')),
    async [Symbol.asyncDispose]() {
      await state?.[Symbol.asyncDispose]();
    },
  };
}

/** Names of our stacks, and nothing is changed; null where Pulumi has to be asked. */
export const lookAtBackend = async (given: string): Promise<readonly string[] | null> =>
  isPostgresUrl(given) ? lookAtStacks({ url: given, project: PROJECT }) : null;

const isPostgresUrl = (given: string): boolean => /^postgres(?:ql)?:/.test(given);

function withParameters(backendUrl: string, session?: string): string {
  const url = new URL(backendUrl);
  // Without `sslmode`, Mayfly's own connections (node-postgres) use no TLS, where Pulumi's would insist on it.
  if (!url.searchParams.has('sslmode')) url.searchParams.set('sslmode', 'disable');
  if (session !== undefined) url.searchParams.set('application_name', session);
  return url.href;
}
