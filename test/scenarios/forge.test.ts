import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Deployment, Pull, Repo } from '../doubles/github.ts';
import { createWorld, until, type World } from '../world.ts';
import { builtApp, nodeApp, slowBuild } from './apps.ts';

type Asked = { readonly method: string; readonly path: string };
const makingComment = ({ method, path }: Asked): boolean => method === 'POST' && /\/issues\/\d+\/comments$/.test(path);
const writing = ({ method, path }: Asked): boolean => method !== 'GET' && !path.endsWith('/access_tokens');
const aboutChecks = ({ method, path }: Asked): boolean => method === 'POST' && path.endsWith('/check-runs');
const stateOf = (deployment: Deployment): string | undefined => deployment.statuses.at(-1)?.state;

let w: World;
let made = 0;
beforeAll(async () => {
  w = await createWorld();
});
afterAll(() => w[Symbol.asyncDispose]());

/** Of an owner of its own: what GitHub allows in a minute, and its pauses, are by installation. */
const repository = (files = nodeApp('main')): Promise<Repo> => w.github.createRepository({ name: `acme-${++made}/shop-${made}`, files });
const opened = async (files = nodeApp('hello')): Promise<{ repo: Repo; pull: Pull }> => {
  const repo = await repository();
  return { repo, pull: await w.github.openPull(repo, { files }) };
};

describe('GitHub fails', () => {
  test('502 at the first comment: it comes later, once, and the launch does not wait for it', async () => {
    const repo = await repository();
    w.github.fail({ match: (asked) => makingComment(asked) && asked.path.includes(repo.name), times: 3, answer: { status: 502 } });
    const pull = await w.github.openPull(repo, { files: nodeApp('in spite of it') });
    await until('the site to be ready', async () => (await w.siteOf(pull))?.status === 'ready');
    await w.reaches(pull, 'ready');
    expect(w.github.ourComments(pull)).toHaveLength(1);
    expect(w.comment(pull)).toContain('### 🟢 Preview is ready');
  });

  test('git is away for longer than a launch tries: it says so, and comes up by itself once git is back, on the same clock', async () => {
    const repo = await repository();
    let away = true;
    w.github.fail({ match: ({ path }) => away && path.includes(`/${repo.name}.git/`), times: 100, answer: { status: 502 } });
    const pull = await w.github.openPull(repo, { files: nodeApp('back again') });
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
    w.github.fail({ match: (asked) => makingComment(asked) && asked.path.includes(repo.name), answer: 'hang' });
    const pull = await w.github.openPull(repo, { files: nodeApp('patient') });
    await until('the site to be ready', async () => (await w.siteOf(pull))?.status === 'ready');
    expect(w.github.ourComments(pull)).toEqual([]);
    await w.reaches(pull, 'ready');
    expect(w.github.ourComments(pull)).toHaveLength(1);
  });

  test('T-I5: the answer to the first comment is lost: still one comment', async () => {
    const repo = await repository();
    w.github.fail({ match: (asked) => makingComment(asked) && asked.path.includes(repo.name), answer: 'cut' });
    const pull = await w.github.openPull(repo, { files: nodeApp('once') });
    await w.reaches(pull, 'ready');
    expect(w.github.ourComments(pull)).toHaveLength(1);
    expect(w.comment(pull)).toContain('### 🟢 Preview is ready');
  });

  test.each([403, 429])('T-F14: %i with Retry-After is honoured, and the deploy itself is unaffected', async (status) => {
    const repo = await repository();
    const at = (asked: Asked): boolean => asked.path.includes(repo.name);
    const pauseMs = 3_000;
    const answer = { status, headers: { 'retry-after': String(pauseMs / 1_000) }, message: 'You have exceeded a secondary rate limit.' };
    w.github.fail({ match: (asked) => at(asked) && makingComment(asked), answer });
    const pull = await w.github.openPull(repo, { files: nodeApp('limited') });
    await w.reaches(pull, 'ready');
    const asked = w.github.requests.filter(
      (request) => at(request) && !request.path.endsWith('.git/info/refs') && !request.path.endsWith('.git/git-upload-pack'),
    );
    const refused = asked.findIndex((request) => request.status === status);
    const next = asked.find((request, index) => index > refused && writing(request));
    expect((next?.at ?? 0) - (asked[refused]?.at ?? 0)).toBeGreaterThanOrEqual(pauseMs - 50);
    expect(w.github.ourComments(pull)).toHaveLength(1);
  });

  test('T-F14: a token that expires in the middle of a launch is minted anew, for the API and for git', async () => {
    const { pull } = await opened();
    await w.reaches(pull, 'ready');
    w.github.expireTokens();
    const sha = await w.github.push(pull, nodeApp('with a new token'));
    await until('the launch to begin', async () => (await w.siteOf(pull))?.status !== 'queued');
    w.github.expireTokens();
    await w.reaches(pull, 'ready', sha);
    expect((await w.visit(pull)).body).toBe('with a new token');
  });

  test('404 for the commit’s check: everything else is said, and it is not asked again and again', async () => {
    const repo = await repository();
    w.github.fail({ match: (asked) => aboutChecks(asked) && asked.path.includes(repo.name), times: 100, answer: { status: 404 } });
    const pull = await w.github.openPull(repo, { files: nodeApp('unchecked') });
    await w.reaches(pull, 'ready');
    expect(w.comment(pull)).toContain('### 🟢 Preview is ready');
    expect(w.github.deployments(repo)).toHaveLength(1);
    const tries = () => w.github.requests.filter((asked) => aboutChecks(asked) && asked.path.includes(repo.name)).length;
    expect(tries()).toBeLessThanOrEqual(6);
  });

  test('a comment that a person deletes comes back, once, with the next change', async () => {
    const { pull } = await opened();
    await w.reaches(pull, 'ready');
    const first = w.github.ourComment(pull);
    w.github.state.comments.delete(first?.id ?? 0);
    const sha = await w.github.push(pull, nodeApp('again'));
    await w.reaches(pull, 'ready', sha);
    expect(w.github.ourComment(pull)?.id).not.toBe(first?.id);
    expect(w.github.requests.filter((asked) => makingComment(asked) && asked.path.includes(pull.repository.name))).toHaveLength(2);
  });

  test('a locked pull settles quietly: the site comes, the check tells, nobody is asked over and over', async () => {
    const repo = await repository();
    w.github.sendWebhooksTo(null);
    const pull = await w.github.openPull(repo, { files: nodeApp('locked') });
    w.github.lock(pull);
    w.github.sendWebhooksTo(w.webhooks());
    const lost = w.github.deliveries.findLast((delivery) => delivery.event === 'pull_request');
    if (lost) await w.github.redeliver(lost);
    await w.reaches(pull, 'ready');
    expect(w.github.ourComments(pull)).toEqual([]);
    expect(w.github.checksOf(pull.sha)).toMatchObject([{ conclusion: 'success' }]);
    expect(w.github.requests.filter((asked) => makingComment(asked) && asked.path.includes(repo.name)).length).toBeLessThanOrEqual(8);
  });
});

