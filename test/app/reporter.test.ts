import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { toLaunchId } from '../../src/site/identity.ts';
import type { Site } from '../../src/site/site.ts';
import type { SiteNews } from '../../src/site/site-news.ts';
import type { Pull } from '../doubles/github.ts';
import { createRig, type Rig } from './rig.ts';

async function openPull(rig: Rig) {
  const repo = await rig.github.createRepository({ name: 'acme/shop' });
  const pull = await rig.github.openPull(repo, { title: 'Fix the cart', message: 'fix the cart total' });
  await rig.settle();
  return { repo, pull };
}

let launches = 0;
/** Applies what a launch of the site's head would, up to `until`. */
async function launch(rig: Rig, pull: Pull, until: 'started' | 'succeeded' | 'failed'): Promise<Site> {
  const { id, head } = await rig.getSite(pull);
  const news = { launch: toLaunchId(`launch${++launches}`), sha: head.sha };
  await rig.store.launches.start({ id: news.launch, site: id, sha: head.sha, queuedMs: 5 });
  const live = { url: 'http://x.preview.localhost:8080', served: { kind: 'static', folder: '/x' }, idleMs: 1_000 } as const;
  const end: SiteNews | undefined =
    until === 'succeeded'
      ? { type: 'launchSucceeded', ...news, live }
      : until === 'failed'
        ? { type: 'launchFailed', ...news, during: 'build', code: 'build-failed', details: { command: 'npm run build', exit: '1' } }
        : undefined;
  await rig.store.apply(id, { type: 'launchStarted', ...news });
  if (end?.type === 'launchSucceeded') await rig.store.launches.finish(news.launch, { outcome: 'succeeded', reason: null, tail: '' });
  if (end?.type === 'launchFailed') {
    const { during, code, details } = end;
    await rig.store.launches.finish(news.launch, { outcome: 'failed', reason: { during, code, details }, tail: 'boom' });
  }
  if (end) await rig.store.apply(id, end);
  return rig.getSite(pull);
}

const report = async (rig: Rig, pull: Pull): Promise<void> => rig.reporter.report((await rig.getSite(pull)).id);
const heading = (rig: Rig, pull: Pull): string | undefined => rig.github.ourComment(pull)?.body.split('\n')[1];
const isSaid = async (rig: Rig, pull: Pull): Promise<boolean> => {
  const site = await rig.getSite(pull);
  return (await rig.store.reports.get(site.id)).version === site.version;
};
const writes = (rig: Rig): number =>
  rig.github.requests.filter(({ method, path }) => method !== 'GET' && !path.endsWith('/access_tokens')).length;

test('the first comment comes at once, while queued; the same comment tells of the end', async () => {
  await using rig = await createRig();
  const { repo, pull } = await openPull(rig);
  await report(rig, pull);
  expect(heading(rig, pull)).toBe('### ⏳ Preview is queued');
  expect(rig.github.checksOf(pull.sha)).toMatchObject([{ status: 'queued' }]);
  const site = await launch(rig, pull, 'succeeded');
  await report(rig, pull);
  expect(heading(rig, pull)).toBe('### 🟢 Preview is ready');
  expect(rig.github.ourComment(pull)?.body).toContain(`http://${site.host}.preview.localhost:8080`);
  expect(rig.github.checksOf(pull.sha)).toMatchObject([{ status: 'completed', conclusion: 'success' }]);
  expect(rig.github.deployments(repo)).toHaveLength(1);
  expect(rig.github.unknownRequests).toEqual([]);
});

test('what was said is not said again', async () => {
  await using rig = await createRig();
  const { pull } = await openPull(rig);
  await report(rig, pull);
  const before = writes(rig);
  await report(rig, pull);
  expect(writes(rig)).toBe(before);
  expect(await isSaid(rig, pull)).toBe(true);
});

