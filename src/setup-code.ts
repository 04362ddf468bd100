import { ulid } from 'ulid';
import { openCodes } from './app/setup/code.ts';
import { type CommandLine, openCommandLog, runCommand } from './command-line.ts';
import { loadConfig } from './config.ts';
import { openBeside } from './open-beside.ts';
import { invitation } from './open-setup.ts';

const SETUP_CODE: CommandLine<'print'> = {
  usage: `usage: npm run setup-code

Prints a new code that opens /setup of the Mayfly that runs here, once. The code before it is worth nothing any more.
`,
  wishOf: (args) => (args.length > 0 ? { wrong: '' } : { wish: 'print' }),
  async run() {
    const config = loadConfig();
    await using opening = new AsyncDisposableStack();
    const { store } = await openBeside(config, { purpose: 'to change', log: openCommandLog(config).log, newId: ulid }, opening);
    process.stdout.write(await invitation(openCodes(store.tickets), config.publicUrl, 'somebody asked'));
    return 0;
  },
};

process.exitCode = await runCommand(process.argv.slice(2), SETUP_CODE);
