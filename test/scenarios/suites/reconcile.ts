import { ulid } from 'ulid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../../demo/ports.ts';
import type { Found } from '../../../src/site/ports.ts';
import { BAD_GATEWAY } from '../../doubles/answers.ts';
import { type Asked, asked } from '../../doubles/asked.ts';
import { type ForgeName, isOfPull, receipts, type StageDelivery, type StagePull, type StageRepo } from '../../doubles/stage.ts';
import { createWorld, until, type World } from '../../world.ts';
import { nodeApp } from '../apps.ts';
import { plant, plantService, serverOfTests } from '../planted.ts';

/** Nobody listens there: a webhook to it fails, and the forge remembers. */
const DEAD_DOOR = 'http://127.0.0.1:9/';

type Planted = { readonly repo: StageRepo; readonly sha: string; readonly ended: { readonly site: string; readonly number: number } };
/**
 * Deployments as ours are of a site that is unknown and of one that has ended, and two that are nobody's of ours, whose ids are returned.
 * GitHub's name the site; on GitLab an environment is ours by who deployed to it and where it leads.
 */
const PLANTING: Readonly<Record<ForgeName, (w: World, planted: Planted) => readonly number[]>> = {
  github({ github }, { repo: { id }, sha, ended }) {
    const repo = github.state.repositories.get(id);
    if (!repo) throw new Error('no such repository');
    for (const site of [ulid(), ended.site]) github.plantDeployment(repo, { sha, site, by: 'us' });
    return [
      github.plantDeployment(repo, { sha, site: ulid(), by: 'another app' }).id,
      github.plantDeployment(repo, { sha, site: ulid(), by: 'us', instance: 'of another Mayfly' }).id,
    ];
  },
  gitlab({ gitlab }, { repo: { id }, sha, ended }) {
    const repo = gitlab.state.repositories.get(id);
    if (!repo) throw new Error('no such project');
    for (const number of [99, ended.number]) gitlab.plantDeployment(repo, { sha, environment: `preview/mr-${number}` });
    const another = gitlab.plantDeployment(repo, { sha, environment: 'preview/mr-98', by: 'their-pipeline' });
    const elsewhere = gitlab.plantDeployment(repo, { sha, environment: 'preview/mr-97' });
    elsewhere.environment.externalUrl = 'https://mr-97-shop-abcdefgh.of-another-mayfly.example';
    return [another.id, elsewhere.id];
  },
};

/** The forge sent it that long ago. What GitLab signed bears its time, and the record tells no other. */
function setBack(delivery: StageDelivery, ms: number): void {
  delivery.at -= ms;
  if (delivery.headers?.['webhook-timestamp'] === undefined) return;
  delivery.headers = { ...delivery.headers, 'webhook-timestamp': String(Math.floor(delivery.at / 1_000)) };
}

