import type { Logger } from 'pino';
import { GITLAB } from './app/forges/gitlab-events.ts';
import type { GitLabKeys } from './app/forges/gitlab-hook-secrets.ts';
import type { ForgeLink } from './app/pulls.ts';
import { openConnections, type Stored } from './app/setup/connections.ts';
import { createSealer } from './app/setup/sealing.ts';
import type { Door } from './app/webhooks.ts';
import type { Config } from './config.ts';
import { secretsOf } from './config-secrets.ts';
import { openFollower } from './follow.ts';
import { connectForges, type Forges } from './open-forges.ts';
import type { ForgeId, ForgeKind, Repository, RepositoryId } from './site/identity.ts';
import type { Deliveries, Source } from './site/ports.ts';
import type { Store } from './store/store.ts';

/** The forges of this Mayfly at any moment: who holds one of these maps sees what is connected or disconnected later as well. */
export type LiveForges = Forges & {
  /** Reads what is stored now, and opens and closes what differs. */
  reload(): Promise<void>;
  /** Whence a forge's settings are; undefined: it is not connected. The environment's win. */
  origin(kind: ForgeKind): 'environment' | 'stored' | undefined;
  stored(): Stored;
  /** Of the environment and of what is stored, all that must never be written anywhere. */
  secrets(): readonly string[];
};

export type LiveParts = {
  readonly config: Config;
  readonly store: Pick<Store, 'connections' | 'hooks' | 'repositories'>;
  /** This Mayfly's name in the labels of what it makes. */
  readonly instance: string;
  /** Undefined where there is none, and so nothing that was sealed with it. */
  readonly secretKey: Buffer | undefined;
  /** From now on this is masked in the log. */
  readonly hide?: ((secret: string) => void) | undefined;
  readonly log: Logger;
};

const KINDS = ['github', 'gitlab'] as const satisfies readonly ForgeKind[];
const NONE: Stored = { github: null, gitlab: null };

/** Milliseconds within which a change is seen of which no notice came; with a shorter pause between sweeps, sooner. */
const LOOK_EVERY_MS = 30_000;
const LOOK_EVERY_SWEEPS = 6;

/** Opens every forge that is connected, and tells the store of it; follows what is connected until `opening` is disposed of. */
export async function openForges(
  parts: LiveParts & { readonly store: Pick<Store, 'onConnections'> },
  opening: AsyncDisposableStack,
): Promise<LiveForges> {
  const { config, store, log } = parts;
  // Before anything is read: what changes from then on is either read or told.
  const follower = opening.use(openFollower(store.onConnections));
  const forges = await lookAtForges(parts);
  const told = new WeakSet<ForgeLink>();
  const reload = async (): Promise<void> => {
    await forges.reload();
    for (const link of forges.links.values()) {
      if (told.has(link)) continue;
      await store.repositories.ensureForge(link.forge);
      told.add(link);
    }
  };
  await reload();
  follower.start({ look: reload, everyMs: Math.min(LOOK_EVERY_MS, LOOK_EVERY_SWEEPS * config.sweepEveryMs), log });
  return { ...forges, reload };
}

/** The same, and nothing is written anywhere. */
export async function lookAtForges({ config, store, instance, secretKey, hide, log }: LiveParts): Promise<LiveForges> {
  const connections = secretKey && openConnections(store, createSealer(secretKey), log);
  const live = createLive();
  const opened = new Map<ForgeKind, string>();
  let stored = NONE;
  let sharing: ReadonlySet<string> = new Set();
  /** What was opened whole: the same again is nothing to do. */
  let seen: Stored | undefined;
  const keys: GitLabKeys = (rawBody) =>
    connections === undefined || stored.gitlab === null ? [] : connections.hookKeys(stored.gitlab, sharing)(rawBody);
  const merged = (): Config => ({ ...config, github: config.github ?? stored.github, gitlab: config.gitlab ?? stored.gitlab });
  const secrets = (): readonly string[] => [...secretsOf(merged()), ...(stored.gitlab ? [stored.gitlab.unsignedSecret] : [])];
  const look = async (): Promise<void> => {
    const now = (await connections?.read()) ?? NONE;
    sharing = new Set(now.gitlab === null ? [] : (await store.hooks.sharing(GITLAB)).map(({ repository }) => repository));
    if (now === seen) return;
    stored = now;
    for (const secret of secrets()) hide?.(secret);
    for (const kind of KINDS) {
      const digest = JSON.stringify([merged()[kind], config[kind] === null]);
      if (opened.get(kind) === digest) continue;
      tellWinner(log, kind, { config, stored });
      const isStored = config.gitlab === null && stored.gitlab !== null;
      const more = connectForges(onlyOf(merged(), kind), { instance, log, gitlabKeys: isStored ? keys : undefined });
      live.close(kind);
      live.add(more);
      if (kind === 'gitlab' && isStored) live.narrow(GITLAB, store);
      opened.set(kind, digest);
    }
    seen = now;
  };
  let turn = look();
  await turn;
  return {
    ...live.forges,
    reload() {
      // One after the other: the last look is the one that stands.
      turn = turn.catch(() => undefined).then(look);
      return turn;
    },
    origin: (kind) => (config[kind] !== null ? 'environment' : stored[kind] !== null ? 'stored' : undefined),
    stored: () => stored,
    secrets,
  };
}

const onlyOf = (config: Config, kind: ForgeKind): Config => ({
  ...config,
  github: kind === 'github' ? config.github : null,
  gitlab: kind === 'gitlab' ? config.gitlab : null,
});

function tellWinner(log: Logger, kind: ForgeKind, { config, stored }: { readonly config: Config; readonly stored: Stored }): void {
  if (config[kind] === null || stored[kind] === null) return;
  log.warn({ forge: kind }, 'the environment has settings of this forge: they win over those that are stored');
}

function createLive() {
  const links = new Map<ForgeId, ForgeLink>();
  const sources = new Map<ForgeId, Source>();
  const deliveries = new Map<ForgeId, Deliveries>();
  const doors: Door[] = [];
  return {
    forges: { links, sources, deliveries, doors } satisfies Forges,
    close(kind: ForgeKind): void {
      for (const [id, { forge }] of links) if (forge.kind === kind) for (const map of [links, sources, deliveries]) map.delete(id);
      doors.splice(0, doors.length, ...doors.filter((door) => door.kind !== kind));
    },
    add(more: Forges): void {
      for (const [id, link] of more.links) links.set(id, link);
      for (const [id, source] of more.sources) sources.set(id, source);
      for (const [id, one] of more.deliveries) deliveries.set(id, one);
      doors.push(...more.doors);
    },
    /** Of what the forge opens to us, only what was chosen counts: a token may see more than people meant. */
    narrow(id: ForgeId, { hooks }: Pick<Store, 'hooks'>): void {
      const link = links.get(id);
      if (link === undefined) return;
      const isChosen = async (repository: RepositoryId): Promise<boolean> =>
        (await hooks.of(id)).some((hook) => hook.repository === repository);
      const repositories = async (access: string): Promise<readonly Repository[]> => {
        const chosen = new Set((await hooks.of(id)).map(({ repository }) => repository));
        return (await link.facts.repositories(access)).filter((repository) => chosen.has(repository.id));
      };
      const confirm: ForgeLink['confirm'] = async (event) => ((await isChosen(event.repository.id)) ? link.confirm(event) : undefined);
      links.set(id, { ...link, facts: { ...link.facts, repositories }, confirm });
    },
  };
}
