import { ulid } from 'ulid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Found } from '../../../src/site/ports.ts';
import { asked } from '../../doubles/asked.ts';
import type { ForgeName, StagePull, StageRepo } from '../../doubles/stage.ts';
import { createWorld, type TargetName, until, type World } from '../../world.ts';
import { nodeApp } from '../apps.ts';
import { plant, plantService, serverOfTests } from '../planted.ts';

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

/** What is found by comparing with the forge, on either. */
export function reconcile(forge: ForgeName, target: TargetName = 'local'): void {
  const { readsPull } = asked[forge];

  describe('reconcile', () => {
    let w: World;
    let made = 0;
    beforeAll(async () => {
      // Without the clock nothing is compared but when the test says so.
      w = await createWorld({ MAYFLY_ROLES: 'web,gate,worker' }, { forge, target });
    });
    afterAll(() => w[Symbol.asyncDispose]());
    const repository = () => w.forge.createRepository({ name: `rec-${++made}/shop-${made}`, files: nodeApp('main') });
    const ground = () => ({ dataDir: w.dataDir, database: w.database.name, server: serverOfTests() });
    test('a pull without a site is looked at once, and again when its labels or the settings of its base branch are others', async () => {
      const files = { ...nodeApp('main'), '.mayfly.yml': 'previews: label\n' };
      const repo = await w.forge.createRepository({ name: `rec-${++made}/shop-${made}`, files });
      w.forge.sendWebhooksTo(null);
      const [labelled, left] = [await w.forge.openPull(repo), await w.forge.openPull(repo)];
      const looks = async (): Promise<readonly number[]> => {
        const before = w.forge.requests.length;
        await w.mayfly.reconcileNow();
        const since = w.forge.requests.slice(before);
        // On GitLab what is said of a new site begins with reading its pull as well, meanwhile.
        const most = forge === 'gitlab' ? 1 : Number.POSITIVE_INFINITY;
        return [labelled, left].map((pull) => Math.min(since.filter(readsPull(pull)).length, most));
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

    // What is planted lies on this machine: Google Cloud's is in a suite of its own.
    if (target === 'local') {
      test('what no row knows goes: stack, database, socket, artefacts; another Mayfly’s stays, and what nobody can tell', async () => {
        const pull = await w.forge.openPull(await repository(), { files: nodeApp('stays') });
        await w.reaches(pull, 'ready');
        await using planted = await plant(ground());
        const { ours, theirs, nobodys } = planted.names;
        {
          // Mayfly's own look, once a minute, leaves alone what somebody works on.
          await using _held = await w.mayfly.store.leases.take(`site:${planted.site}`);
          expect(await planted.left()).toEqual({
            stacks: [ours.stack, theirs.stack, nobodys.stack],
            databases: [ours.database, theirs.database],
            files: ['socket', 'artefact', 'note', 'noted'],
          });
        }
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
    }

    test('deployments of ours whose site has ended or is unknown go; another app’s stay, and those of sites that stand', async () => {
      const repo = await repository();
      const pull = await w.forge.openPull(repo, { files: nodeApp('x') });
      const gone = await w.forge.openPull(repo, { files: nodeApp('y') });
      await w.reaches(pull, 'ready');
      const ended = await w.reaches(gone, 'ready');
      await w.forge.close(gone);
      await w.reaches(gone, 'ended');
      const [own] = w.deployed(repo);
      expect(own?.sha).toBe(pull.sha);
      const theirs = PLANTING[forge](w, { repo, sha: pull.sha, ended: { site: ended.id, number: gone.number } });
      await w.mayfly.reconcileNow();
      expect(w.deployed(repo).map(({ id }) => id)).toEqual([own?.id, ...theirs]);
      expect(w.deployed(repo).map(({ states }) => states.at(-1))).toEqual(['success', 'success', 'success']);
    });
  });
}
