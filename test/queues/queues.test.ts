import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { describe, expect, inject, test } from 'vitest';
import { type Handlers, openQueues, type Queues, type QueuesOptions } from '../../src/queues.ts';
import { toSiteId } from '../../src/site/identity.ts';
import { Fault } from '../../src/site/problem.ts';
import { createDatabase } from '../postgres.ts';

const silent = pino({ level: 'silent' });
const site = toSiteId('01SITE');
const CONCURRENCY = { intake: 2, provision: 2, report: 2 };

/** Queues of the test's own on either store; `again` opens them as another process would. */
async function openTestQueues(store: 'PostgreSQL' | 'Redis', options: Partial<QueuesOptions> = {}) {
  await using opening = new AsyncDisposableStack();
  const database = store === 'PostgreSQL' ? opening.use(await createDatabase(inject('postgresUrl'))) : undefined;
  const prefix = `test-${randomBytes(8).toString('hex')}`;
  const redisUrl = store === 'Redis' ? inject('redisSocket') : null;
  const again = (): Promise<Queues> => openQueues({ databaseUrl: database?.url ?? '', redisUrl, prefix, log: silent, ...options });
  const queues = opening.use(await again());
  const opened = opening.move();
  return { ...queues, again, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

const idle: Handlers = { intake: async () => {}, provision: async () => {}, report: async () => {}, gaveUp: async () => {} };
const start = (queues: Queues, handlers: Partial<Handlers>, graceMs = 1_000): AsyncDisposable =>
  queues.work({ ...idle, ...handlers }, { concurrency: CONCURRENCY, graceMs });

/** A promise and its key, to hold work in the middle. */
function gate(): { readonly open: () => void; readonly opened: Promise<void> } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { open: resolve, opened: promise };
}

describe.each(['PostgreSQL', 'Redis'] as const)('queues on %s', (store) => {
  test('what was added before anybody worked is worked on, once', async () => {
    await using queues = await openTestQueues(store);
    await Promise.all(Array.from({ length: 20 }, () => queues.intake.add('delivery-1')));
    const ran: string[] = [];
    await using _work = start(queues, { intake: async (id) => void ran.push(id) });
    await queues.settled();
    expect(ran).toEqual(['delivery-1']);
  });

  test('adds during a run bring exactly one more after it', async () => {
    await using queues = await openTestQueues(store);
    const [entered, leave] = [gate(), gate()];
    let runs = 0;
    const provision = async (): Promise<void> => {
      runs++;
      entered.open();
      await leave.opened;
    };
    await using _work = start(queues, { provision });
    await queues.provision.add(site);
    await entered.opened;
    await Promise.all(Array.from({ length: 10 }, () => queues.provision.add(site)));
    expect(runs).toBe(1);
    leave.open();
    await queues.settled();
    expect(runs).toBe(2);
  });
});

void Fault;
