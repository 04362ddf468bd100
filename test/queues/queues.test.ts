import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, inject, test } from 'vitest';
import { openQueues, type Queues, type QueuesOptions } from '../../src/queues.ts';
import { toSiteId } from '../../src/site/identity.ts';
import { Fault } from '../../src/site/problem.ts';
import { createDatabase } from '../postgres.ts';
import { gate, start, until } from './work.ts';

const silent = pino({ level: 'silent' });
const site = toSiteId('01SITE');

/** Queues of the test's own on either store; `again` opens them as another process would. */
async function openTestQueues(store: 'PostgreSQL' | 'Redis', options: Partial<QueuesOptions> = {}) {
  await using opening = new AsyncDisposableStack();
  const database = store === 'PostgreSQL' ? opening.use(await createDatabase(inject('postgresUrl'))) : undefined;
  const prefix = `test-${randomBytes(8).toString('hex')}`;
  const redisUrl = store === 'Redis' ? inject('redisSocket') : null;
  const again = (): Promise<Queues> => openQueues({ databaseUrl: database?.url ?? '', redisUrl, prefix, log: silent, ...options });
  const queues = opening.use(await again());
  const opened = opening.move();
  return {
    ...queues,
    again,
    address: { databaseUrl: database?.url ?? '', redisUrl, prefix },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Another process takes the work, and is killed while it is at it. */
async function killInTheMiddle(options: Omit<QueuesOptions, 'log'>): Promise<void> {
  const program = join(import.meta.dirname, 'doomed-worker.ts');
  const child = spawn(process.execPath, [program, JSON.stringify(options)], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
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

  test('a delayed add waits', async () => {
    await using queues = await openTestQueues(store);
    const ran: number[] = [];
    await using _work = start(queues, { provision: async () => void ran.push(performance.now()) });
    const added = performance.now();
    await queues.provision.add(site, { delayMs: 700 });
    await queues.settled();
    expect(ran).toHaveLength(1);
    expect((ran[0] ?? 0) - added).toBeGreaterThanOrEqual(690);
  });

  test('an immediate add does not wait for a delayed one, which is not lost', async () => {
    await using queues = await openTestQueues(store);
    let runs = 0;
    await using _work = start(queues, { provision: async () => void runs++ });
    // Longer than anybody waits here.
    await queues.provision.add(site, { delayMs: 3_600_000 });
    await queues.provision.add(site);
    await until('the immediate one', () => runs > 0);
    expect((await queues.depth()).provision.delayed).toBe(1);
  });

  test('many delayed adds for one moment are one run', async () => {
    await using queues = await openTestQueues(store);
    let runs = 0;
    await using _work = start(queues, { report: async () => void runs++ });
    await Promise.all(Array.from({ length: 10 }, () => queues.report.add(site, { delayMs: 300 })));
    await queues.settled();
    // Ten adds in an instant may lie on both sides of a quarter of a second.
    expect(runs).toBeLessThanOrEqual(2);
  });

  test('a run that failed is tried again; a nudge does not shorten the wait, an add ends it', async () => {
    await using queues = await openTestQueues(store);
    const attempts: number[] = [];
    const provision = async (_: string, { attempt }: { attempt: number }): Promise<void> => {
      attempts.push(attempt);
      // 30 s to the next attempt: nothing but the add can bring it within this test.
      if (attempts.length === 1) throw new Error('a bug');
    };
    await using _work = start(queues, { provision });
    await queues.provision.add(site);
    await until('the retry to wait', async () => (await queues.depth()).provision.delayed === 1);
    for (let n = 0; n < 5; n++) await queues.provision.nudge(site);
    expect((await queues.depth()).provision).toEqual({ waiting: 0, active: 0, delayed: 1 });
    expect(attempts).toEqual([1]);
    await queues.provision.add(site);
    await queues.settled();
    expect(attempts).toHaveLength(2);
  });

  test('a fault that is never gone is given up at once, and its id can be added again', async () => {
    await using queues = await openTestQueues(store);
    const fault = new Fault('access-gone');
    const given: unknown[] = [];
    let runs = 0;
    const report = async (): Promise<void> => {
      if (++runs === 1) throw fault;
    };
    await using _work = start(queues, { report, gaveUp: async (...what) => void given.push(what) });
    await queues.report.add(site);
    await until('it to be given up', () => given.length > 0);
    await queues.settled();
    expect([runs, given]).toEqual([1, [['report', site, fault]]]);
    await queues.report.add(site);
    await queues.settled();
    expect(runs).toBe(2);
  });

  test('a nudge wakes what is not there', async () => {
    await using queues = await openTestQueues(store);
    const ran: string[] = [];
    await using _work = start(queues, { intake: async (id) => void ran.push(id) });
    await queues.intake.nudge('delivery-1');
    await queues.settled();
    expect(ran).toEqual(['delivery-1']);
  });

  test('stopping waits for what runs within its grace', async () => {
    await using queues = await openTestQueues(store);
    const [entered, leave] = [gate(), gate()];
    let finished = false;
    const work = start(
      queues,
      {
        async provision() {
          entered.open();
          await leave.opened;
          finished = true;
        },
      },
      10_000,
    );
    await queues.provision.add(site);
    await entered.opened;
    const stopped = work[Symbol.asyncDispose]();
    leave.open();
    await stopped;
    expect(finished).toBe(true);
    await queues.settled();
  });

  test('after the grace what runs is aborted and handed back: another process does it', async () => {
    await using queues = await openTestQueues(store);
    const entered = gate();
    const work = start(
      queues,
      {
        async provision(_, { signal }) {
          entered.open();
          await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
        },
      },
      50,
    );
    await queues.provision.add(site);
    await entered.opened;
    await work[Symbol.asyncDispose]();
    await using other = await queues.again();
    const ran: string[] = [];
    await using _work = start(other, { provision: async (id) => void ran.push(id) });
    await other.settled();
    expect(ran).toEqual([site]);
  });

  test('work of a process that was killed is taken over', async () => {
    const stall = { lockMs: 600, checkEveryMs: 200 };
    await using queues = await openTestQueues(store, { stall });
    await queues.provision.add(site);
    await killInTheMiddle({ ...queues.address, stall });
    const attempts: number[] = [];
    await using _work = start(queues, { provision: async (_, { attempt }) => void attempts.push(attempt) });
    await queues.settled();
    expect(attempts).toHaveLength(1);
  });

  test('it is reachable', async () => {
    await using queues = await openTestQueues(store);
    expect(await queues.isReachable(5_000)).toBe(true);
  });
});
