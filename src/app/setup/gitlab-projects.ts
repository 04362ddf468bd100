import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { parseRepositoryId, type RepositoryId } from '../../site/identity.ts';
import { brief, Fault } from '../../site/problem.ts';
import type { MadeHook } from '../../store/connections.ts';
import type { Store } from '../../store/store.ts';
import { GITLAB } from '../forges/gitlab-events.ts';
import type { GitLabSecrets } from '../forges/gitlab-hook-secrets.ts';
import { type GitLabSetup, type HookSecrets, openGitLabSetup, type Project, type TokenProblem } from '../forges/gitlab-setup.ts';
import { leaveRepository } from '../leaving.ts';
import { isLoopback } from './addresses.ts';
import type { Connections, StoredGitLab } from './connections.ts';
import type { ForgesNow } from './forms.ts';
import { webhookUrl } from './manifest.ts';

export type GitLabParts = {
  readonly store: Pick<Store, 'hooks' | 'repositories' | 'sites' | 'apply'>;
  readonly connections: Connections;
  readonly forges: ForgesNow;
  readonly publicUrl: URL;
  readonly log: Logger;
};
/** Where, with what, and of which group; null: all that the token is a Maintainer of. */
export type Given = { readonly url: string; readonly token: string; readonly group: string | null };
export type ConnectProblem = TokenProblem | 'group-unknown' | 'no-projects' | 'environment' | 'elsewhere' | 'not-reachable';
export type Looked = { readonly projects: readonly Project[] } | { readonly problem: ConnectProblem };

/** What became of one project's webhook. `left`: it is still there, and we forgot it. */
export type Outcome = {
  readonly name: string;
  readonly came: 'made' | 'updated' | 'removed' | 'left' | 'failed';
  /** Whether GitLab signs what it sends; null where that is no question. */
  readonly signs: 'signed' | 'unsigned' | null;
  readonly why: string;
};

/** Done on each project, or on none: names of those that are connected and that the new token is no Maintainer of. */
export type Connecting = { readonly outcomes: readonly Outcome[] } | { readonly lost: readonly string[] };
/** `forgotten`: projects of the stored token, which alone was removed, since it is the environment that connects GitLab. */
export type Undoing =
  | { readonly outcomes: readonly Outcome[] }
  | { readonly problem: 'environment' }
  | { readonly forgotten: readonly string[] };

/** What can be chosen with a token, or why nothing can. Changes nothing. */
export async function look(parts: GitLabParts, given: Given): Promise<Looked> {
  if (parts.forges.origin('gitlab') === 'environment') return { problem: 'environment' };
  if (isLoopback(parts.publicUrl) && !isLoopback(new URL(given.url))) return { problem: 'not-reachable' };
  const known = (await parts.store.repositories.forges()).find(({ kind }) => kind === 'gitlab');
  if (known !== undefined && known.address !== given.url) return { problem: 'elsewhere' };
  const setup = openGitLabSetup(given);
  const problem = await setup.problem();
  if (problem !== undefined) return { problem };
  const projects = await setup.projects(given.group);
  if (projects === undefined) return { problem: 'group-unknown' };
  return projects.length === 0 ? { problem: 'no-projects' } : { projects };
}

/**
 * Stores the token, and makes the webhook of each project. Done again it changes nothing but what differs. There is one token at a time, so
 * one that does not open all that is connected already is not taken.
 */
export async function connect(parts: GitLabParts, given: Given, wanted: readonly Project[]): Promise<Connecting> {
  const { store, connections, forges, log } = parts;
  const before = forges.stored().gitlab;
  const setup = openGitLabSetup(given);
  const made = await store.hooks.of(GITLAB);
  const lost = before?.token === given.token ? [] : await lostTo(setup, made, wanted);
  if (lost.length > 0) return { lost };
  const connection: StoredGitLab = { ...(before ?? newSecrets()), url: given.url, token: given.token };
  // First, so that what the first webhook brings is let in.
  await connections.saveGitLab(connection);
  await forges.reload();
  const outcomes: Outcome[] = [];
  for (const project of wanted) {
    const remembered = made.find(({ repository }) => repository === project.id)?.hook ?? null;
    outcomes.push(await hook(parts, { setup, connection, project, remembered }));
  }
  if ((await store.hooks.of(GITLAB)).length === 0) await forges.disconnect('gitlab');
  log.info({ forge: GITLAB, projects: outcomes.map(({ name, came }) => `${name}: ${came}`) }, 'GitLab was connected');
  return { outcomes };
}

/** Asked without a group: what is connected may lie outside of the one that was named. */
async function lostTo(setup: GitLabSetup, made: readonly MadeHook[], wanted: readonly Project[]): Promise<readonly string[]> {
  if (made.length === 0) return [];
  const open = new Set<string>([...((await setup.projects(null)) ?? []), ...wanted].map(({ id }) => id));
  return made.filter(({ repository }) => !open.has(repository)).map(({ name }) => name);
}

const newSecrets = (): Pick<StoredGitLab, 'webhookSecret' | 'unsignedSecret' | 'signingTokens'> => ({
  webhookSecret: randomBytes(32).toString('hex'),
  unsignedSecret: randomBytes(32).toString('hex'),
  signingTokens: [`whsec_${randomBytes(32).toString('base64')}`],
});

type Hooking = {
  readonly setup: GitLabSetup;
  readonly connection: StoredGitLab;
  readonly project: Project;
  readonly remembered: string | null;
};

/** Of several signing tokens the first is the newest. */
const borne = ({ webhookSecret, signingTokens }: GitLabSecrets & { readonly webhookSecret: string }): HookSecrets => ({
  secret: webhookSecret,
  signingToken: signingTokens[0] ?? null,
});

