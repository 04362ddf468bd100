import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { GCP_TYPES } from '../../infra/preview-gcp.ts';
import { openRegionDatabases } from '../../src/provision/targets/gcp/region-databases.ts';
import { resourceKinds } from '../../src/provision/targets/gcp/resources.ts';
import { createCluster } from '../cluster.ts';
import { createDatabase } from '../postgres.ts';
import { silent } from '../store/open.ts';

/** Has a site's database made on that server. */
async function makeAs(adminUrl: string): Promise<unknown> {
  await using databases = openRegionDatabases({ adminUrl, server: () => null, instance: 'i', passwordKey: randomBytes(32), log: silent });
  const kinds = resourceKinds({ databases, build: () => Promise.reject(new Error('no')), signal: new AbortController().signal });
  return await kinds[GCP_TYPES.database]?.create({ site: '01M8D4ZFSVVVPSZGVSX1XAW4WZ', region: 'europe-west1', content: 'empty' });
}

/** A role that may make what sites need, gone with its server's, or the test's, end. */
async function openRole(
  url: string,
): Promise<AsyncDisposable & { readonly url: string; readonly name: string; readonly admin: pg.Client }> {
  const admin = new pg.Client(url);
  await admin.connect();
  const name = `makes_${randomBytes(6).toString('hex')}`;
  await admin.query(`create role ${name} login createdb createrole password 'p'`);
  return {
    name,
    admin,
    url: Object.assign(new URL(url), { username: name, password: 'p' }).href,
    async [Symbol.asyncDispose]() {
      await admin.query(`drop role ${name}`);
      await admin.end();
    },
  };
}

/** Connects until the server has no room for one more. */
async function fill(url: string, opened: AsyncDisposableStack): Promise<void> {
  for (;;) {
    const client = new pg.Client(url);
    try {
      await client.connect();
      opened.defer(() => client.end());
    } catch (error) {
      expect(error).toMatchObject({ code: '53300' });
      return;
    }
  }
}

test('a server of databases without room is told as a limit, after which the next region is tried', async () => {
  await using cluster = await createCluster({ max_connections: '8' });
  await using role = await openRole(cluster.url);
  const full = { code: 'google-limited', details: { action: 'make a database', region: 'eu-belgium' } };
  await using connections = new AsyncDisposableStack();
  await fill(role.url, connections);
  await expect(makeAs(role.url), 'what is left is for superusers').rejects.toMatchObject(full);
  await fill(cluster.url, connections);
  await expect(makeAs(cluster.url), 'nothing is left').rejects.toMatchObject(full);
});

test.each(['role', 'database'] as const)('a limit of a %s’s own does not make a region full', async (limited) => {
  await using database = await createDatabase(inject('postgresUrl'));
  await using role = await openRole(database.url);
  await role.admin.query(`alter ${limited} ${limited === 'role' ? role.name : database.name} connection limit 0`);
  await expect(makeAs(role.url)).rejects.toMatchObject({ code: '53300', message: expect.stringContaining(`for ${limited} "`) });
});
