import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { GITLAB } from '../../src/app/forges/gitlab-events.ts';
import { openConnections, type StoredGitLab } from '../../src/app/setup/connections.ts';
import { createSealer } from '../../src/app/setup/sealing.ts';
import { loadConfig } from '../../src/config.ts';
import { openForges } from '../../src/live-forges.ts';
import type { Store } from '../../src/store/store.ts';
import { openTestStore, silent } from '../store/open.ts';
import { until } from '../world.ts';

const connection = (token: string): StoredGitLab => ({
  url: 'https://gitlab.acme.dev',
  token,
  webhookSecret: 'w'.repeat(64),
  unsignedSecret: 'u'.repeat(64),
  signingTokens: [`whsec_${randomBytes(32).toString('base64')}`],
});

/** A process on a database, whose store can be tampered with before it starts. */
async function createProcess(tamper: (store: Store) => Partial<Store> = () => ({})) {
  await using opening = new AsyncDisposableStack();
  const store = opening.use(await openTestStore());
  const secretKey = randomBytes(32);
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
  // Looks every now and then come often, so that nothing here waits for half a minute.
  const config = { ...loadConfig({ MAYFLY_SECRET_KEY: secretKey.toString('base64') }), sweepEveryMs: 5 };
  const forges = await openForges({ config, store: { ...store, ...tamper(store) }, instance: 'tests', secretKey, log }, opening);
  const client = new pg.Client(store.database.url);
  await client.connect();
  opening.defer(() => client.end());
  const opened = opening.move();
  return {
    store,
    forges,
    lines,
    client,
    connections: openConnections(store, createSealer(secretKey), silent),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

test('a change that nobody told of is seen all the same, and nothing is opened anew while nothing changes', async () => {
  let looks = 0;
  await using p = await createProcess((store) => ({
    connections: { ...store.connections, all: () => store.connections.all().finally(() => (looks += 1)) },
  }));
  await p.connections.saveGitLab(connection('glpat-one'));
  await until('the notice to be heard', () => p.forges.links.has(GITLAB));
  const link = p.forges.links.get(GITLAB);
  const { rows } = await p.client.query<{ sealed: Buffer }>('select sealed from mayfly.connections');
  const after = looks;
  await until('some looks', () => looks > after + 3);
  expect(p.forges.links.get(GITLAB)).toBe(link);
  // Written here as if the notices of it had been lost.
  await p.client.query('delete from mayfly.connections');
  await until('the removal to be seen', () => !p.forges.links.has(GITLAB));
  expect(p.forges.doors).toEqual([]);
  await p.client.query("insert into mayfly.connections (forge, sealed) values ('gitlab', $1)", [rows[0]?.sealed]);
  await until('the connection to be seen', () => p.forges.doors.length === 1 && p.forges.links.has(GITLAB));
  expect(p.forges.origin('gitlab')).toBe('stored');
  expect((await p.store.repositories.forges()).map(({ id }) => id)).toEqual([GITLAB]);
});

test('a change that cannot be read, or not be told to the store, is not lost', async () => {
  let [unread, untold] = [0, 0];
  await using p = await createProcess((store) => ({
    connections: {
      ...store.connections,
      async all() {
        const rows = await store.connections.all();
        if (rows.length > 0 && ++unread <= 2) throw new Error('the database is away');
        return rows;
      },
    },
    repositories: {
      ...store.repositories,
      async ensureForge(forge) {
        if (++untold <= 1) throw new Error('the database is away again');
        await store.repositories.ensureForge(forge);
      },
    },
  }));
  await p.connections.saveGitLab(connection('glpat-one'));
  await until('the store to know of the forge', async () => (await p.store.repositories.forges()).length === 1);
  expect(p.forges.links.has(GITLAB)).toBe(true);
  expect([unread > 2, untold]).toEqual([true, 2]);
});

test('credentials that cannot be read are told of once, however often they are looked at', async () => {
  let looks = 0;
  await using p = await createProcess((store) => ({
    connections: { ...store.connections, all: () => store.connections.all().finally(() => (looks += 1)) },
  }));
  await p.store.connections.save({ forge: GITLAB, sealed: Buffer.from('sealed by nobody') });
  const unreadable = (): number => p.lines.filter((line) => line.includes('cannot be read')).length;
  await until('it to be seen', () => unreadable() > 0);
  const after = looks;
  await until('more looks', () => looks > after + 3);
  expect([unreadable(), p.forges.links.size]).toEqual([1, 0]);
});
