import type { Hono } from 'hono';
import type { Logger } from 'pino';
import { sayFarewell } from './app/farewell.ts';
import { isTokenUnknown } from './app/forges/gitlab-setup.ts';
import { leaveForge } from './app/leaving.ts';
import { type Codes, openCodes } from './app/setup/code.ts';
import { openConnections } from './app/setup/connections.ts';
import type { Env, ForgesNow } from './app/setup/forms.ts';
import { giveOwnSecrets } from './app/setup/gitlab-projects.ts';
import { createSealer } from './app/setup/sealing.ts';
import { createSetup } from './app/setup/setup.ts';
import { openGitHubStanding, watchStanding } from './app/setup/standing.ts';
import { openVisits } from './app/setup/visits.ts';
import type { Config } from './config.ts';
import { derived } from './derived.ts';
import type { Loop } from './expiry/clock.ts';
import type { LiveForges } from './live-forges.ts';
import type { Stores } from './open-stores.ts';
import { type ForgeKind, toForgeId } from './site/identity.ts';
import type { Store } from './store/store.ts';

/** With the sweep's usual pause: every half minute. */
const LOOK_EVERY_SWEEPS = 6;
/** An upgrade of a GitLab, and a proxy before it that is set up wrong and set right again, take less. */
const PATIENCE_MS = 15 * 60_000;
const GIVE_EVERY_MS = 10 * 60_000;

export type SetupSurroundings = {
  readonly config: Config;
  readonly stores: Pick<Stores, 'store' | 'secretKey' | 'instance'>;
  readonly forges: LiveForges;
  /** Writes to the terminal, and nowhere where it is kept. */
  readonly print: (text: string) => void;
  /** Milliseconds for which a forge has to deny what is stored; a quarter of an hour unless given. */
  readonly patienceMs?: number | undefined;
  readonly log: Logger;
};

/** Ends what stands of a forge that was connected at `/setup`, and removes its credentials; Mayfly goes on without it. */
export async function disconnect(kind: ForgeKind, around: Pick<SetupSurroundings, 'stores' | 'forges' | 'log'>): Promise<void> {
  const { stores, forges, log } = around;
  await leaveForge(stores.store, toForgeId(kind));
  await openConnections(stores.store, createSealer(stores.secretKey), log).remove(kind);
  await forges.reload();
  log.info({ forge: kind }, 'the forge was disconnected, and its stored credentials removed');
}

/** What is said on the forge by these, when repositories of it are left by choice. */
export function farewellOf(
  config: Config,
  store: Store,
  { forges, log }: Pick<SetupSurroundings, 'forges' | 'log'>,
): ForgesNow['farewell'] {
  const { previewUrl, command: word, target } = config;
  return (gone) => sayFarewell({ store, links: forges.links, previewUrl, word, target, log }, gone);
}

/** The routes of `/setup`. While no forge is connected, the code that opens them is printed. */
export async function openSetup(around: SetupSurroundings): Promise<Hono<Env>> {
  const { config, stores, forges, print, log } = around;
  const { store, secretKey, instance } = stores;
  const { publicUrl } = config;
  const codes = openCodes(store.tickets);
  const sealer = createSealer(secretKey);
  const farewell = farewellOf(config, store, around);
  await store.tickets.drop('code');
  if (forges.links.size === 0) print(await invitation(codes, publicUrl, 'nothing is connected'));
  return createSetup({
    store,
    codes,
    sealer,
    visits: openVisits({ key: derived(secretKey, 'setup visits'), publicUrl }),
    connections: openConnections(store, sealer, log),
    forges: {
      reload: forges.reload,
      origin: forges.origin,
      stored: forges.stored,
      farewell,
      async disconnect(kind) {
        await farewell((await store.repositories.all()).filter(({ forge }) => forge === toForgeId(kind)));
        await disconnect(kind, around);
      },
    },
    about: {
      publicUrl,
      instance,
      github: config.githubAddresses,
      appId: config.github?.appId ?? null,
      gitlabUrl: config.gitlab?.url ?? null,
    },
    log,
  });
}

/** Looks every now and then whether the forges know what is stored; without any, the way back to `/setup` is printed. */
export function standingLoop(around: SetupSurroundings): Loop {
  const { config, forges, stores, print, patienceMs = PATIENCE_MS, log } = around;
  const githubStanding = openGitHubStanding(log);
  const run = watchStanding({
    stored: () => ({
      github: forges.origin('github') === 'stored' ? forges.stored().github : null,
      gitlab: forges.origin('gitlab') === 'stored' ? forges.stored().gitlab : null,
    }),
    ask: {
      github: async ({ github }) => (github ? githubStanding(github) : 'known'),
      gitlab: async ({ gitlab }) => (gitlab ? isTokenUnknown(gitlab) : 'known'),
    },
    async disconnect(kind) {
      await disconnect(kind, around);
      if (forges.links.size === 0) print(await invitation(openCodes(stores.store.tickets), config.publicUrl, 'nothing is connected'));
    },
    patienceMs,
    clock: () => performance.now(),
    log,
  });
  return { name: 'connections', everyMs: LOOK_EVERY_SWEEPS * config.sweepEveryMs, run };
}

/** Gives webhooks that were made with the connection's secrets their own, as soon as Mayfly starts; again where a project kept it from doing so. */
export function hookSecretsLoop({ forges, stores, log }: Pick<SetupSurroundings, 'forges' | 'stores' | 'log'>): Loop {
  const { store, secretKey } = stores;
  const connections = openConnections(store, createSealer(secretKey), log);
  return { name: 'hook secrets', everyMs: GIVE_EVERY_MS, run: () => giveOwnSecrets({ store, connections, forges, log }) };
}

/** What a code is printed for. */
const OCCASIONS = {
  'nothing is connected': 'No forge is connected yet. To connect GitHub or GitLab, open',
  'somebody asked': 'To connect or disconnect GitHub or GitLab, open',
} as const;

/** What is printed on the terminal, with a new code. */
export async function invitation(codes: Codes, publicUrl: URL, occasion: keyof typeof OCCASIONS): Promise<string> {
  const page = new URL('/setup', publicUrl).href;
  const once = 'and type this code, which works once and until Mayfly starts anew:';
  return `\n${OCCASIONS[occasion]}\n\n  ${page}\n\n${once}\n\n  ${await codes.issue()}\n\n`;
}
