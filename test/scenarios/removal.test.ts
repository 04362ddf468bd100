import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Pull, Repo } from '../doubles/github.ts';
import { createWorld, until, type World } from '../world.ts';
import { nodeApp, slowBuild } from './apps.ts';

let w: World;
let made = 0;
beforeAll(async () => {
  w = await createWorld();
});
afterAll(() => w[Symbol.asyncDispose]());

const repository = (): Promise<Repo> => w.github.createRepository({ name: `club-${++made}/shop-${made}`, files: nodeApp('main') });
const opened = async (files = nodeApp('hello')): Promise<{ repo: Repo; pull: Pull }> => {
  const repo = await repository();
  return { repo, pull: await w.github.openPull(repo, { files }) };
};
const sources = (): readonly string[] => readdirSync(join(w.dataDir, 'sources'));
const writesTo = (repo: Repo): number =>
  w.github.requests.filter(({ method, path }) => method !== 'GET' && path.startsWith('/repos/') && path.includes(`/${repo.name}/`)).length;
/** What nobody told us is believed once it is so in two rounds on end. */
const twoRounds = async (): Promise<void> => {
  for (const _ of ['one', 'another']) await w.mayfly.reconcileNow();
};
const leftOf = async (pull: Pull) => {
  const site = await w.siteOf(pull);
  return (await w.mayfly.target?.survey())?.filter((found) => found.site === site?.id);
};

test('T-A18: renamed: the site stays, by the numeric id, and a new repository with the old name gets nothing of it', async () => {
  const { repo, pull } = await opened();
  const before = await w.reaches(pull, 'ready');
  const [owner, old] = [repo.owner.login, repo.name];
  await w.github.rename(repo, `${old}-renamed`);
  const sha = await w.github.push(pull, nodeApp('after the rename'));
  const after = await w.reaches(pull, 'ready', sha);
  expect(after).toMatchObject({ id: before.id, host: before.host });
  const usurper = await w.github.createRepository({ name: `${owner}/${old}`, files: nodeApp('other') });
  const theirs = await w.github.openPull(usurper, { files: nodeApp('theirs') });
  expect(theirs.number).toBe(pull.number);
  const site = await w.reaches(theirs, 'ready');
  expect(site.id).not.toBe(before.id);
  expect(site.host).not.toBe(before.host);
  expect((await w.visit(pull)).body).toBe('after the rename');
  expect((await w.visit(theirs)).body).toBe('theirs');
  await w.github.close(theirs);
  await w.reaches(theirs, 'ended');
  expect((await w.visit(pull)).status).toBe(200);
  expect(w.github.ourComments(pull)).toHaveLength(1);
});

test('T-A18: transferred to an owner who has the app: the site stays and follows its pull', async () => {
  const { repo, pull } = await opened();
  const before = await w.reaches(pull, 'ready');
  w.github.install('heirs');
  await w.github.transfer(repo, 'heirs');
  const sha = await w.github.push(pull, nodeApp('inherited'));
  const after = await w.reaches(pull, 'ready', sha);
  expect(after).toMatchObject({ id: before.id, host: before.host });
  expect((await w.visit(pull)).body).toBe('inherited');
  expect(w.github.ourComments(pull)).toHaveLength(1);
});

test('T-A18: transferred to an owner without the app: the site ends', async () => {
  const { repo, pull } = await opened();
  await w.reaches(pull, 'ready');
  await w.github.transfer(repo, 'strangers');
  await twoRounds();
  await w.reaches(pull, 'ended');
  expect((await w.visit(pull)).status).toBe(410);
});

test('removed from the installation while ready: the site ends on our side, what is on the forge is left alone', async () => {
  const { repo, pull } = await opened();
  await w.reaches(pull, 'ready');
  expect(sources()).toContain(`github-${repo.id}.git`);
  const said = w.comment(pull);
  const writes = writesTo(repo);
  await w.github.removeRepository(repo);
  await w.reaches(pull, 'ended');
  expect(sources()).not.toContain(`github-${repo.id}.git`);
  expect(await w.visit(pull)).toMatchObject({ status: 410 });
  expect(await leftOf(pull)).toEqual([]);
  expect(w.comment(pull)).toBe(said);
  expect(writesTo(repo)).toBe(writes);
});

test('removed from the installation while building, and added again: the site comes back by a look at the open pulls', async () => {
  const { repo, pull } = await opened(slowBuild('never'));
  const before = await w.reaches(pull, 'building');
  await w.github.removeRepository(repo);
  await w.reaches(pull, 'ended');
  expect(await leftOf(pull)).toEqual([]);
  expect((await w.visit(pull)).status).toBe(410);
  await w.github.push(pull, nodeApp('back'));
  await w.github.addRepository(repo);
  const after = await w.reaches(pull, 'ready');
  expect(after).toMatchObject({ id: before.id, host: before.host });
  expect((await w.visit(pull)).body).toBe('back');
  expect(w.github.ourComments(pull)).toHaveLength(1);
});

test('a removal that nobody told us of is found by comparing with the forge', async () => {
  const { repo, pull } = await opened();
  await w.reaches(pull, 'ready');
  w.github.sendWebhooksTo(null);
  await w.github.removeRepository(repo);
  w.github.sendWebhooksTo(w.webhooks());
  await twoRounds();
  await w.reaches(pull, 'ended');
  expect((await w.visit(pull)).status).toBe(410);
});

test('a deleted repository ends its sites', async () => {
  const { repo, pull } = await opened();
  await w.reaches(pull, 'ready');
  await w.github.deleteRepository(repo);
  await w.reaches(pull, 'ended');
});

test('uninstalled in the middle of a launch, and installed again: the site ends, and comes back', async () => {
  const { repo, pull } = await opened(slowBuild('never'));
  await w.reaches(pull, 'building');
  await w.github.uninstall(repo.owner.login);
  await w.reaches(pull, 'ended');
  expect(await leftOf(pull)).toEqual([]);
  await w.github.push(pull, nodeApp('again'));
  await w.github.addRepository(repo);
  await w.reaches(pull, 'ready');
  expect((await w.visit(pull)).body).toBe('again');
});

test('suspended: the sites end; unsuspended: they come back', async () => {
  const { repo, pull } = await opened();
  await w.reaches(pull, 'ready');
  await w.github.suspend(repo.owner.login, 'suspend');
  await w.reaches(pull, 'ended');
  expect((await w.visit(pull)).status).toBe(410);
  await w.github.suspend(repo.owner.login, 'unsuspend');
  // GitHub does not say which repositories are open to us again.
  await w.mayfly.reconcileNow();
  await until('the site to come back', async () => (await w.siteOf(pull))?.status === 'ready');
});

test('close → nothing left, in the middle of an up and when ready', async () => {
  const { pull } = await opened();
  await until('the deploy', async () => (await w.siteOf(pull))?.status === 'deploying');
  await w.github.close(pull);
  await w.reaches(pull, 'ended');
  expect(await leftOf(pull)).toEqual([]);
  await w.github.reopen(pull);
  await w.reaches(pull, 'ready');
  await w.github.close(pull);
  await until('nothing to be left', async () => (await w.siteOf(pull))?.status === 'ended' && (await leftOf(pull))?.length === 0);
});