describe('deployments, environments and checks', () => {
  test('a superseded commit’s deployment becomes inactive once the new one succeeded, and after the close none is left', async () => {
    const { repo, pull } = await opened();
    await w.reaches(pull, 'ready');
    const old = pull.sha;
    const sha = await w.github.push(pull, nodeApp('newer'));
    await w.reaches(pull, 'ready', sha);
    const byCommit = Object.fromEntries(w.github.deployments(repo).map((one) => [one.sha, stateOf(one)]));
    expect(byCommit).toEqual({ [old]: 'inactive', [sha]: 'success' });
    expect(w.github.environments(repo)).toEqual(['preview']);
    await w.github.close(pull);
    await w.reaches(pull, 'ended');
    expect(w.github.deployments(repo)).toEqual([]);
  });

  test('another pull’s deployment never becomes inactive because of ours', async () => {
    const { repo, pull } = await opened();
    const other = await w.github.openPull(repo, { files: nodeApp('other') });
    await Promise.all([w.reaches(pull, 'ready'), w.reaches(other, 'ready')]);
    await w.reaches(pull, 'ready', await w.github.push(pull, nodeApp('second')));
    await w.github.close(pull);
    await w.reaches(pull, 'ended');
    expect(w.github.deployments(repo).map((one) => [one.sha, stateOf(one)])).toEqual([[other.sha, 'success']]);
    expect(w.github.deployments(repo)[0]?.statuses.map(({ state }) => state)).not.toContain('inactive');
  });

  test('a force push: the new commit wins, and no check of the old one stays open', async () => {
    const { pull } = await opened(slowBuild('old'));
    await w.reaches(pull, 'building');
    const old = pull.sha;
    const sha = await w.github.push(pull, nodeApp('forced'), { force: true });
    await w.reaches(pull, 'ready', sha);
    expect((await w.visit(pull)).body).toBe('forced');
    expect(w.github.checksOf(old).map(({ status }) => status)).toEqual(w.github.checksOf(old).map(() => 'completed'));
    expect(w.github.checksOf(sha)).toMatchObject([{ conclusion: 'success' }]);
  });

  test('an empty commit builds nothing and is ready as itself', async () => {
    const { pull } = await opened(builtApp('same'));
    await w.reaches(pull, 'ready');
    const sha = await w.github.push(pull, {});
    const site = await w.reaches(pull, 'ready', sha);
    const [launch] = await w.mayfly.store.launches.of(site.id, 1);
    expect(launch).toMatchObject({ sha, outcome: 'succeeded', notes: { cache: 'artefact' } });
    expect(w.github.checksOf(sha)).toMatchObject([{ conclusion: 'success' }]);
  });

  test('onto another base: its settings count', async () => {
    const repo = await repository();
    await w.github.pushToBranch(repo, 'next', { '.mayfly.yml': 'env: { GREETING: from next }\n' });
    const files = {
      ...nodeApp(''),
      'server.js': `require('node:http').createServer((q, s) => s.end(process.env.GREETING ?? 'none')).listen(process.env.PORT)`,
    };
    const pull = await w.github.openPull(repo, { files });
    await w.reaches(pull, 'ready');
    expect((await w.visit(pull)).body).toBe('none');
    await w.github.retarget(pull, 'next');
    await until('its settings to count', async () => (await w.visit(pull)).body === 'from next');
    await w.reaches(pull, 'ready');
    expect(w.github.ourComments(pull)).toHaveLength(1);
  });
});
