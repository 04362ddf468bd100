import { type CommandLine, openCommandLog, runCommand } from './command-line.ts';
import { type Config, ConfigError, loadConfig } from './config.ts';
import { examine } from './doctor/examine.ts';
import { type Finding, fail, renderFindings, toJson } from './doctor/finding.ts';

const DOCTOR: CommandLine<'table' | 'json'> = {
  usage: `usage: npm run doctor [-- --json]

Looks at everything that Mayfly rests on, changes nothing, and says what to do about what is wrong. Ends with 1 if anything fails.
  --json   prints the same for programs
`,
  wishOf(args) {
    if (args.some((arg) => arg !== '--json')) return { wrong: '' };
    return { wish: args.length > 0 ? 'json' : 'table' };
  },
  async run(wish) {
    const findings = await look();
    process.stdout.write(wish === 'json' ? toJson(findings) : renderFindings(findings));
    return findings.some(({ state }) => state === 'fail') ? 1 : 0;
  },
};

/** With settings that are wrong nothing else can be looked at. */
async function look(): Promise<readonly Finding[]> {
  let config: Config;
  try {
    config = loadConfig();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ name, wrong, example }) => fail('settings', `${name} ${wrong}`, `For example: ${example}`));
  }
  const { log, scrubber } = openCommandLog(config);
  // What is wrong is told in the table; the log is for whoever asks for more.
  log.level = config.logLevel === 'info' ? 'silent' : config.logLevel;
  const findings = await examine(config, { log, hide: scrubber.hide });
  return findings.map((finding) => ({ ...finding, found: scrubber.scrub(finding.found), todo: scrubber.scrub(finding.todo) }));
}

process.exitCode = await runCommand(process.argv.slice(2), DOCTOR);
