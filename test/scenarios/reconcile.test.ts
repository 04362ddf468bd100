import { ulid } from 'ulid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Found } from '../../src/site/ports.ts';
import type { Pull } from '../doubles/github.ts';
import { createWorld, until, type World } from '../world.ts';
import { nodeApp } from './apps.ts';
import { plant, plantService, serverOfTests } from './planted.ts';

/** Nobody listens there: a webhook to it fails, and GitHub remembers. */
const DEAD_DOOR = 'http://127.0.0.1:9/';

describe('reconcile', () => {
  let w: World;
  let made = 0;
  beforeAll(async () => {
    // Without the clock nothing is compared but when the test says so.
    w = await createWorld({ MAYFLY_ROLES: 'web,gate,worker' });
  });
  afterAll(() => w[Symbol.asyncDispose]());
  const repository = () => w.github.createRepository({ name: `rec-${++made}/shop-${made}`, files: nodeApp('main') });
  const ground = () => ({ dataDir: w.dataDir, database: w.database.name, server: serverOfTests() });
  const pullsOf = (guid: string) => w.github.deliveries.filter((delivery) => delivery.guid === guid);

  test('a pull without a site is looked at once, and again when its labels or the settings of its base branch are others', async () => {
    const files = { ...nodeApp('main'), '.mayfly.yml': 'previews: label\n' };
    const repo = await w.github.createRepository({ name: `rec-${++made}/shop-${made}`, files });
    w.github.sendWebhooksTo(null);
    const [labelled, left] = [await w.github.openPull(repo), await w.github.openPull(repo)];
    const looks = async (): Promise<readonly number[]> => {
      const before = w.github.requests.length;
      await w.mayfly.reconcileNow();
      const asked = w.github.requests.slice(before).map(({ path }) => path);
      return [labelled, left].map(({ number }) => asked.filter((path) => path.endsWith(`/${repo.name}/pulls/${number}`)).length);
    };
    // First as pulls that nobody knows, then as those whose settings want no site.
    for (const _ of ['one', 'another']) await looks();
    expect(await looks()).toEqual([0, 0]);
    await w.github.label(labelled, 'preview');
    expect(await looks()).toEqual([1, 0]);
    expect((await w.siteOf(labelled))?.status).toBeDefined();
    await w.github.pushToBranch(repo, 'main', { '.mayfly.yml': 'previews: auto\n' });
    expect((await looks())[1]).toBe(1);
    w.github.sendWebhooksTo(w.webhooks());
    await Promise.all([w.reaches(labelled, 'ready'), w.reaches(left, 'ready')]);
  });

  test('T-F22: a missed close, a missed open, a missed push and a missed reopening are found, in both directions', async () => {
    const repo = await repository();
    const [closes, moves, reopens] = await Promise.all(['a', 'b', 'c'].map((text) => w.github.openPull(repo, { files: nodeApp(text) })));
    if (!closes || !moves || !reopens) throw new Error('no pulls');
    await Promise.all([closes, moves, reopens].map((pull: Pull) => w.reaches(pull, 'ready')));
    await w.github.close(reopens);
    await w.reaches(reopens, 'ended');
    w.github.sendWebhooksTo(null);
    await w.github.close(closes);
    const sha = await w.github.push(moves, nodeApp('moved'));
    await w.github.reopen(reopens);
    const opens = await w.github.openPull(repo, { files: nodeApp('opened') });
    w.github.sendWebhooksTo(w.webhooks());
    await w.mayfly.reconcileNow();
    await w.reaches(closes, 'ended');
    await w.reaches(moves, 'ready', sha);
    await w.reaches(opens, 'ready');
    await w.reaches(reopens, 'ready');
    expect((await w.visit(moves)).body).toBe('moved');
    expect((await w.visit(opens)).body).toBe('opened');
  });

  test('a repository of which nobody ever told us gets its sites, one that is opened anew keeps them', async () => {
    w.github.sendWebhooksTo(null);
    const repo = await repository();
    const pull = await w.github.openPull(repo, { files: nodeApp('unheard of') });
    w.github.sendWebhooksTo(w.webhooks());
    await w.mayfly.reconcileNow();
    const site = await w.reaches(pull, 'ready');
    w.github.sendWebhooksTo(null);
    await w.github.uninstall(repo.owner.login);
    await w.github.addRepository(repo);
    w.github.sendWebhooksTo(w.webhooks());
    await w.mayfly.reconcileNow();
    expect(await w.siteOf(pull)).toMatchObject({ id: site.id, status: 'ready' });
    expect(await w.mayfly.store.launches.of(site.id, 5)).toHaveLength(1);
    expect((await w.visit(pull)).body).toBe('unheard of');
  });

  test('what no row knows goes: stack, database, socket, artefacts; another Mayfly’s stays, and what nobody can tell', async () => {
    const pull = await w.github.openPull(await repository(), { files: nodeApp('stays') });
    await w.reaches(pull, 'ready');
    await using planted = await plant(ground());
    const { ours, theirs, nobodys } = planted.names;
    expect(await planted.left()).toEqual({
      stacks: [ours.stack, theirs.stack, nobodys.stack],
      databases: [ours.database, theirs.database],
      files: ['socket', 'artefact', 'note', 'noted'],
    });
    await w.mayfly.reconcileNow();
    expect(await planted.left()).toEqual({ stacks: [theirs.stack, nobodys.stack], databases: [theirs.database], files: [] });
    expect((await w.visit(pull)).body).toBe('stays');
    expect((await w.mayfly.target?.survey())?.filter(({ site }) => site === null)).toEqual([
      { kind: 'stack', name: nobodys.stack, site: null },
    ]);
  });

  test('a service that was declared for a site that is not known goes, and a file that says nothing stays', async () => {
    const name = await plantService(w.dataDir);
    await w.restart();
    await w.mayfly.reconcileNow();
    const found = async (): Promise<readonly Found[]> => (await w.mayfly.target?.survey()) ?? [];
    // The first round after the start may be at it already.
    await until('the service to go', async () => !(await found()).some((one) => one.kind === 'process' && one.name === name));
    expect(await found()).toContainEqual({ kind: 'process', name: 'damaged.json', site: null });
  });

  test('deployments of ours whose site has ended or is unknown go; another app’s stay, and those of sites that stand', async () => {
    const repo = await repository();
    const pull = await w.github.openPull(repo, { files: nodeApp('x') });
    const gone = await w.github.openPull(repo, { files: nodeApp('y') });
    const [site, ended] = [await w.reaches(pull, 'ready'), await w.reaches(gone, 'ready')];
    await w.github.close(gone);
    await w.reaches(gone, 'ended');
    for (const of of [ulid(), ended.id]) w.github.plantDeployment(repo, { sha: pull.sha, site: of, by: 'us' });
    const theirs = [
      w.github.plantDeployment(repo, { sha: pull.sha, site: ulid(), by: 'another app' }),
      w.github.plantDeployment(repo, { sha: pull.sha, site: ulid(), by: 'us', instance: 'of another Mayfly' }),
    ];
    await w.mayfly.reconcileNow();
    expect(w.github.deployments(repo)).toMatchObject([{ payload: { mayfly: { site: site.id } } }, ...theirs.map(({ id }) => ({ id }))]);
    expect(w.github.deployments(repo).map(({ statuses }) => statuses.at(-1)?.state)).toEqual(['success', 'success', 'success']);
  });

  test('a webhook that could not be delivered is asked for once, however often we look', async () => {
    const repo = await repository();
    w.github.setPermission(repo, 'dev', 'write');
    const pull = await w.github.openPull(repo, { files: nodeApp('long') });
    const before = await w.reaches(pull, 'ready');
    w.github.sendWebhooksTo(DEAD_DOOR);
    const asked = await w.github.comment(pull, 'dev', '/preview extend 2d');
    const lost = w.github.deliveries.at(-1);
    if (!lost) throw new Error('nothing was sent');
    w.github.sendWebhooksTo(w.webhooks());
    for (let look = 0; look < 3; look++) await w.mayfly.reconcileNow();
    await until('the end to move', async () => (await w.siteOf(pull))?.endsAt.getTime() === before.endsAt.getTime() + 2 * 86_400_000);
    await until('the receipt', () => asked.reactions.some(({ content }) => content === '+1'));
    expect(pullsOf(lost.guid).map(({ redelivery, statusCode }) => [redelivery, statusCode])).toEqual([
      [false, 0],
      [true, 202],
    ]);
  });

  test('one that fails again is not asked for again; one that came meanwhile, one older than three days and one of GitHub’s own loss never', async () => {
    const repo = await repository();
    const pull = await w.github.openPull(repo, { files: nodeApp('still') });
    await w.reaches(pull, 'ready');
    w.github.sendWebhooksTo(null);
    await w.github.comment(pull, 'guest', 'never sent');
    w.github.sendWebhooksTo(DEAD_DOOR);
    for (const text of ['fails', 'comes', 'old']) await w.github.comment(pull, 'guest', text);
    const [, fails, comes, old] = w.github.deliveries.slice(-4);
    if (!fails || !comes || !old) throw new Error('nothing was sent');
    old.at -= 4 * 86_400_000;
    w.github.sendWebhooksTo(w.webhooks());
    await w.github.redeliver(comes);
    w.github.sendWebhooksTo(DEAD_DOOR);
    await w.mayfly.reconcileNow();
    await until('the redelivery', () => pullsOf(fails.guid).length === 2);
    await w.mayfly.reconcileNow();
    w.github.sendWebhooksTo(w.webhooks());
    await w.mayfly.reconcileNow();
    const posts = w.github.requests.filter(({ method, path }) => method === 'POST' && path.endsWith('/attempts'));
    const attempts = (of: typeof old) => pullsOf(of.guid).flatMap(({ id }) => posts.filter(({ path }) => path.includes(`/${id}/`)));
    expect([attempts(fails).length, attempts(comes).length, attempts(old).length]).toEqual([1, 0, 0]);
    w.github.sendWebhooksTo(w.webhooks());
  });

  test('GitHub says no when it is asked for a delivery: it is asked for at the next look', async () => {
    const repo = await repository();
    const pull = await w.github.openPull(repo, { files: nodeApp('again') });
    await w.reaches(pull, 'ready');
    w.github.sendWebhooksTo(DEAD_DOOR);
    await w.github.close(pull);
    const lost = w.github.deliveries.at(-1);
    await w.github.reopen(pull);
    w.github.sendWebhooksTo(w.webhooks());
    w.github.fail({ match: ({ method, path }) => method === 'POST' && path.endsWith(`/${lost?.id}/attempts`), answer: { status: 502 } });
    await w.mayfly.reconcileNow();
    expect(pullsOf(lost?.guid ?? '')).toHaveLength(1);
    await w.mayfly.reconcileNow();
    await until('the redelivery', () => pullsOf(lost?.guid ?? '').at(-1)?.statusCode === 202);
  });
});
