import { targetContract } from '../contract/target.ts';
import { openGcpWorld } from './gcp.ts';
import { hold } from './local.ts';

targetContract('Google Cloud as a target', async () => ({
  ...(await openGcpWorld()),
  hold,
  app: 'service',
  revisions: 'in place',
}));
