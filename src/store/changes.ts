import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from 'pino';
import { toSiteId } from '../site/identity.ts';
import { CHANGED_CHANNEL, CONNECTIONS_CHANNEL } from './schema.ts';
import type { SiteChanged, Store } from './store.ts';

/** Pause before a lost connection is opened again; doubled each time up to the second number, for until then changes go unheard. */
const RECONNECT_MS = { first: 100, longest: 1_000 };
type Listener = Parameters<Store['onChange']>[0];

/** LISTENs on a connection of its own, for as long as it is open; after each time away the listeners are told `resync`. */
export function openChanges(config: pg.ClientConfig, log: Logger): Pick<Store, 'onChange' | 'onConnections' | 'losses'> & AsyncDisposable {
  const listeners = new Set<Listener>();
  const ofConnections = new Set<() => void>();
  const closing = new AbortController();
  const tell = (change: SiteChanged | 'resync'): void => {
    for (const listener of listeners) listener(change);
  };
  const tellConnections = (): void => {
    for (const listener of ofConnections) listener();
  };
  const session = async (onReady: () => void): Promise<void> => {
    const client = new pg.Client(config);
    const gone = new Promise<void>((resolve) => {
      client.on('end', resolve).on('error', (error) => {
        // The reason of the `end` that follows, or of the connect that throws; while we close there is nothing to lose.
        if (!closing.signal.aborted) log.warn({ err: error }, 'the LISTEN connection was lost');
      });
      closing.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    client.on('notification', ({ channel, payload }) =>
      channel === CONNECTIONS_CHANNEL ? tellConnections() : tell(parseLine(payload ?? '')),
    );
    try {
      await client.connect();
      await client.query(`listen ${CHANGED_CHANNEL}; listen ${CONNECTIONS_CHANNEL}`);
      onReady();
      await gone;
    } finally {
      // It may be gone already.
      await client.end().catch(() => undefined);
    }
  };
  let losses = 0;
  const loop = async (): Promise<void> => {
    let wasAway = false;
    let waitMs = RECONNECT_MS.first;
    while (!closing.signal.aborted) {
      const ready = (): void => {
        if (wasAway) tell('resync');
        // The first time, too: what is connected may have been read before anybody listened.
        tellConnections();
        waitMs = RECONNECT_MS.first;
      };
      // Tried again below: the database may be starting.
      await session(ready).catch((error: unknown) => log.debug({ err: error }, 'LISTEN failed'));
      wasAway = true;
      losses++;
      // Aborted: we close.
      await delay(waitMs, undefined, { signal: closing.signal }).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, RECONNECT_MS.longest);
    }
  };
  const looping = loop();
  return {
    losses: () => losses,
    onChange(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
    onConnections(listener) {
      ofConnections.add(listener);
      return { [Symbol.dispose]: () => void ofConnections.delete(listener) };
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await looping;
    },
  };
}

/** Anything that is not a line of ours stands for "something changed". */
function parseLine(payload: string): SiteChanged | 'resync' {
  try {
    const { site, host, version }: { site: string; host: string; version: number } = JSON.parse(payload);
    return { site: toSiteId(site), host, version };
  } catch {
    // Whoever else notifies on our channel does not know its form.
    return 'resync';
  }
}
