import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { asked } from '../../doubles/asked.ts';
import type { ForgeName, StagePull, StageRepo } from '../../doubles/stage.ts';
import { createWorld, type TargetName, until, type World } from '../../world.ts';
import { nodeApp, slowBuild } from '../apps.ts';

/** Repositories that go, and what is left of their sites, on either forge. */
export function removal(forge: ForgeName, target: TargetName = 'local'): void {
  const said = {
    github: { theirs: 'an owner who has the app', strangers: 'an owner without the app', removed: 'removed from the installation' },
    gitlab: { theirs: 'another group, members with it', strangers: 'a group that we are not in', removed: 'no member any more' },
  }[forge];
  let w: World;
  let made = 0;
  beforeAll(async () => {
    w = await createWorld({}, { forge, target });
  });
  afterAll(() => w[Symbol.asyncDispose]());

  const repository = (): Promise<StageRepo> => w.forge.createRepository({ name: `club-${++made}/shop-${made}`, files: nodeApp('main') });
  const opened = async (files = nodeApp('hello')): Promise<{ repo: StageRepo; pull: StagePull }> => {
    const repo = await repository();
    return { repo, pull: await w.forge.openPull(repo, { files }) };
  };
  const sources = (): readonly string[] => readdirSync(join(w.dataDir, 'sources'));
  const writesTo = (repo: StageRepo): number =>
    w.forge.requests.filter((one) => asked[forge].writes(one) && asked[forge].isOf(repo)(one)).length;
  /** What nobody told us is believed once it is so in two rounds on end. */
  const twoRounds = async (): Promise<void> => {
    for (const _ of ['one', 'another']) await w.mayfly.reconcileNow();
  };
  /** GitLab tells nobody where we are no member any more, or are one again, nor of a project that is gone: a look finds it. */
  const heardOf = (): Promise<void> => (forge === 'gitlab' ? twoRounds() : Promise.resolve());
  const ownerOf = ({ name }: StageRepo): string => name.replace('shop', 'club');
  const leftOf = async (pull: StagePull) => {
    const site = await w.siteOf(pull);
    return (await w.mayfly.target?.survey())?.filter((found) => found.site === site?.id);
  };

  test('T-A18: renamed: the site stays, by the numeric id, and a new repository with the old name gets nothing of it', async () => {
    const { repo, pull } = await opened();
    const before = await w.reaches(pull, 'ready');
    const [owner, old] = [ownerOf(repo), repo.name];
    await w.forge.rename(repo, `${old}-renamed`);
    const sha = await w.forge.push(pull, nodeApp('after the rename'));
    const after = await w.reaches(pull, 'ready', sha);
    expect(after).toMatchObject({ id: before.id, host: before.host });
    const usurper = await w.forge.createRepository({ name: `${owner}/${old}`, files: nodeApp('other') });
    const theirs = await w.forge.openPull(usurper, { files: nodeApp('theirs') });
    expect(theirs.number).toBe(pull.number);
    const site = await w.reaches(theirs, 'ready');
    expect(site.id).not.toBe(before.id);
    expect(site.host).not.toBe(before.host);
    expect((await w.visit(pull)).body).toBe('after the rename');
    expect((await w.visit(theirs)).body).toBe('theirs');
    await w.forge.close(theirs);
    await w.reaches(theirs, 'ended');
    expect((await w.visit(pull)).status).toBe(200);
    expect(w.forge.ourComments(pull)).toHaveLength(1);
  });

  test(`T-A18: transferred to ${said.theirs}: the site stays and follows its pull`, async () => {
    const { repo, pull } = await opened();
    const before = await w.reaches(pull, 'ready');
    // On GitLab members go along with their project.
    if (forge === 'github') w.github.install('heirs');
    await w.forge.transfer(repo, 'heirs');
    const sha = await w.forge.push(pull, nodeApp('inherited'));
    const after = await w.reaches(pull, 'ready', sha);
    expect(after).toMatchObject({ id: before.id, host: before.host });
    expect((await w.visit(pull)).body).toBe('inherited');
    expect(w.forge.ourComments(pull)).toHaveLength(1);
  });

  test(`T-A18: transferred to ${said.strangers}: the site ends`, async () => {
    const { repo, pull } = await opened();
    await w.reaches(pull, 'ready');
    await w.forge.transfer(repo, 'strangers');
    // On GitLab what a group's token may is inherited, and stays behind.
    if (forge === 'gitlab') w.gitlab.state.repositories.get(repo.id)?.roles.delete(w.gitlab.us.login);
    await twoRounds();
    await w.reaches(pull, 'ended');
    expect((await w.visit(pull)).status).toBe(410);
  });

  test(`${said.removed} while ready: the site ends on our side, what is on the forge is left alone`, async () => {
    const { repo, pull } = await opened();
    await w.reaches(pull, 'ready');
    expect(sources()).toContain(`${forge}-${repo.id}.git`);
    const before = w.comment(pull);
    const writes = writesTo(repo);
    await w.forge.removeRepository(repo);
    await heardOf();
    await w.reaches(pull, 'ended');
    expect(sources()).not.toContain(`${forge}-${repo.id}.git`);
    expect(await w.visit(pull)).toMatchObject({ status: 410 });
    expect(await leftOf(pull)).toEqual([]);
    expect(w.comment(pull)).toBe(before);
    expect(writesTo(repo)).toBe(writes);
  });

  test(`${said.removed} while building, and added again: the site comes back by a look at the open pulls`, async () => {
    const { repo, pull } = await opened(slowBuild('never'));
    const before = await w.reaches(pull, 'building');
    await w.forge.removeRepository(repo);
    await heardOf();
    await w.reaches(pull, 'ended');
    expect(await leftOf(pull)).toEqual([]);
    expect((await w.visit(pull)).status).toBe(410);
    await w.forge.push(pull, nodeApp('back'));
    await w.forge.addRepository(repo);
    await heardOf();
    const after = await w.reaches(pull, 'ready');
    expect(after).toMatchObject({ id: before.id, host: before.host });
    expect((await w.visit(pull)).body).toBe('back');
    expect(w.forge.ourComments(pull)).toHaveLength(1);
  });

  test('a removal that nobody told us of is found by comparing with the forge', async () => {
    const { repo, pull } = await opened();
    await w.reaches(pull, 'ready');
    w.forge.sendWebhooksTo(null);
    await w.forge.removeRepository(repo);
    w.forge.sendWebhooksTo(w.webhooks());
    await twoRounds();
    await w.reaches(pull, 'ended');
    expect((await w.visit(pull)).status).toBe(410);
  });

  test('a deleted repository ends its sites', async () => {
    const { repo, pull } = await opened();
    await w.reaches(pull, 'ready');
    await w.forge.deleteRepository(repo);
    await heardOf();
    await w.reaches(pull, 'ended');
  });

  test('close → nothing left, in the middle of an up and when ready', async () => {
    const { pull } = await opened();
    await until('the deploy', async () => (await w.siteOf(pull))?.status === 'deploying');
    await w.forge.close(pull);
    await w.reaches(pull, 'ended');
    expect(await leftOf(pull)).toEqual([]);
    await w.forge.reopen(pull);
    await w.reaches(pull, 'ready');
    await w.forge.close(pull);
    await until('nothing to be left', async () => (await w.siteOf(pull))?.status === 'ended' && (await leftOf(pull))?.length === 0);
  });

  // GitLab knows no installation: there is one token, and what happens when it is void is in gitlab.test.ts.
  if (forge === 'gitlab') return;
  test('uninstalled in the middle of a launch, and installed again: the site ends, and comes back', async () => {
    const { repo, pull } = await opened(slowBuild('never'));
    await w.reaches(pull, 'building');
    await w.github.uninstall(ownerOf(repo));
    await w.reaches(pull, 'ended');
    expect(await leftOf(pull)).toEqual([]);
    await w.forge.push(pull, nodeApp('again'));
    await w.forge.addRepository(repo);
    await w.reaches(pull, 'ready');
    expect((await w.visit(pull)).body).toBe('again');
  });

  test('suspended: the sites end; unsuspended: they come back', async () => {
    const { repo, pull } = await opened();
    await w.reaches(pull, 'ready');
    await w.github.suspend(ownerOf(repo), 'suspend');
    await w.reaches(pull, 'ended');
    expect((await w.visit(pull)).status).toBe(410);
    await w.github.suspend(ownerOf(repo), 'unsuspend');
    // GitHub does not say which repositories are open to us again.
    await w.mayfly.reconcileNow();
    await until('the site to come back', async () => (await w.siteOf(pull))?.status === 'ready');
  });
}
