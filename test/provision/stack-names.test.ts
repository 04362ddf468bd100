import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { stackNames } from '../../src/provision/stack-names.ts';

test('a state in a bucket of Google’s is asked for with the credentials that were found', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-credentials-'));
  try {
    const credentials = join(folder, 'credentials.json');
    await writeFile(credentials, JSON.stringify({ type: 'of_the_test' }));
    const looked = stackNames({ pulumiUrl: 'gs://nowhere', credentials, log: pino({ level: 'silent' }) });
    // No request is made with what they are: the engine has read them, and knows no such kind.
    const error: unknown = await looked.catch((thrown: unknown) => thrown);
    expect(error instanceof Error ? String(error.cause) : error).toContain('of_the_test');
  } finally {
    await rm(folder, { recursive: true });
  }
});
