// A worker that takes a job and never ends it: to be killed in the middle. Its argument is the queues' options as JSON.
import { pino } from 'pino';
import { openQueues } from '../../src/queues.ts';

const queues = await openQueues({ ...JSON.parse(process.argv[2] ?? ''), log: pino({ level: 'silent' }) });
const forEver = async (): Promise<void> => {
  process.stdout.write('at work\n');
  await new Promise(() => undefined);
};
queues.work(
  { intake: forEver, provision: forEver, report: forEver, gaveUp: forEver },
  { concurrency: { intake: 1, provision: 1, report: 1 }, graceMs: 0 },
);
