import { z } from 'zod';
import type { Pull } from '../test/doubles/github.ts';
import { nodeApp } from '../test/scenarios/apps.ts';
import { openMayfly, until } from './mayfly.ts';
import { below, type Measurement, row } from './measurement.ts';
import { median } from './sample.ts';

const run = z.object({
  msg: z.literal('the engine has run'),
  site: z.string(),
  verb: z.enum(['up', 'destroy']),
  totalMs: z.number(),
  pulumiMs: z.number(),
});
type EngineRun = z.infer<typeof run>;

export const pulumi: Measurement = {
  title: 'Pulumi: what the engine takes of a launch, and of an end',
  async run({ scale, say }) {
    await using mayfly = await openMayfly({ MAYFLY_MAX_SITES: '100' });
    await mayfly.start();
    const repo = await mayfly.github.createRepository({ name: 'bench/pulumi', files: nodeApp('main') });
    const pulls: Pull[] = [];
    const runs = (verb: EngineRun['verb']): readonly EngineRun[] =>
      mayfly
        .log()
        .map((line) => run.safeParse(line).data)
        .filter((one) => one?.verb === verb)
        .filter((one) => one !== undefined);
    for (let n = 0; n < (scale === 'whole' ? 7 : 1); n++) {
      const pull = await mayfly.github.openPull(repo, { files: nodeApp(`${n}`) });
      await mayfly.reaches(pull, 'ready');
      pulls.push(pull);
    }
    const made = runs('up');
    for (const pull of pulls) {
      await mayfly.github.push(pull, nodeApp(`${pull.number} again`));
      await mayfly.reaches(pull, 'ready');
    }
    const updated = runs('up').slice(made.length);
    const ended: number[] = [];
    for (const pull of pulls) {
      const started = performance.now();
      await mayfly.github.close(pull);
      await until(`#${pull.number} to have ended`, async () => (await mayfly.site(pull))?.status === 'ended');
      ended.push((performance.now() - started) / 1_000);
    }
    const gone = runs('destroy');
    say(`${made.length} sites made, ${updated.length} updated, ${gone.length} destroyed, one after the other`);
    const rowOf = (what: string, of: readonly EngineRun[], limit: number) => {
      const alone = of.map(({ pulumiMs }) => pulumiMs);
      const provider = of.map(({ totalMs, pulumiMs }) => totalMs - pulumiMs);
      return [
        row(
          { what: `${what}: the whole run of the engine`, unit: 'ms', ours: of.map(({ totalMs }) => totalMs) },
          { parts: { Pulumi: median(alone), 'processes, files and health: the provider': median(provider) } },
        ),
        row({ what: `${what}: Pulumi alone`, unit: 'ms', ours: alone }, { bar: below(limit, 'ms') }),
      ];
    };
    return [
      ...rowOf('first up', made, 2_000),
      ...rowOf('update', updated, 2_000),
      ...rowOf('destroy', gone, 1_500),
      row({ what: 'close → ended, nothing left', unit: 's', ours: ended }, { bar: below(10, 's') }),
    ];
  },
};
