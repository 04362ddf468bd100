import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { expect, inject } from 'vitest';
import type { ChildWorld } from './child.ts';
import type { Files } from './doubles/git/git.ts';
import type { GoogleDouble } from './doubles/google.ts';
import type { StagePull } from './doubles/stage.ts';
import { onDatabase } from './postgres.ts';
import { nodeApp } from './scenarios/apps.ts';
import { until } from './world.ts';

/** Opens pulls in repositories of their own, told apart by number alone. */
export function pullOpener({ forge }: Pick<ChildWorld, 'forge'>, owner: string): (files: Files, base?: Files) => Promise<StagePull> {
  let made = 0;
  return async (files, base = nodeApp('main')) => {
    const repo = await forge.createRepository({ name: `${owner}-${++made}/shop-${made}`, files: base });
    for (let n = 1; n < made; n++) repo.nextNumber++;
    return forge.openPull(repo, { files });
  };
}

/** The site is at the pull's commit and answers; on the forge there is one comment, one check and one deployment of it, which say so. */
export async function expectConverged(w: ChildWorld, pull: StagePull, body: string): Promise<void> {
  await w.reaches(pull, 'ready', pull.sha);
  expect((await w.visit(pull)).body).toBe(body);
  await until('its comment', () => w.forge.ourComment(pull)?.body.includes('### 🟢 Preview is ready'));
  await until('its check', () => w.checks(pull.sha)[0] === 'success');
  const deployments = () => w.deployed(pull.repository).filter(({ sha }) => sha === pull.sha);
  await until('its deployment', () => deployments().length > 0);
  expect(w.forge.ourComments(pull)).toHaveLength(1);
  expect(w.checks(pull.sha)).toHaveLength(1);
  expect(deployments()).toHaveLength(1);
}

/** The pull is closed, and nothing of its site is left on this machine, on the servers or on the forge. */
export async function expectClosed(w: ChildWorld, pull: StagePull): Promise<void> {
  await w.forge.close(pull);
  await expectGone(w, pull);
}

/** As above, for a pull that is closed already. Its site must be the only one of the world. */
export async function expectGone(w: ChildWorld, pull: StagePull): Promise<void> {
  const { id } = await w.reaches(pull, 'ended');
  await until('its comment', () => w.forge.ourComment(pull)?.body.includes('### ⚪ Preview has ended'));
  await until('its deployments to go', () => w.deployed(pull.repository).length === 0);
  expect(w.forge.ourComments(pull)).toHaveLength(1);
  for (const [place, there] of Object.entries(await leftBehind(w))) expect({ [place]: there }).toEqual({ [place]: [] });
  // A child that waits for work has an empty folder of its own.
  const used = async () => (await readdir(join(w.dataDir, 'pulumi', 'tmp'), { recursive: true })).filter((name) => name.includes('/'));
  await until('the engine’s working folders to go', async () => (await used()).length === 0);
  expect((await readdir(join(w.dataDir, 'run'))).filter((name) => name.startsWith('box-'))).toEqual([]);
  expect((await w.descendants()).filter(({ command }) => command.includes('server.js'))).toEqual([]);
  if (w.database !== null) expect(await leftOnServer(w.database.name, id.toLowerCase())).toEqual([]);
}

/** What there is of any site, by place: folders of the data dir, and what is on Google Cloud but for the repositories' caches. */
export async function leftBehind({
  google,
  dataDir,
}: Pick<ChildWorld, 'google' | 'dataDir'>): Promise<Readonly<Record<string, readonly string[]>>> {
  const folders = ['work', 'pulumi/running', ...(google === null ? ['run/s', 'run/services', 'artefacts', 'artefact-users'] : [])];
  const here = await Promise.all(folders.map(async (folder) => [folder, await namesIn(join(dataDir, folder))] as const));
  return { ...Object.fromEntries(here), ...(google === null ? {} : leftOnGoogle(google)) };
}

/** One that nobody has needed yet is not there. */
const namesIn = (folder: string): Promise<readonly string[]> =>
  readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });

function leftOnGoogle({ cloud }: GoogleDouble): Readonly<Record<string, readonly string[]>> {
  return {
    services: [...cloud.services.keys()],
    images: [...cloud.images.keys()].filter((name) => !name.includes('cache')),
    objects: [...cloud.buckets.values()].flatMap(({ objects }) => [...objects.keys()]),
    builds: [...cloud.builds].flatMap(([name, { status }]) => (status === 'WORKING' || status === 'QUEUED' ? [name] : [])),
  };
}

/** Databases and roles of the site, and lines of the engine's state. */
async function leftOnServer(database: string, site: string): Promise<readonly unknown[]> {
  const server = inject('postgresUrl');
  const ask = async (on: string, text: string): Promise<readonly unknown[]> => {
    const client = new pg.Client(on);
    await client.connect();
    try {
      return (await client.query(text, [`%${site}%`])).rows;
    } finally {
      await client.end();
    }
  };
  return [
    ...(await ask(server, 'select datname from pg_database where datname like $1')),
    ...(await ask(server, 'select rolname from pg_roles where rolname like $1')),
    ...(await ask(onDatabase(server, `${database}_pulumi`), 'select key from pulumi_state where key like $1')),
  ];
}
