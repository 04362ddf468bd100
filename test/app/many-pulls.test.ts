import { afterEach, expect, test, vi } from 'vitest';
import { toLaunchId } from '../../src/site/identity.ts';
import { Fault } from '../../src/site/problem.ts';
import { mostInAMinute } from '../content-writes.ts';
import type { Pull } from '../doubles/github.ts';
import { createRig, type Rig } from './rig.ts';

/** The machine's clock, which runs on and can be put forward. */
const machine = Date.now.bind(Date);
let ahead = 0;
afterEach(() => {
  vi.restoreAllMocks();
});

type Task = { readonly at: number; readonly run: () => Promise<void> };

/** Does the tasks as the queue would: one that GitHub's limits put off comes again when its pause is over. The clock is put forward to it. */
async function work(tasks: readonly Task[]): Promise<{ readonly minutes: number; readonly putOff: number }> {
  const start = Date.now();
  const waiting = [...tasks];
  let putOff = 0;
  for (;;) {
    waiting.sort((one, other) => one.at - other.at);
    const next = waiting.shift();
    if (next === undefined) return { minutes: (Date.now() - start) / 60_000, putOff };
    ahead += Math.max(next.at - Date.now(), 0);
    try {
      await next.run();
    } catch (error) {
      if (!(error instanceof Fault) || error.code !== 'forge-limited') throw error;
      putOff += 1;
      waiting.push({ ...next, at: Date.parse(error.details.until ?? '') });
    }
  }
}

async function succeed(rig: Rig, pull: Pull): Promise<void> {
  const { id, head } = await rig.getSite(pull);
  const launch = toLaunchId(`launch-${id}`);
  const live = { url: 'http://x.preview.localhost:8080', served: { kind: 'static', folder: '/x' }, idleMs: 1_000 } as const;
  await rig.store.launches.start({ id: launch, site: id, sha: head.sha, queuedMs: 5 });
  await rig.store.apply(id, { type: 'launchStarted', launch, sha: head.sha });
  await rig.store.launches.finish(launch, { outcome: 'succeeded', reason: null, tail: '' });
  await rig.store.apply(id, { type: 'launchSucceeded', launch, sha: head.sha, live });
}

test('T-F15: many pulls at once on one installation: within GitHub’s limits, every last word is said, and another installation is served', async () => {
  vi.spyOn(Date, 'now').mockImplementation(() => machine() + ahead);
  await using rig = await createRig();
  const repo = await rig.github.createRepository({ name: 'many/shop' });
  const other = await rig.github.createRepository({ name: 'few/shop' });
  const pulls: Pull[] = [];
  for (let n = 0; n < 40; n++) pulls.push(await rig.github.openPull(repo));
  const theirs = await rig.github.openPull(other);
  await work(rig.enqueued.splice(0).map((delivery) => ({ at: Date.now(), run: () => rig.intake.handleDelivery(delivery) })));
  const report = (pull: Pull) => async () => rig.reporter.report((await rig.getSite(pull)).id);
  const reports = (): Task[] => pulls.map((pull) => ({ at: Date.now(), run: report(pull) }));

  await work(reports());
  for (const pull of [...pulls, theirs]) await succeed(rig, pull);
  let served = 0;
  const ours = reports();
  const { minutes, putOff } = await work([
    ...ours,
    {
      // After all of the others had their first try, and long before the last of them is done.
      at: Date.now() + 1,
      async run() {
        await report(theirs)();
        served = pulls.filter((pull) => rig.github.ourComment(pull)?.body.includes('### 🟢')).length;
      },
    },
  ]);
  expect(putOff).toBeGreaterThan(0);
  expect(served).toBeLessThan(pulls.length);
  for (const pull of [...pulls, theirs]) {
    expect(rig.github.ourComment(pull)?.body).toContain('### 🟢 Preview is ready');
    expect(rig.github.checksOf(pull.sha)).toMatchObject([{ conclusion: 'success' }]);
    expect(
      rig.github
        .deployments(pull.repository)
        .find(({ sha }) => sha === pull.sha)
        ?.statuses.at(-1)?.state,
    ).toBe('success');
  }
  const installation = rig.github.installationIdOf(repo);
  expect(mostInAMinute(rig.github, installation)).toBeLessThanOrEqual(80);
  // Forty pulls are 40 comments made and 40 edited, and 160 other writes, of which 84 a minute are taken.
  expect(minutes).toBeLessThan(10);
});
