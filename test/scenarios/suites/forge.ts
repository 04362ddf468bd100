import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BAD_GATEWAY, LIMITS, NOT_FOUND } from '../../doubles/answers.ts';
import { type Asked, asked } from '../../doubles/asked.ts';
import { type ForgeName, isOfPull, type StagePull, type StageRepo } from '../../doubles/stage.ts';
import { createWorld, until, type World } from '../../world.ts';
import { builtApp, nodeApp, slowBuild } from '../apps.ts';

const PAUSE_S = 3;
/** Faults of a forge, and what it shows of sites, on either. */
export function forgeTrouble(forge: ForgeName): void {
  const name = { github: 'GitHub', gitlab: 'GitLab' }[forge];
  const { isOf, makesComment, makesCheck, writes } = asked[forge];
  /** GitLab has no state for what a newer one stands in place of: the environment's newest is what counts. */
  const superseded = { github: 'inactive', gitlab: 'success' }[forge];
  const becomes = { github: 'becomes inactive', gitlab: 'gives way' }[forge];
  /** GitLab lets members comment on what is locked, and we are one. */
  const forbidding = { github: 'a locked pull', gitlab: 'a merge request on which we may not comment' }[forge];
  const environment = (number: number): string => ({ github: 'preview', gitlab: `preview/mr-${number}` })[forge];
  let w: World;
  let made = 0;
  beforeAll(async () => {
    w = await createWorld({}, { forge });
  });
  afterAll(() => w[Symbol.asyncDispose]());

  /** Of an owner of its own: what GitHub allows in a minute, and its pauses, are by installation. */
  const repository = (files = nodeApp('main')): Promise<StageRepo> =>
    w.forge.createRepository({ name: `acme-${++made}/shop-${made}`, files });
  const opened = async (files = nodeApp('hello')): Promise<{ repo: StageRepo; pull: StagePull }> => {
    const repo = await repository();
    return { repo, pull: await w.forge.openPull(repo, { files }) };
  };

  describe(`${name} fails`, () => {
    test('502 at the first comment: it comes later, once, and the launch does not wait for it', async () => {
      const repo = await repository();
      w.forge.fail({ match: (one) => makesComment(one) && isOf(repo)(one), times: 3, answer: BAD_GATEWAY[forge] });
      const pull = await w.forge.openPull(repo, { files: nodeApp('in spite of it') });
      await until('the site to be ready', async () => (await w.siteOf(pull))?.status === 'ready');
      await w.reaches(pull, 'ready');
      expect(w.forge.ourComments(pull)).toHaveLength(1);
      expect(w.comment(pull)).toContain('### 🟢 Preview is ready');
    });

    test('git is away for longer than a launch tries: it says so, and comes up by itself once git is back, on the same clock', async () => {
      const repo = await repository();
      let away = true;
      w.forge.fail({ match: ({ path }) => away && path.includes(`/${repo.name}.git/`), times: 100, answer: BAD_GATEWAY[forge] });
      const pull = await w.forge.openPull(repo, { files: nodeApp('back again') });
      const failed = await w.reaches(pull, 'failed');
      expect(w.comment(pull)).toContain('### 🔴 Preview failed while fetching');
      away = false;
      await w.mayfly.reconcileNow();
      const queued = await until('another try', async () => {
        const site = await w.siteOf(pull);
        return site?.status !== 'failed' && site;
      });
      expect(queued.endsAt).toEqual(failed.endsAt);
      await w.reaches(pull, 'ready');
      expect((await w.visit(pull)).body).toBe('back again');
    });

    test('a first comment that hangs: given up after ten seconds and made again, once', async () => {
      const repo = await repository();
      w.forge.fail({ match: (one) => makesComment(one) && isOf(repo)(one), answer: 'hang' });
      const pull = await w.forge.openPull(repo, { files: nodeApp('patient') });
      await until('the site to be ready', async () => (await w.siteOf(pull))?.status === 'ready');
      expect(w.forge.ourComments(pull)).toEqual([]);
      await w.reaches(pull, 'ready');
      expect(w.forge.ourComments(pull)).toHaveLength(1);
    });

    test('T-I5: the answer to the first comment is lost: still one comment', async () => {
      const repo = await repository();
      w.forge.fail({ match: (one) => makesComment(one) && isOf(repo)(one), answer: 'cut' });
      const pull = await w.forge.openPull(repo, { files: nodeApp('once') });
      await w.reaches(pull, 'ready');
      expect(w.forge.ourComments(pull)).toHaveLength(1);
      expect(w.comment(pull)).toContain('### 🟢 Preview is ready');
    });

    test.each(LIMITS[forge])('T-F14: $what is honoured, and the deploy itself is unaffected', async ({ answer, from }) => {
      const repo = await repository();
      const plannedAt = Date.now();
      const isLimited = (one: Asked): boolean => isOf(repo)(one) && makesComment(one);
      w.forge.fail({ match: isLimited, answer: answer(plannedAt, PAUSE_S) });
      const pull = await w.forge.openPull(repo, { files: nodeApp('limited') });
      await w.reaches(pull, 'ready');
      const toApi = w.forge.requests.filter((request) => isOf(repo)(request) && !request.path.includes('.git/'));
      const refused = toApi.findIndex((request) => isLimited(request) && request.status >= 400);
      const next = toApi.find((request, index) => index > refused && writes(request));
      const since = from === 'its answer' ? (toApi[refused]?.at ?? 0) : plannedAt;
      expect((next?.at ?? 0) - since).toBeGreaterThanOrEqual(PAUSE_S * 1_000 - 50);
      expect(w.forge.ourComments(pull)).toHaveLength(1);
    });

    // Tokens of GitLab last to the end of a day.
    if (forge === 'github')
      test('T-F14: a token that expires in the middle of a launch is minted anew, for the API and for git', async () => {
        const { pull } = await opened();
        await w.reaches(pull, 'ready');
        w.github.expireTokens();
        const sha = await w.forge.push(pull, nodeApp('with a new token'));
        await until('the launch to begin', async () => (await w.siteOf(pull))?.status !== 'queued');
        w.github.expireTokens();
        await w.reaches(pull, 'ready', sha);
        expect((await w.visit(pull)).body).toBe('with a new token');
      });

    test('404 for the commit’s check: everything else is said, and it is not asked again and again', async () => {
      const repo = await repository();
      w.forge.fail({ match: (one) => makesCheck(one) && isOf(repo)(one), times: 100, answer: NOT_FOUND[forge] });
      const pull = await w.forge.openPull(repo, { files: nodeApp('unchecked') });
      await w.reaches(pull, 'ready');
      expect(w.comment(pull)).toContain('### 🟢 Preview is ready');
      expect(w.deployed(repo)).toHaveLength(1);
      const tries = () => w.forge.requests.filter((one) => makesCheck(one) && isOf(repo)(one)).length;
      expect(tries()).toBeLessThanOrEqual(6);
    });

    test('a comment that a person deletes comes back, once, with the next change', async () => {
      const { pull } = await opened();
      await w.reaches(pull, 'ready');
      const first = w.forge.ourComment(pull);
      w.forge.state.comments.delete(first?.id ?? 0);
      const sha = await w.forge.push(pull, nodeApp('again'));
      await w.reaches(pull, 'ready', sha);
      expect(w.forge.ourComment(pull)?.id).not.toBe(first?.id);
      expect(w.forge.requests.filter((one) => makesComment(one) && isOf(pull.repository)(one))).toHaveLength(2);
    });

    test(`${forbidding} settles quietly: the site comes, the check tells, nobody is asked over and over`, async () => {
      const repo = await repository();
      w.forge.sendWebhooksTo(null);
      const pull = await w.forge.openPull(repo, { files: nodeApp('locked') });
      const locked = w.github.state.repositories.get(repo.id)?.pulls.get(pull.number);
      if (locked) w.github.lock(locked);
      else
        w.forge.fail({
          match: (one) => makesComment(one) && isOf(repo)(one),
          times: 100,
          answer: { status: 403, message: '403 Forbidden' },
        });
      w.forge.sendWebhooksTo(w.webhooks());
      const lost = w.forge.deliveries.findLast(isOfPull);
      if (lost) await w.forge.redeliver(lost);
      await w.reaches(pull, 'ready');
      expect(w.forge.ourComments(pull)).toEqual([]);
      expect(w.checks(pull.sha)).toEqual(['success']);
      expect(w.forge.requests.filter((one) => makesComment(one) && isOf(repo)(one)).length).toBeLessThanOrEqual(8);
    });
  });

  describe('deployments, environments and checks', () => {
    test(`a superseded commit’s deployment ${becomes} once the new one succeeded, and after the close none is left`, async () => {
      const { repo, pull } = await opened();
      await w.reaches(pull, 'ready');
      const old = pull.sha;
      const sha = await w.forge.push(pull, nodeApp('newer'));
      await w.reaches(pull, 'ready', sha);
      const byCommit = Object.fromEntries(w.deployed(repo).map((one) => [one.sha, one.states.at(-1)]));
      expect(byCommit).toEqual({ [old]: superseded, [sha]: 'success' });
      expect(w.environments(repo)).toEqual([environment(pull.number)]);
      await w.forge.close(pull);
      await w.reaches(pull, 'ended');
      expect(w.deployed(repo)).toEqual([]);
    });

    test('another pull’s deployment never becomes inactive because of ours', async () => {
      const { repo, pull } = await opened();
      const other = await w.forge.openPull(repo, { files: nodeApp('other') });
      await Promise.all([w.reaches(pull, 'ready'), w.reaches(other, 'ready')]);
      await w.reaches(pull, 'ready', await w.forge.push(pull, nodeApp('second')));
      await w.forge.close(pull);
      await w.reaches(pull, 'ended');
      expect(w.deployed(repo).map((one) => [one.sha, one.states.at(-1)])).toEqual([[other.sha, 'success']]);
      expect(w.deployed(repo)[0]?.states).not.toContain('inactive');
    });

    test('a force push: the new commit wins, and no check of the old one stays open', async () => {
      const { pull } = await opened(slowBuild('old'));
      await w.reaches(pull, 'building');
      const old = pull.sha;
      const sha = await w.forge.push(pull, nodeApp('forced'), { force: true });
      await w.reaches(pull, 'ready', sha);
      expect((await w.visit(pull)).body).toBe('forced');
      expect(w.checks(old).filter((said) => said === 'queued' || said === 'in_progress')).toEqual([]);
      expect(w.checks(sha)).toEqual(['success']);
    });

    test('an empty commit builds nothing and is ready as itself', async () => {
      const { pull } = await opened(builtApp('same'));
      await w.reaches(pull, 'ready');
      const sha = await w.forge.push(pull, {});
      const site = await w.reaches(pull, 'ready', sha);
      const [launch] = await w.mayfly.store.launches.of(site.id, 1);
      expect(launch).toMatchObject({ sha, outcome: 'succeeded', notes: { cache: 'artefact' } });
      expect(w.checks(sha)).toEqual(['success']);
    });

    test('onto another base: its settings count', async () => {
      const repo = await repository();
      await w.forge.pushToBranch(repo, 'next', { '.mayfly.yml': 'env: { GREETING: from next }\n' });
      const files = {
        ...nodeApp(''),
        'server.js': `require('node:http').createServer((q, s) => s.end(process.env.GREETING ?? 'none')).listen(process.env.PORT)`,
      };
      const pull = await w.forge.openPull(repo, { files });
      await w.reaches(pull, 'ready');
      expect((await w.visit(pull)).body).toBe('none');
      await w.forge.retarget(pull, 'next');
      await until('its settings to count', async () => (await w.visit(pull)).body === 'from next');
      await w.reaches(pull, 'ready');
      expect(w.forge.ourComments(pull)).toHaveLength(1);
    });
  });
}