async function hook(
  { store, connections, publicUrl, log }: GitLabParts,
  { setup, connection, project, remembered }: Hooking,
): Promise<Outcome> {
  const { id, name } = project;
  const url = webhookUrl(publicUrl, 'gitlab');
  try {
    const { signed, unsigned } = connections.hookSecrets(connection, id);
    const first = await setup.ensureHook(id, { url, secrets: borne(signed), remembered });
    await store.hooks.made(GITLAB, { repository: id, name, hook: first.hook });
    // A GitLab that passed over the signing token would be asked for signatures that it never makes.
    if (!first.isSigned) await setup.ensureHook(id, { url, secrets: borne(unsigned), remembered: first.hook });
    await store.hooks.ownSecrets(GITLAB, id);
    return { name, came: first.was, signs: first.isSigned ? 'signed' : 'unsigned', why: '' };
  } catch (error) {
    return failed(log, name, error);
  }
}

function failed(log: Logger, name: string, error: unknown): Outcome {
  if (!(error instanceof Fault)) throw error;
  log.warn({ err: error, project: name }, 'the webhook of a project could not be changed');
  const { cause } = error.details;
  return { name, came: 'failed', signs: null, why: typeof cause === 'string' ? cause : brief(error.code, error.details) };
}

/**
 * Gives each webhook that still bears the secrets which were once one for all its own: whoever learned those, as somebody of one project,
 * could speak for every other. Until it has its own, the door takes both from its project. Nothing when there is none.
 */
export async function giveOwnSecrets(parts: OwnParts): Promise<void> {
  const { store, forges } = parts;
  const connection = forges.origin('gitlab') === 'stored' ? forges.stored().gitlab : null;
  const sharing = connection === null ? [] : await store.hooks.sharing(GITLAB);
  if (connection === null || sharing.length === 0) return;
  const setup = openGitLabSetup(connection);
  for (const made of sharing) await giveOwn(parts, { setup, connection, made });
  await forges.reload();
}

export type OwnParts = Pick<GitLabParts, 'store' | 'connections' | 'log'> & {
  readonly forges: Pick<ForgesNow, 'reload' | 'origin' | 'stored'>;
};
type Giving = Pick<Hooking, 'setup' | 'connection'> & { readonly made: MadeHook };

async function giveOwn({ store, connections, log }: OwnParts, { setup, connection, made }: Giving): Promise<void> {
  const id = repositoryOf(made);
  try {
    const { signed, unsigned } = connections.hookSecrets(connection, id);
    // One that somebody removed stays so: nothing bears the old secrets there.
    const changed = await setup.changeSecrets(id, made.hook, borne(signed));
    if (changed?.isSigned === false) await setup.changeSecrets(id, made.hook, borne(unsigned));
    await store.hooks.ownSecrets(GITLAB, made.repository);
    log.info({ forge: GITLAB, project: made.name }, 'the webhook of a project has secrets of its own now');
  } catch (error) {
    failed(log, made.name, error);
  }
}

/** Removes webhooks that we made, with the sites of their projects; with the last one goes the token. */
export async function disconnect(parts: GitLabParts, which: (hook: MadeHook) => boolean): Promise<Undoing> {
  const connection = parts.forges.stored().gitlab;
  if (connection === null) return { outcomes: [] };
  if (parts.forges.origin('gitlab') === 'environment') return forgetToken(parts, which);
  return { outcomes: await leave(parts, connection, which) };
}

/** The sites are those of the environment's token, and so are, or may be, the webhooks. */
async function forgetToken({ store, connections, forges, log }: GitLabParts, which: (hook: MadeHook) => boolean): Promise<Undoing> {
  const made = await store.hooks.of(GITLAB);
  if (!made.every(which)) return { problem: 'environment' };
  await connections.remove('gitlab');
  await forges.reload();
  log.info({ forge: GITLAB }, 'the stored token was removed; GitLab stays connected by the environment');
  return { forgotten: made.map(({ name }) => name) };
}

async function leave(parts: GitLabParts, connection: StoredGitLab, which: (hook: MadeHook) => boolean): Promise<readonly Outcome[]> {
  const { store, forges, log } = parts;
  const setup = openGitLabSetup(connection);
  const isUnknown = (await setup.problem()) === 'token-unknown';
  const outcomes: Outcome[] = [];
  for (const made of (await store.hooks.of(GITLAB)).filter(which)) {
    const outcome = isUnknown ? leftBehind(made) : await unhook(setup, made, log);
    outcomes.push(outcome);
    if (outcome.came === 'failed') continue;
    await store.hooks.removed(GITLAB, made.repository);
    const id = repositoryOf(made);
    if (!isUnknown) await forges.farewell([{ forge: GITLAB, id }]);
    await leaveRepository(store, { forge: GITLAB, id });
  }
  if ((await store.hooks.of(GITLAB)).length === 0) await forges.disconnect('gitlab');
  return outcomes;
}

const leftBehind = ({ name }: MadeHook): Outcome => ({ name, came: 'left', signs: null, why: '' });

function repositoryOf({ repository }: MadeHook): RepositoryId {
  const id = parseRepositoryId(repository);
  if (id === undefined) throw new Error(`The row of the webhook of ${repository} is damaged`);
  return id;
}

async function unhook(setup: GitLabSetup, made: MadeHook, log: Logger): Promise<Outcome> {
  const { name } = made;
  try {
    await setup.removeHook(repositoryOf(made), made.hook);
    return { name, came: 'removed', signs: null, why: '' };
  } catch (error) {
    return failed(log, name, error);
  }
}
