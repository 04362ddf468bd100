import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { GCP_TYPES } from '../../infra/preview-gcp.ts';
import { openRegionDatabases } from '../../src/provision/targets/gcp/region-databases.ts';
import { resourceKinds } from '../../src/provision/targets/gcp/resources.ts';
import { silent } from '../store/open.ts';

test('a server of databases without room is told as a limit, after which the next region is tried', async () => {
  const adminUrl = new URL(inject('postgresUrl'));
  const admin = new pg.Client(adminUrl.href);
  await admin.connect();
  const role = `full_${randomBytes(6).toString('hex')}`;
  await admin.query(`create role ${role} login createdb createrole password 'p' connection limit 0`);
  try {
    Object.assign(adminUrl, { username: role, password: 'p' });
    const where = { adminUrl: adminUrl.href, server: () => null, instance: 'i', passwordKey: randomBytes(32), log: silent };
    await using databases = openRegionDatabases(where);
    const kinds = resourceKinds({ databases, build: () => Promise.reject(new Error('no')), signal: new AbortController().signal });
    const made = kinds[GCP_TYPES.database]?.create({ site: '01M8D4ZFSVVVPSZGVSX1XAW4WZ', region: 'europe-west1', content: 'empty' });
    await expect(made).rejects.toMatchObject({
      code: 'google-limited',
      details: { action: 'make a database', region: 'eu-belgium' },
    });
  } finally {
    await admin.query(`drop role ${role}`);
    await admin.end();
  }
});
