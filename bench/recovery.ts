import { setTimeout as delay } from 'node:timers/promises';
import { nodeApp } from '../test/scenarios/apps.ts';
import { openMayfly } from './mayfly.ts';
import { type Measurement, row } from './measurement.ts';
import { quantile } from './sample.ts';

const KILLS = 50;
/** Most of the time a killed one's lease is waited for, so that several can do so side by side. */
const AT_ONCE = 5;
/** A launch of this app takes about as long. */
const LAUNCH_MS = 3_000;

/** Kills a Mayfly at some moment of a launch, starts it again, and counts the seconds from the kill until the site is there and said. */
async function killSeries(count: number, series: number): Promise<readonly number[]> {
  await using mayfly = await openMayfly({ MAYFLY_MAX_SITES: '100' });
  await mayfly.start();
  const repo = await mayfly.github.createRepository({ name: `bench/kills-${series}`, files: nodeApp('main') });
  const seconds: number[] = [];
  for (let n = 0; n < count; n++) {
    const text = `kill ${series}.${n}`;
    const pull = await mayfly.github.openPull(repo, { files: nodeApp(text) });
    // Moments spread evenly over the launch, no two alike.
    await delay(((n + series / AT_ONCE) / count) * LAUNCH_MS);
    const killed = performance.now();
    await mayfly.end('SIGKILL');
    await mayfly.start();
    const site = await mayfly.reaches(pull, 'ready');
    const { body } = await mayfly.visit(site);
    if (body !== text) throw new Error(`#${pull.number} shows ${JSON.stringify(body)} instead of ${text}`);
    if (mayfly.github.ourComments(pull).length !== 1) throw new Error(`#${pull.number} has not one comment`);
    seconds.push((performance.now() - killed) / 1_000);
    await mayfly.github.close(pull);
  }
  return seconds;
}

export const recovery: Measurement = {
  title: 'Recovery: from SIGKILL in the middle of a launch until the site is there and said',
  async run({ scale, say }) {
    const atOnce = scale === 'whole' ? AT_ONCE : 1;
    const each = scale === 'whole' ? KILLS / AT_ONCE : 1;
    const series = await Promise.all(Array.from({ length: atOnce }, (_, n) => killSeries(each, n)));
    const seconds = series.flat();
    say(
      `${seconds.length} kills, ${atOnce} Mayflys side by side: ${[0, 0.1, 0.5, 0.9, 1].map((q) => `${q * 100} % within ${quantile(seconds, q).toFixed(1)} s`).join(', ')}`,
    );
    const worst = Math.max(...seconds);
    return [
      row({ what: 'killed → converged', unit: 's', ours: seconds }),
      row(
        { what: 'the slowest of them', unit: 's', ours: [worst] },
        { bar: { text: '< 60 s and the work', is: (ours) => ours < 60 + LAUNCH_MS / 1_000 } },
      ),
    ];
  },
};
