import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { ensureGateRole } from '../../src/store/gate-role.ts';
import { openAdmin, ROLES_LOCK } from '../../src/store/roles.ts';
import { createDatabase } from '../postgres.ts';
import { silent } from '../store/open.ts';

const admit = (adminUrl: string): Promise<void> => ensureGateRole({ adminUrl, password: 'p', sessionName: 'mayfly:1', log: silent });

test('a host that stands still in the middle of changing rights is shut out, and the others go on', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  const frozen = await openAdmin(database.url, 'mayfly:2', silent);
  await frozen.query('begin');
  await frozen.query('select pg_advisory_xact_lock($1)', [ROLES_LOCK]);
  await admit(database.url);
  await expect(frozen.query('commit')).rejects.toThrow();
});

test('who waits for one that is not shut out gives up', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  const other = new pg.Client(database.url);
  await other.connect();
  await other.query('select pg_advisory_lock($1)', [ROLES_LOCK]);
  await expect(admit(database.url)).rejects.toThrow('canceling statement due to lock timeout');
  await other.end();
});