test('a word that comes late, after another reporter’s, is put right', async () => {
  let standStill: (() => Promise<void>) | undefined;
  await using rig = await createRig({
    voice: (voice) => ({
      ...voice,
      async ensureComment(...said) {
        const still = standStill;
        standStill = undefined;
        await still?.();
        return voice.ensureComment(...said);
      },
    }),
  });
  const { pull } = await openPull(rig);
  const { id } = await rig.getSite(pull);
  standStill = async () => {
    const other = await rig.takeReportsOver(id);
    await launch(rig, pull, 'succeeded');
    await other.report(id);
    expect(heading(rig, pull)).toBe('### 🟢 Preview is ready');
  };
  await expect(report(rig, pull)).rejects.toMatchObject({ code: 'lease-lost' });
  expect(heading(rig, pull)).toBe('### ⏳ Preview is queued');
  expect(rig.delayed).toMatchObject([{ site: id }]);
  await report(rig, pull);
  expect(heading(rig, pull)).toBe('### 🟢 Preview is ready');
  expect(rig.github.ourComments(pull)).toHaveLength(1);
});

test('in between, edits wait for their pause in the queue; the end does not', async () => {
  await using rig = await createRig();
  const { pull } = await openPull(rig);
  await report(rig, pull);
  await launch(rig, pull, 'started');
  await report(rig, pull);
  expect(heading(rig, pull)).toBe('### ⏳ Preview is queued');
  expect(rig.delayed).toMatchObject([{ site: (await rig.getSite(pull)).id }]);
  expect(rig.delayed[0]?.ms).toBeGreaterThan(1_000);
  expect(rig.delayed[0]?.ms).toBeLessThanOrEqual(3_000);
  await delay(rig.delayed[0]?.ms);
  await report(rig, pull);
  expect(heading(rig, pull)).toBe('### 🛠 Preview is being built');
  await launch(rig, pull, 'failed');
  await report(rig, pull);
  expect(heading(rig, pull)).toBe('### 🔴 Preview failed while building');
});

test('I5: two at once make one comment and one check', async () => {
  await using rig = await createRig();
  const { pull } = await openPull(rig);
  await Promise.all(Array.from({ length: 4 }, () => report(rig, pull)));
  expect(rig.github.ourComments(pull)).toHaveLength(1);
  expect(rig.github.checksOf(pull.sha)).toHaveLength(1);
  expect(rig.delayed).toHaveLength(3);
});

test('the check of a superseded commit is finished, its deployment inactive once the new one succeeds', async () => {
  await using rig = await createRig();
  const { repo, pull } = await openPull(rig);
  const first = pull.sha;
  await report(rig, pull);
  await launch(rig, pull, 'succeeded');
  await report(rig, pull);
  const second = await rig.github.push(pull, { 'a.txt': 'a' });
  await rig.settle();
  await launch(rig, pull, 'failed');
  await report(rig, pull);
  const third = await rig.github.push(pull, { 'b.txt': 'b' });
  await rig.settle();
  await launch(rig, pull, 'started');
  const fourth = await rig.github.push(pull, { 'c.txt': 'c' });
  await rig.settle();
  await launch(rig, pull, 'succeeded');
  await report(rig, pull);
  const conclusions = [first, second, third, fourth].map((sha) => rig.github.checksOf(sha).map(({ conclusion }) => conclusion));
  expect(conclusions).toEqual([['success'], ['failure'], [], ['success']]);
  const active = rig.github.deployments(repo).filter((one) => one.statuses.at(-1)?.state !== 'inactive');
  expect(active.map(({ sha }) => sha)).toEqual([fourth]);
});

test('a check that was left in progress is cancelled when its commit is superseded', async () => {
  await using rig = await createRig();
  const { pull } = await openPull(rig);
  await launch(rig, pull, 'started');
  await report(rig, pull);
  const first = pull.sha;
  await rig.github.push(pull, { 'a.txt': 'a' });
  await rig.settle();
  await launch(rig, pull, 'succeeded');
  await report(rig, pull);
  expect(rig.github.checksOf(first)).toMatchObject([{ status: 'completed', conclusion: 'cancelled' }]);
});

