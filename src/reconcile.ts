import { type CommandLine, openCommandLog, runCommand } from './command-line.ts';
import { loadConfig } from './config.ts';
import { renderDone, renderPlan } from './expiry/table.ts';
import { planReconcile, reconcileOnce } from './open-reconcile.ts';

const RECONCILE: CommandLine<'dry run' | 'for real'> = {
  usage: `usage: npm run reconcile [-- --dry-run]

Compares what should exist with what does, on the forges and where sites run, once, and puts right what differs.
  --dry-run   changes nothing, and prints what would be done
`,
  wishOf(args) {
    if (args.some((arg) => arg !== '--dry-run')) return { wrong: '' };
    return { wish: args.length > 0 ? 'dry run' : 'for real' };
  },
  /** The table goes to standard output, all else to standard error. */
  async run(wish) {
    const config = loadConfig();
    const { log, scrubber } = openCommandLog(config);
    if (wish === 'dry run') {
      process.stdout.write(renderPlan(await planReconcile(config, { log, hide: scrubber.hide })));
      return 0;
    }
    const done = await reconcileOnce(config, { log, hide: scrubber.hide });
    process.stdout.write(renderDone(done));
    return done.some(({ outcome }) => outcome === 'failed') ? 1 : 0;
  },
};

process.exitCode = await runCommand(process.argv.slice(2), RECONCILE);
