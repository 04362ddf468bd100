import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { ulid } from 'ulid';
import { inject } from 'vitest';
import { hashed, instanceTag, stackName } from '../../infra/labels.ts';
import { openStacks, type Stacks } from '../../src/provision/stack.ts';
import { toSiteId } from '../../src/site/identity.ts';
import { onDatabase } from '../postgres.ts';
import { CLI_ROOT, hold, log } from '../target/local.ts';

/** What a Mayfly has on this machine, for hands that put there what nobody made. */
export type Ground = {
  readonly dataDir: string;
  /** Name of Mayfly's database, and a server's address of somebody who may do everything there. */
  readonly database: string;
  readonly server: string;
};

export async function onServer<T>(server: string, deed: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(server);
  await client.connect();
  try {
    return await deed(client);
  } finally {
    await client.end();
  }
}

/** This Mayfly's name in the labels of what it makes. */
export const instanceOf = ({ server, database }: Ground): Promise<string> =>
  onServer(onDatabase(server, database), async (client) => {
    const { rows } = await client.query<{ value: string }>(`select value from mayfly.keepsakes where key = 'instance'`);
    return rows[0]?.value ?? '';
  });

/** Stacks beside those of the Mayfly, in the same place. */
export async function withStacks<T>({ dataDir, server, database }: Ground, deed: (stacks: Stacks) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-planted-'));
  try {
    const backendUrl = onDatabase(server, `${database}_pulumi`);
    const passphraseFile = join(dataDir, 'pulumi', 'passphrase');
    await using stacks = await openStacks({ backendUrl, passphraseFile, cliRoot: CLI_ROOT, folder, wrap: 'setpriv', log });
    return await deed(stacks);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Things of sites that no row knows: ours, another Mayfly's in the same places, and what says too little of itself.
 * @param what `of a site`: without the socket and the artefact that are nobody's
 */
export async function plant(ground: Ground, what: 'all' | 'of a site' = 'all') {
  const { dataDir, server } = ground;
  const instance = await instanceOf(ground);
  const site = toSiteId(ulid());
  const databaseOf = (of: string): string => `mf_${instanceTag(of)}_${site.toLowerCase()}_00000000`;
  const key = hashed(site, 64);
  const names = {
    ours: { stack: stackName('local', { instance, site }), database: databaseOf(instance), key, noted: hashed(`${site} noted`, 64) },
    theirs: { stack: stackName('local', { instance: 'another', site }), database: databaseOf('another') },
    // Before all others in order of names.
    nobodys: { stack: 'local-0-by-hand' },
  };
  await withStacks(ground, async (stacks) => {
    for (const stack of [names.ours.stack, names.theirs.stack, names.nobodys.stack])
      await stacks.init(hold(), stack, new AbortController().signal);
  });
  await onServer(server, async (client) => {
    for (const name of [names.ours.database, names.theirs.database]) await client.query(`create database ${name}`);
    await client.query(`create role ${names.ours.database}`);
  });
  const files = {
    socket: join(dataDir, 'run', 's', `${hashed('dead', 16)}.sock`),
    artefact: join(dataDir, 'artefacts', key),
    note: join(dataDir, 'artefact-users', site),
    noted: join(dataDir, 'artefacts', names.ours.noted),
  };
  if (what === 'all') {
    await mkdir(join(files.artefact, 'files'), { recursive: true });
    await writeFile(files.socket, '');
  }
  await mkdir(join(files.noted, 'files'), { recursive: true });
  await writeFile(files.note, JSON.stringify({ [ulid()]: names.ours.noted }));
  return {
    site,
    names,
    /** Which of all that is there. */
    async left() {
      const stacks = await withStacks(ground, (it) => it.list());
      const rows = await onServer(server, (client) => client.query<{ name: string }>('select datname as name from pg_database'));
      const databases = rows.rows.map(({ name }) => name);
      return {
        stacks: Object.values(names)
          .map(({ stack }) => stack)
          .filter((name) => stacks.includes(name)),
        databases: [names.ours.database, names.theirs.database].filter((name) => databases.includes(name)),
        files: Object.entries(files).flatMap(([what, path]) => (existsSync(path) ? [what] : [])),
      };
    },
    async [Symbol.asyncDispose]() {
      await onServer(server, async (client) => {
        for (const name of [names.ours.database, names.theirs.database]) await client.query(`drop database if exists ${name} with (force)`);
        await client.query(`drop role if exists ${names.ours.database}`);
      });
    },
  };
}

export const serverOfTests = (): string => inject('postgresUrl');

/** A service that was declared for a site that no row knows. */
export async function plantService(dataDir: string): Promise<string> {
  const site = ulid();
  const spec = {
    ...{ name: `${site}/${ulid()}`, site, folder: dataDir, cwd: '.', command: 'node server.js', env: {}, port: 3000 },
    ...{ health: '/', idleMs: 60_000, database: 'none' },
  };
  const folder = join(dataDir, 'run', 'services');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${hashed(spec.name, 32)}.json`), JSON.stringify(spec));
  await writeFile(join(folder, 'damaged.json'), '{"name":');
  return spec.name;
}
