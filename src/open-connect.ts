import type { Logger } from 'pino';
import { ulid } from 'ulid';
import { openGitLabSetup, type Project } from './app/forges/gitlab-setup.ts';
import { openConnections } from './app/setup/connections.ts';
import {
  type Connecting,
  type ConnectProblem,
  connect,
  disconnect,
  type GitLabParts,
  look,
  type Outcome,
  type Undoing,
} from './app/setup/gitlab-projects.ts';
import { createSealer } from './app/setup/sealing.ts';
import type { Config } from './config.ts';
import type { ConnectWish } from './connect-words.ts';
import { handOn } from './effects.ts';
import { openForges } from './live-forges.ts';
import { openBeside } from './open-beside.ts';
import { disconnect as disconnectForge, farewellOf } from './open-setup.ts';
import { openQueues } from './queues.ts';

/** What became of each project; those that were named and are not to be had have no outcome, but a reason. */
export type Connected =
  | { readonly outcomes: readonly Outcome[]; readonly missing: readonly Missing[] }
  | { readonly problem: ConnectProblem }
  | Exclude<Connecting | Undoing, { readonly outcomes: unknown }>;
export type Missing = { readonly name: string; readonly why: 'not seen' | 'no maintainer' };

type Telling = { readonly log: Logger; readonly hide: (secret: string) => void };

/** The same as at `/setup`, from beside the Mayfly that runs; it hears of what changed by itself. */
export async function carryOutConnect(
  config: Config,
  wish: ConnectWish,
  { token, ...telling }: Telling & { readonly token: string },
): Promise<Connected> {
  await using opening = new AsyncDisposableStack();
  const parts = await openParts(config, telling, opening);
  if (wish.do === 'undo') return { missing: [], ...(await disconnect(parts, isNamed(wish))) };
  const given = { url: wish.url, token };
  const wanted = new Map<string, Project>();
  for (const group of wish.groups) {
    const looked = await look(parts, { ...given, group });
    if ('problem' in looked) return looked;
    for (const project of looked.projects) wanted.set(project.id, project);
  }
  const missing: Missing[] = [];
  const looked = wish.projects.length === 0 ? { projects: [] } : await look(parts, { ...given, group: null });
  if ('problem' in looked && looked.problem !== 'no-projects') return looked;
  for (const name of wish.projects) {
    const found = 'projects' in looked ? looked.projects.find((project) => project.name.toLowerCase() === name.toLowerCase()) : undefined;
    if (found) wanted.set(found.id, found);
    else
      missing.push({
        name,
        why: (await openGitLabSetup(given).sees(name)) ? 'no maintainer' : 'not seen',
      });
  }
  const connected = wanted.size === 0 ? { outcomes: [] } : await connect(parts, { ...given, group: null }, [...wanted.values()]);
  return { missing, ...connected };
}

/** All when none is named. */
function isNamed({ projects, groups }: ConnectWish): (hook: { readonly name: string }) => boolean {
  if (projects.length + groups.length === 0) return () => true;
  const lower = (text: string): string => text.toLowerCase();
  return ({ name }) =>
    projects.some((project) => lower(project) === lower(name)) || groups.some((group) => lower(name).startsWith(`${lower(group)}/`));
}

async function openParts(config: Config, { log, hide }: Telling, opening: AsyncDisposableStack): Promise<GitLabParts> {
  const beside = await openBeside(config, { purpose: 'to change', log, newId: ulid }, opening);
  const { store, secretKey, instance, databaseUrl } = beside;
  if (secretKey === undefined)
    throw new Error(`There is no secret-key in ${config.dataDir}. Run this where Mayfly runs, or set MAYFLY_SECRET_KEY.`);
  const queues = opening.use(await openQueues({ databaseUrl, redisUrl: config.redisUrl, log, prefix: instance }));
  store.onEffects((site, effects) => handOn({ store, queues }, site, effects));
  const forges = await openForges({ config, store, instance, secretKey, hide, log }, opening);
  return {
    store,
    connections: openConnections(store, createSealer(secretKey), log),
    forges: {
      ...forges,
      farewell: farewellOf(config, store, { forges, log }),
      disconnect: (kind) => disconnectForge(kind, { stores: { store, secretKey, instance }, forges, log }),
    },
    publicUrl: config.publicUrl,
    log,
  };
}
