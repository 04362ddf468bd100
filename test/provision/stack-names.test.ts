import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { openGoogle } from '../../src/provision/targets/gcp/google.ts';
import { lookAtGcp } from '../../src/provision/targets/gcp/open.ts';

const project = 'mayfly-test';
const account = `nobody@${project}.iam.gserviceaccount.com`;
const accounts = { trusted: account, untrusted: account };

test('a state in a bucket of Google’s is asked for with the credentials that were found', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-credentials-'));
  try {
    const credentials = join(folder, 'credentials.json');
    await writeFile(credentials, JSON.stringify({ type: 'of_the_test' }));
    await using google = openGoogle({ project, endpoint: new URL('http://127.0.0.1:9') });
    const seen = lookAtGcp({
      ...{ instance: 'test', google, previewDatabaseUrl: null, credentials, log: pino({ level: 'silent' }) },
      pulumiUrl: 'gs://nowhere',
      platform: { project, gate: account, runAs: accounts, buildAs: accounts, regions: {} },
    });
    // No request is made with what they are: the engine has read them, and knows no such kind.
    const error: unknown = await seen.stacks?.survey().catch((thrown: unknown) => thrown);
    expect(error instanceof Error ? String(error.cause) : error).toContain('of_the_test');
  } finally {
    await rm(folder, { recursive: true });
  }
});
