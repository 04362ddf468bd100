import type { Logger } from 'pino';
import { z } from 'zod';
import type { GitHubConfig, GitLabConfig } from '../../config.ts';
import { type ForgeId, type RepositoryId, toForgeId } from '../../site/identity.ts';
import type { Store } from '../../store/store.ts';
import {
  type GitLabKeys,
  type HookRoots,
  type OwnSecrets,
  ownSecrets,
  projectNamed,
  sharedSecrets,
} from '../forges/gitlab-hook-secrets.ts';
import type { Sealer } from './sealing.ts';

/** An App that was made at `/setup`: its credentials, and where its page on GitHub is. */
export type StoredGitHub = GitHubConfig & { readonly slug: string; readonly page: string };
/**
 * A token that was given at `/setup`, and what the secrets of its webhooks are made of. Webhooks on which GitLab kept our signing token
 * send what is made of `webhookSecret`; those on which it ignored that token, what is made of `unsignedSecret`, and no signature is asked
 * of them.
 */
export type StoredGitLab = GitLabConfig & HookRoots;
export type Stored = { readonly github: StoredGitHub | null; readonly gitlab: StoredGitLab | null };

export interface Connections {
  /** The very same object as the last time while nothing was written: nothing is opened, or found to be unreadable, twice. */
  read(): Promise<Stored>;
  saveGitHub(connection: StoredGitHub): Promise<void>;
  saveGitLab(connection: StoredGitLab): Promise<void>;
  remove(kind: keyof Stored): Promise<void>;
  /** What the webhook of one project bears, so that nobody can speak for another with it. */
  hookSecrets(connection: StoredGitLab, project: RepositoryId): OwnSecrets;
  /** How the webhooks of a connection are known; those of `sharing` by the secrets that were once one for all as well. */
  hookKeys(connection: StoredGitLab, sharing: ReadonlySet<string>): GitLabKeys;
}

const github: z.ZodType<StoredGitHub> = z.strictObject({
  appId: z.int().positive(),
  privateKey: z.string(),
  webhookSecret: z.string().min(1),
  clientId: z.string().nullable(),
  clientSecret: z.string().nullable(),
  apiUrl: z.string(),
  serverUrl: z.string(),
  slug: z.string(),
  page: z.string(),
});
const gitlab: z.ZodType<StoredGitLab> = z.strictObject({
  url: z.string(),
  token: z.string().min(1),
  webhookSecret: z.string().min(1),
  signingTokens: z.array(z.string().min(1)),
  unsignedSecret: z.string().min(1),
});

/** One connection of each kind, whose row is named by it. */
const FORGES: Readonly<Record<keyof Stored, ForgeId>> = { github: toForgeId('github'), gitlab: toForgeId('gitlab') };
const aboutOf = (forge: ForgeId): string => `connection ${forge}`;

/** The credentials that are kept in the database instead of in the environment. */
export function openConnections(store: Pick<Store, 'connections'>, sealer: Sealer, log: Logger): Connections {
  const save = (forge: ForgeId, value: object): Promise<void> =>
    store.connections.save({ forge, sealed: sealer.seal(JSON.stringify(value), aboutOf(forge)) });
  const opened = <T>(rows: Awaited<ReturnType<Store['connections']['all']>>, forge: ForgeId, schema: z.ZodType<T>): T | null => {
    const row = rows.find((one) => one.forge === forge);
    if (row === undefined) return null;
    try {
      return schema.parse(JSON.parse(sealer.open(row.sealed, aboutOf(forge))));
    } catch (error) {
      // As if it were not there: whoever connects the forge again writes it anew.
      log.error({ err: error, forge }, 'the stored credentials of a forge cannot be read');
      return null;
    }
  };
  const hookSecrets: Connections['hookSecrets'] = (connection, project) => ownSecrets(sealer.derive, connection, project);
  let last: { readonly rows: string; readonly stored: Stored } | undefined;
  return {
    async read() {
      const all = await store.connections.all();
      const rows = all.map(({ forge, sealed }) => `${forge} ${sealed.toString('base64')}`).join('\n');
      if (last?.rows !== rows)
        last = { rows, stored: { github: opened(all, FORGES.github, github), gitlab: opened(all, FORGES.gitlab, gitlab) } };
      return last.stored;
    },
    saveGitHub: (connection) => save(FORGES.github, connection),
    saveGitLab: (connection) => save(FORGES.gitlab, connection),
    remove: (kind) => store.connections.remove(FORGES[kind]),
    hookSecrets,
    hookKeys: (connection, sharing) => (rawBody) => {
      const project = projectNamed(rawBody);
      if (project === undefined) return [];
      const { signed, unsigned } = hookSecrets(connection, project);
      return [signed, unsigned, ...(sharing.has(project) ? sharedSecrets(connection) : [])];
    },
  };
}