test('at the end the comment says why, and no deployment is left', async () => {
  await using rig = await createRig();
  const { repo, pull } = await openPull(rig);
  await launch(rig, pull, 'succeeded');
  await report(rig, pull);
  await rig.github.close(pull);
  await rig.settle();
  await report(rig, pull);
  await rig.store.apply((await rig.getSite(pull)).id, { type: 'removalFinished' });
  await report(rig, pull);
  expect(heading(rig, pull)).toBe('### ⚪ Preview has ended');
  expect(rig.github.deployments(repo)).toEqual([]);
  expect(rig.github.ourComments(pull)).toHaveLength(1);
});

test('after the repository was removed nothing is said, and that is settled', async () => {
  await using rig = await createRig();
  const { repo, pull } = await openPull(rig);
  await report(rig, pull);
  await rig.github.removeRepository(repo);
  await rig.settle();
  const before = writes(rig);
  await report(rig, pull);
  expect(writes(rig)).toBe(before);
  expect(await isSaid(rig, pull)).toBe(true);
});

test('T-F14: a locked pull is settled quietly, and its check still tells', async () => {
  await using rig = await createRig();
  const { pull } = await openPull(rig);
  rig.github.lock(pull);
  await launch(rig, pull, 'succeeded');
  await report(rig, pull);
  expect(rig.github.ourComments(pull)).toEqual([]);
  expect(rig.github.checksOf(pull.sha)).toMatchObject([{ conclusion: 'success' }]);
  expect(await isSaid(rig, pull)).toBe(true);
});

test('a comment that somebody deleted comes back with the next change', async () => {
  await using rig = await createRig();
  const { pull } = await openPull(rig);
  await report(rig, pull);
  rig.github.state.comments.delete(rig.github.ourComment(pull)?.id ?? 0);
  await launch(rig, pull, 'succeeded');
  await report(rig, pull);
  expect(heading(rig, pull)).toBe('### 🟢 Preview is ready');
});

test('T-F14: a forge that is away has it tried again; what was said before is not said twice', async () => {
  await using rig = await createRig();
  const { pull } = await openPull(rig);
  rig.github.fail({ match: ({ method, path }) => method === 'POST' && path.endsWith('/check-runs'), answer: { status: 502 } });
  await expect(report(rig, pull)).rejects.toMatchObject({ code: 'forge-unreachable' });
  expect(await isSaid(rig, pull)).toBe(false);
  await report(rig, pull);
  expect(rig.github.ourComment(pull)?.bodies).toHaveLength(1);
  expect(await isSaid(rig, pull)).toBe(true);
});

test('T-F14: a limit is a Fault that says until when', async () => {
  await using rig = await createRig();
  const { pull } = await openPull(rig);
  const answer = { status: 403, headers: { 'retry-after': '60' }, message: 'secondary rate limit' };
  rig.github.fail({ match: ({ method, path }) => method === 'POST' && path.endsWith('/comments'), answer });
  await expect(report(rig, pull)).rejects.toMatchObject({ code: 'forge-limited', details: { until: expect.any(String) } });
});

test('what could not be said because its forge was not connected is said once it is', async () => {
  await using rig = await createRig();
  const { pull } = await openPull(rig);
  const { id } = await rig.getSite(pull);
  const owed = async (): Promise<readonly string[]> =>
    (await rig.store.sites.unsettled(9, { maxSites: 5, forges: [...rig.links.keys()] })).report;
  const [[forge, link] = []] = rig.links;
  if (forge === undefined || link === undefined) throw new Error('nothing is connected');
  rig.links.delete(forge);
  await report(rig, pull);
  expect([rig.github.ourComments(pull), await isSaid(rig, pull), await owed()]).toEqual([[], false, []]);
  rig.links.set(forge, link);
  expect(await owed()).toEqual([id]);
  await report(rig, pull);
  expect(heading(rig, pull)).toBe('### ⏳ Preview is queued');
  expect(await isSaid(rig, pull)).toBe(true);
});

test('of a site that ended with our access nothing is owed, connected or not', async () => {
  await using rig = await createRig();
  const { pull } = await openPull(rig);
  const site = await rig.getSite(pull);
  await rig.store.apply(site.id, { type: 'repositoryRemoved' });
  rig.links.clear();
  await report(rig, pull);
  expect(await isSaid(rig, pull)).toBe(true);
});