/** What is found by comparing with the forge, on either. */
export function reconcile(forge: ForgeName): void {
  const name = { github: 'GitHub', gitlab: 'GitLab' }[forge];
  const { readsPull, asksAgain } = asked[forge];

  describe('reconcile', () => {
    let w: World;
    let made = 0;
    beforeAll(async () => {
      // The address that GitLab was told is how its webhooks are known as ours.
      const port = String(forge === 'gitlab' ? await freePort(0) : 0);
      const at = forge === 'gitlab' ? { PORT: port, MAYFLY_PUBLIC_URL: `http://127.0.0.1:${port}` } : {};
      // Without the clock nothing is compared but when the test says so.
      w = await createWorld({ ...at, MAYFLY_ROLES: 'web,gate,worker' }, { forge });
    });
    afterAll(() => w[Symbol.asyncDispose]());
    const repository = () => w.forge.createRepository({ name: `rec-${++made}/shop-${made}`, files: nodeApp('main') });
    const ground = () => ({ dataDir: w.dataDir, database: w.database.name, server: serverOfTests() });
    /** Webhooks fail from now on, and the forge remembers. On GitLab by the network's fault: what is sent to another address is not ours. */
    const shutDoors = (): void => {
      w.forge.sendWebhooksTo(forge === 'gitlab' ? w.webhooks() : DEAD_DOOR);
      w.gitlab.unplug();
    };
    const openDoors = (): void => {
      w.gitlab.plugIn();
      w.forge.sendWebhooksTo(w.webhooks());
    };
    /** The last one that tells of this comment. */
    const deliveryOf = (comment: string): StageDelivery => {
      const found = w.forge.deliveries.findLast(({ body }) => new RegExp(`"(?:body|note)":"${comment}"`).test(body));
      if (!found) throw new Error('nothing was sent');
      return found;
    };
    const pullsOf = (guid: string) => w.forge.deliveries.filter((delivery) => delivery.guid === guid);

    test('a pull without a site is looked at once, and again when its labels or the settings of its base branch are others', async () => {
      const files = { ...nodeApp('main'), '.mayfly.yml': 'previews: label\n' };
      const repo = await w.forge.createRepository({ name: `rec-${++made}/shop-${made}`, files });
      w.forge.sendWebhooksTo(null);
      const [labelled, left] = [await w.forge.openPull(repo), await w.forge.openPull(repo)];
      const looks = async (): Promise<readonly number[]> => {
        const before = w.forge.requests.length;
        await w.mayfly.reconcileNow();
        const since = w.forge.requests.slice(before);
        return [labelled, left].map((pull) => since.filter(readsPull(pull)).length);
      };
      // First as pulls that nobody knows, then as those whose settings want no site.
      for (const _ of ['one', 'another']) await looks();
      expect(await looks()).toEqual([0, 0]);
      await w.forge.label(labelled, 'preview');
      expect(await looks()).toEqual([1, 0]);
      expect((await w.siteOf(labelled))?.status).toBeDefined();
      await w.forge.pushToBranch(repo, 'main', { '.mayfly.yml': 'previews: auto\n' });
      expect((await looks())[1]).toBe(1);
      w.forge.sendWebhooksTo(w.webhooks());
      await Promise.all([w.reaches(labelled, 'ready'), w.reaches(left, 'ready')]);
    });

    test('T-F22: a missed close, a missed open, a missed push and a missed reopening are found, in both directions', async () => {
      const repo = await repository();
      const [closes, moves, reopens] = await Promise.all(['a', 'b', 'c'].map((text) => w.forge.openPull(repo, { files: nodeApp(text) })));
      if (!closes || !moves || !reopens) throw new Error('no pulls');
      await Promise.all([closes, moves, reopens].map((pull: StagePull) => w.reaches(pull, 'ready')));
      await w.forge.close(reopens);
      await w.reaches(reopens, 'ended');
      w.forge.sendWebhooksTo(null);
      await w.forge.close(closes);
      const sha = await w.forge.push(moves, nodeApp('moved'));
      await w.forge.reopen(reopens);
      const opens = await w.forge.openPull(repo, { files: nodeApp('opened') });
      w.forge.sendWebhooksTo(w.webhooks());
      await w.mayfly.reconcileNow();
      await w.reaches(closes, 'ended');
      await w.reaches(moves, 'ready', sha);
      await w.reaches(opens, 'ready');
      await w.reaches(reopens, 'ready');
      expect((await w.visit(moves)).body).toBe('moved');
      expect((await w.visit(opens)).body).toBe('opened');
    });

    test('a repository of which nobody ever told us gets its sites, one that is opened anew keeps them', async () => {
      w.forge.sendWebhooksTo(null);
      const repo = await repository();
      const pull = await w.forge.openPull(repo, { files: nodeApp('unheard of') });
      w.forge.sendWebhooksTo(w.webhooks());
      await w.mayfly.reconcileNow();
      const site = await w.reaches(pull, 'ready');
      w.forge.sendWebhooksTo(null);
      // GitLab knows no installation.
      if (forge === 'github') await w.github.uninstall(repo.name.replace('shop', 'rec'));
      else await w.forge.removeRepository(repo);
      await w.forge.addRepository(repo);
      w.forge.sendWebhooksTo(w.webhooks());
      await w.mayfly.reconcileNow();
      expect(await w.siteOf(pull)).toMatchObject({ id: site.id, status: 'ready' });
      expect(await w.mayfly.store.launches.of(site.id, 5)).toHaveLength(1);
      expect((await w.visit(pull)).body).toBe('unheard of');
    });

    test('what no row knows goes: stack, database, socket, artefacts; another Mayfly’s stays, and what nobody can tell', async () => {
      const pull = await w.forge.openPull(await repository(), { files: nodeApp('stays') });
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
      const pull = await w.forge.openPull(repo, { files: nodeApp('x') });
      const gone = await w.forge.openPull(repo, { files: nodeApp('y') });
      const [site, ended] = [await w.reaches(pull, 'ready'), await w.reaches(gone, 'ready')];
      await w.forge.close(gone);
      await w.reaches(gone, 'ended');
      const own = w.deployed(repo).map(({ id }) => id);
      expect(own).toHaveLength(1);
      const theirs = PLANTING[forge](w, { repo, sha: pull.sha, ended: { site: ended.id, number: gone.number } });
      await w.mayfly.reconcileNow();
      expect(w.deployed(repo).map(({ id }) => id)).toEqual([...own, ...theirs]);
      expect(w.deployed(repo).map(({ states }) => states.at(-1))).toEqual(['success', 'success', 'success']);
      if (forge === 'github')
        expect([...w.github.state.deployments.values()]).toContainEqual(
          expect.objectContaining({ id: own[0], payload: { mayfly: expect.objectContaining({ site: site.id }) } }),
        );
    });

    test('a webhook that could not be delivered is asked for once, however often we look', async () => {
      const repo = await repository();
      w.forge.setPermission(repo, 'dev', 'write');
      const pull = await w.forge.openPull(repo, { files: nodeApp('long') });
      const before = await w.reaches(pull, 'ready');
      shutDoors();
      const typed = await w.forge.comment(pull, 'dev', '/preview extend 2d');
      const lost = deliveryOf('/preview extend 2d');
      openDoors();
      for (let look = 0; look < 3; look++) await w.mayfly.reconcileNow();
      await until('the end to move', async () => (await w.siteOf(pull))?.endsAt.getTime() === before.endsAt.getTime() + 2 * 86_400_000);
      await until('the receipt', () => receipts(typed).at(-1) === '+1');
      expect(pullsOf(lost.guid).map(({ redelivery, statusCode }) => [redelivery, statusCode])).toEqual([
        [false, 0],
        [true, 202],
      ]);
    });

    test(`one that fails again is not asked for again; one that came meanwhile, one older than three days and one of ${name}’s own loss never`, async () => {
      const repo = await repository();
      const pull = await w.forge.openPull(repo, { files: nodeApp('still') });
      await w.reaches(pull, 'ready');
      w.forge.sendWebhooksTo(null);
      await w.forge.comment(pull, 'guest', 'never sent');
      shutDoors();
      for (const text of ['fails', 'comes', 'old']) await w.forge.comment(pull, 'guest', text);
      const [fails, comes, old] = [deliveryOf('fails'), deliveryOf('comes'), deliveryOf('old')];
      setBack(old, 4 * 86_400_000);
      openDoors();
      await w.forge.redeliver(comes);
      shutDoors();
      await w.mayfly.reconcileNow();
      await until('the redelivery', () => pullsOf(fails.guid).length === 2);
      await w.mayfly.reconcileNow();
      openDoors();
      await w.mayfly.reconcileNow();
      const posts = w.forge.requests.filter(asksAgain);
      const attempts = (of: StageDelivery) => pullsOf(of.guid).flatMap(({ id }) => posts.filter(({ path }) => path.includes(`/${id}/`)));
      expect([attempts(fails).length, attempts(comes).length, attempts(old).length]).toEqual([1, 0, 0]);
      openDoors();
    });

    test(`${name} says no when it is asked for a delivery: it is asked for at the next look`, async () => {
      const repo = await repository();
      const pull = await w.forge.openPull(repo, { files: nodeApp('again') });
      await w.reaches(pull, 'ready');
      shutDoors();
      await w.forge.close(pull);
      const lost = w.forge.deliveries.findLast(isOfPull);
      await w.forge.reopen(pull);
      openDoors();
      w.forge.fail({ match: (one: Asked) => asksAgain(one) && one.path.includes(`/${lost?.id}/`), answer: BAD_GATEWAY[forge] });
      await w.mayfly.reconcileNow();
      expect(pullsOf(lost?.guid ?? '')).toHaveLength(1);
      await w.mayfly.reconcileNow();
      await until('the redelivery', () => pullsOf(lost?.guid ?? '').at(-1)?.statusCode === 202);
    });
  });
}
