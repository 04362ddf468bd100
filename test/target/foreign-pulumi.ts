// A person's own Pulumi at work on one of the stacks, for as long as its standard input is open: `foreign-pulumi.ts <folder of the CLI> <stack>`.
import { once } from 'node:events';
import { LocalWorkspace, PulumiCommand } from '@pulumi/pulumi/automation/index.js';
import { PROJECT } from '../../infra/labels.ts';

const [, , root = '', stackName = ''] = process.argv;
const over = once(process.stdin.resume(), 'end');
const stack = await LocalWorkspace.createOrSelectStack(
  {
    stackName,
    projectName: PROJECT,
    program: async () => {
      process.stdout.write('at work\n');
      await over;
    },
  },
  { pulumiCommand: await PulumiCommand.get({ root }), secretsProvider: 'passphrase' },
);
await stack.up();
