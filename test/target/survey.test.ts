import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ulid } from 'ulid';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { ownerOfStack, stackName } from '../../infra/labels.ts';
import { openArtefactUsers } from '../../src/provision/artefact-users.ts';
import { openArtefacts } from '../../src/provision/artefacts.ts';
import { lookAtLocal } from '../../src/provision/targets/local/look.ts';
import { toLaunchId, toSiteId } from '../../src/site/identity.ts';
import type { Found } from '../../src/site/ports.ts';
import { answering, watching } from '../contract/target.ts';
import { hold, type LocalWorld, log, openLocalWorld, orderOf } from './local.ts';

let w: LocalWorld;
beforeAll(async () => {
  w = await openLocalWorld();
});
afterAll(() => w[Symbol.asyncDispose]());

const sockets = (): string => join(w.folder, 'run');
const look = () =>
  lookAtLocal({
    ...{ instance: w.instance, dataDir: w.folder, runFolder: join(w.folder, 'elsewhere'), log },
    ...{ pulumiUrl: w.backendUrl, previewUrl: inject('postgresUrl'), owner: 'nobody' },
  });
const inOrder = (found: readonly Found[]) => [...found].sort((one, other) => (one.name < other.name ? -1 : 1));

test('a stack says whose it is, by its name alone', () => {
  const site = ulid();
  const name = stackName('local', { instance: 'one', site });
  expect(ownerOfStack('local', 'one', name)).toEqual({ site });
  expect(ownerOfStack('local', 'two', name)).toBe('another');
  expect(ownerOfStack('gcp', 'one', name)).toBe('another');
  for (const strange of [
    `local-${site.toLowerCase()}`,
    'local-',
    'local-by-hand',
    `${name}-2`,
    name.toUpperCase().replace('LOCAL', 'local'),
  ])
    expect(ownerOfStack('local', 'one', strange)).toBe('unknown');
});

test('everything of ours is found, nothing of another Mayfly’s, and from outside the same is seen', async () => {
  const artefact = await w.artefact({ 'server.js': answering('x') });
  const order = orderOf({ artefact, database: await w.seed('create table t (n int)') });
  await w.target.deploy(hold(), order, watching());
  const { signal } = watching();
  await w.stacks.init(hold(), stackName('local', { instance: 'another', site: ulid() }), signal);
  await w.stacks.init(hold(), `local-${ulid().toLowerCase()}`, signal);
  const theirs = `mf_ffffffff_${ulid().toLowerCase()}_00000000`;
  await w.sql('postgres', `create role ${theirs}`);
  const found = await w.target.survey();
  expect(found.map(({ kind, site }) => `${kind} of ${site === order.site ? 'the site' : site}`).sort()).toEqual([
    'database of the site',
    'process of the site',
    'stack of null',
    'stack of the site',
  ]);
  // The services of this world are not where Mayfly has them, and its artefacts are noted nowhere.
  const comparable = (all: readonly Found[]) => inOrder(all.filter(({ kind }) => kind === 'stack' || kind === 'database'));
  expect(comparable(await look())).toEqual(comparable(found));
  await w.sql('postgres', `drop role ${theirs}`);
  await w.target.destroy(hold(), order.site, { signal });
});

test('a socket is nobody’s once no service has it, and not while one starts or runs', async () => {
  const artefact = await w.artefact({ 'server.js': answering('x') });
  const order = orderOf({ artefact });
  let during: readonly Found[] = [];
  const log = async (): Promise<void> => {
    during = await w.supervisor.strays();
  };
  const slow = { ...order, artefact: await w.artefact({ 'server.js': `console.log('up'); ${answering('x')}` }) };
  await w.target.deploy(hold(), slow, watching({ log: () => void log() }));
  expect([during, await w.supervisor.strays()]).toEqual([[], []]);
  const before = await readdir(sockets());
  await writeFile(join(sockets(), '0123456789abcdef.sock'), '');
  await writeFile(join(sockets(), 'fedcba9876543210.sock~'), '');
  const strays = await w.supervisor.strays();
  expect(strays).toEqual([
    { kind: 'socket', name: '0123456789abcdef.sock', site: 'nobody' },
    { kind: 'socket', name: 'fedcba9876543210.sock~', site: 'nobody' },
  ]);
  for (const stray of strays) await w.target.discard(stray);
  // What a service has is never taken for a stray, whatever is asked.
  for (const name of before) await w.target.discard({ kind: 'socket', name, site: 'nobody' });
  await w.target.discard({ kind: 'socket', name: '../services', site: 'nobody' });
  expect(await readdir(sockets())).toEqual(before);
  await w.target.destroy(hold(), order.site, { signal: watching().signal });
});

test('artefacts: notes say whose they are, what nobody uses is nobody’s, and what is used by then stays', async () => {
  const artefacts = await openArtefacts(w.folder);
  const users = await openArtefactUsers(w.folder, artefacts);
  const [site, other] = [toSiteId('01J0000000000000000000000A'), toSiteId('01J0000000000000000000000B')];
  const kept = join(w.folder, 'artefacts');
  const before = await readdir(kept);
  for (const key of ['shared', 'own', 'unused', 'claimed']) await mkdir(join(kept, key));
  await users.use(site, toLaunchId(ulid()), 'shared');
  await users.use(other, toLaunchId(ulid()), 'shared');
  await users.use(site, toLaunchId(ulid()), 'own');
  const found = await users.survey();
  expect(found.filter(({ name }) => !before.includes(name)).map(({ name, site: of }) => [name, of])).toEqual([
    [`of ${site}`, site],
    [`of ${other}`, other],
    ['claimed', 'nobody'],
    ['unused', 'nobody'],
  ]);
  await users.use(other, toLaunchId(ulid()), 'claimed');
  for (const one of found) if (one.site === 'nobody' && !before.includes(one.name)) await users.discard(one);
  await users.destroy(hold(), site, watching());
  expect((await readdir(kept)).filter((name) => !before.includes(name))).toEqual(['claimed', 'shared']);
  expect((await users.survey()).filter(({ site: of }) => of === site)).toEqual([]);
});
