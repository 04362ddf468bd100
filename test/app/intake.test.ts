import { expect, test } from 'vitest';
import { toForgeId } from '../../src/site/identity.ts';
import { parseRepoConfig, settingsDigest } from '../../src/site/repo-config.ts';
import type { Pull } from '../doubles/github.ts';
import { day, repositoryId } from '../store/open.ts';
import { createRig, type Rig } from './rig.ts';

async function withPull(rig: Rig, files: Record<string, string> = { 'index.html': 'one' }, base: Record<string, string> = {}) {
  const repo = await rig.github.createRepository({ name: 'acme/shop', files: { 'README.md': '# shop\n', ...base } });
  const pull = await rig.github.openPull(repo, { files, title: 'Fix the cart' });
  await rig.settle();
  return { repo, pull };
}

const handledAll = async (rig: Rig): Promise<void> => expect(await rig.store.inbox.pending(-1_000, 100)).toEqual([]);

test('an opened pull gets its site, a push moves it, a close ends it, a reopening brings it back', async () => {
  await using rig = await createRig();
  const { pull } = await withPull(rig);
  const site = await rig.getSite(pull);
  expect(site).toMatchObject({ status: 'queued', head: { sha: pull.sha, title: 'Fix the cart', trust: 'trusted' } });
  expect(site.host).toMatch(/^pr-1-shop-[a-z2-7]{8}$/);
  const sha = await rig.github.push(pull, { 'index.html': 'two' });
  await rig.settle();
  expect((await rig.getSite(pull)).head.sha).toBe(sha);
  await rig.github.close(pull);
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({ status: 'ending', reason: { kind: 'closed' } });
  await rig.github.reopen(pull);
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({ id: site.id, status: 'ending', revive: true });
  await handledAll(rig);
});

test('what the forge says now counts, in whatever order the news arrives', async () => {
  await using rig = await createRig();
  const { pull } = await withPull(rig);
  const sha = await rig.github.push(pull, { 'index.html': 'two' });
  await rig.github.close(pull);
  rig.enqueued.reverse();
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({ status: 'ending', reason: { kind: 'closed' }, head: { title: 'Fix the cart' } });
  expect((await rig.github.redeliver(rig.github.deliveries.find(({ action }) => action === 'synchronize') ?? raise())).statusCode).toBe(
    202,
  );
  await rig.settle();
  expect((await rig.getSite(pull)).status).toBe('ending');
  expect(sha).toHaveLength(40);
});

const raise = (): never => {
  throw new Error('no such delivery');
};

test('a fork is held, also when it is deleted', async () => {
  await using rig = await createRig();
  const repo = await rig.github.createRepository({ name: 'acme/shop' });
  const pull = await rig.github.openPull(repo, { from: 'stranger', files: { 'index.html': 'x' } });
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({ status: 'held', head: { trust: 'untrusted' } });
  rig.github.deleteFork(pull);
  await rig.github.retitle(pull, 'Still here');
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({ status: 'held', head: { repository: null, title: 'Still here' } });
});

test('T-B04: an approval of no named commit is for none that came after it, though we heard of both in the same second', async () => {
  await using rig = await createRig();
  const repo = await rig.github.createRepository({ name: 'acme/shop' });
  rig.github.setPermission(repo, 'ada', 'write');
  const pull = await rig.github.openPull(repo, { from: 'stranger', files: { 'index.html': 'good' } });
  await rig.github.comment(pull, 'ada', '/preview approve');
  await rig.github.push(pull, { 'index.html': 'evil' });
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({ status: 'held', head: { sha: pull.sha }, approval: null });
});

test('settings on the base branch decide: a draft without a site, terms, and mistakes that do not keep a site from coming', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig, {}, { '.mayfly.yml': 'drafts: false\nttl: 1d\n' });
  expect((await rig.getSite(pull)).terms.ttlMs).toBe(day);
  const draft = await rig.github.openPull(repo, { draft: true, branch: 'draft' });
  await rig.settle();
  expect(await rig.siteOf(draft)).toMatchObject({ status: 'absent', passed: { why: 'draft' } });
  await rig.github.readyForReview(draft);
  await rig.github.pushToBranch(repo, 'broken', { '.mayfly.yml': 'ttl: [' });
  const other = await rig.github.openPull(repo, { base: 'broken', branch: 'other' });
  await rig.settle();
  expect(await rig.siteOf(draft)).toMatchObject({ status: 'queued' });
  expect(await rig.siteOf(other)).toMatchObject({ status: 'queued' });
  await handledAll(rig);
});

test('of a repository of which a part is built, a pull that touches nothing of it gets no site', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig, { 'docs/a.md': 'a' }, { '.mayfly.yml': 'root: web\ninclude: [shared]\n' });
  const touching = await rig.github.openPull(repo, { files: { 'shared/a.js': 'a' } });
  await rig.settle();
  expect([await rig.siteOf(pull), await rig.siteOf(touching)]).toMatchObject([
    { status: 'absent', passed: { why: 'nothing-touched', root: 'web' } },
    { status: 'queued' },
  ]);
  await rig.github.push(pull, { 'web/index.html': 'x' });
  await rig.settle();
  expect(await rig.siteOf(pull)).toMatchObject({ status: 'queued' });
  expect(rig.github.unknownRequests).toEqual([]);
});

/** A launch that failed because of the settings that the base branch has. */
async function failBySettings(rig: Rig, pull: Pull, text: string | undefined): Promise<void> {
  const { id: site, head } = await rig.getSite(pull);
  const launch = 'L1' as never;
  await rig.store.launches.start({ id: launch, site, sha: head.sha, queuedMs: 0 });
  await rig.store.launches.note(launch, { notes: { settings: settingsDigest(parseRepoConfig(text)) } });
  await rig.store.apply(site, { type: 'launchStarted', launch, sha: head.sha });
  const details = { count: 'one thing' };
  await rig.store.apply(site, { type: 'launchFailed', launch, sha: head.sha, during: 'fetch', code: 'config-invalid', details });
}

test('a push to the base branch that touches the settings tries again what failed because of them, and only that', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig);
  await failBySettings(rig, pull, undefined);
  await rig.github.pushToBranch(repo, 'main', { 'README.md': 'else' });
  await rig.settle();
  expect((await rig.getSite(pull)).status).toBe('failed');
  await rig.github.pushToBranch(repo, 'main', { '.mayfly.yml': 'ttl: 1d\n' });
  await rig.settle();
  expect((await rig.getSite(pull)).status).toBe('queued');
});

test('a closed pull’s site that was asked for and failed because of the settings is not tried again by each look', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig);
  const settings = 'ttl: soon\n';
  await rig.github.pushToBranch(repo, 'main', { '.mayfly.yml': settings });
  rig.github.setPermission(repo, 'ada', 'write');
  await rig.github.close(pull);
  await rig.github.comment(pull, 'ada', '/preview deploy');
  await rig.settle();
  const { id } = await rig.getSite(pull);
  await rig.store.apply(id, { type: 'removalFinished' });
  await failBySettings(rig, pull, settings);
  await rig.intake.lookAtPull((await rig.store.repositories.find(toForgeId('github'), repositoryId(repo.id))) ?? raise(), pull.number);
  expect((await rig.getSite(pull)).status).toBe('failed');
});

test('extend: who may, how far, and what the reaction says; a comment is done once', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig);
  rig.github.setPermission(repo, 'ada', 'write');
  const before = (await rig.getSite(pull)).endsAt.getTime();
  const asked = await rig.github.comment(pull, 'ada', 'Nice.\n\n/preview extend 2d\n');
  await rig.settle();
  expect((await rig.getSite(pull)).endsAt.getTime()).toBe(before + 2 * day);
  expect(reactions(rig, asked.id)).toEqual(['+1']);
  await rig.github.redeliver(rig.github.deliveries.at(-1) ?? raise());
  await rig.settle();
  expect((await rig.getSite(pull)).endsAt.getTime()).toBe(before + 2 * day);
  const beyond = await rig.github.comment(pull, 'ada', '/preview extend 9w\n/preview extend 1d');
  await rig.settle();
  const site = await rig.getSite(pull);
  expect(site.endsAt.getTime()).toBe(site.clockStart.getTime() + 14 * day);
  const more = await rig.github.comment(pull, 'ada', '/preview extend 1d');
  await rig.settle();
  expect([reactions(rig, beyond.id), reactions(rig, more.id)]).toEqual([['-1'], ['-1']]);
});

const reactions = (rig: Rig, comment: number): readonly string[] =>
  rig.github.state.comments.get(comment)?.reactions.map((reaction) => reaction.content) ?? [];

test('T-B02, T-B03, T-B09, T-B12: strangers, readers, bots and edits change nothing', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig);
  rig.github.setPermission(repo, 'reader', 'read');
  const before = (await rig.getSite(pull)).endsAt;
  const stranger = await rig.github.comment(pull, 'stranger', '/preview extend 9999d');
  const stranger2 = await rig.github.comment(pull, 'stranger', '/preview extend 2d');
  const reader = await rig.github.comment(pull, 'reader', '/preview extend 2d');
  const bot = await rig.github.comment(pull, 'helper[bot]', '/preview extend 2d');
  await rig.github.editComment(pull, stranger, '/preview extend 2d');
  await rig.settle();
  expect((await rig.getSite(pull)).endsAt).toEqual(before);
  expect([stranger, stranger2, reader, bot].map(({ id }) => reactions(rig, id))).toEqual([['confused'], ['-1'], ['-1'], []]);
  await handledAll(rig);
});

test('people without write access have so many answers an hour, and those who have it are answered all the same', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig);
  rig.github.setPermission(repo, 'ada', 'write');
  const asked = [];
  for (let n = 0; n < 62; n++) asked.push(await rig.github.comment(pull, 'stranger', '/preview stop'));
  await rig.settle();
  const answered = asked.map(({ id }) => reactions(rig, id));
  expect(answered.slice(0, 60)).toEqual(Array(60).fill(['-1']));
  expect(answered.slice(60)).toEqual([[], []]);
  const comment = await rig.github.comment(pull, 'ada', '/preview extend 1h');
  await rig.settle();
  expect(reactions(rig, comment.id)).toEqual(['+1']);
  await handledAll(rig);
});

test('I4: a deploy that was typed before the close brings nothing back, also when it is heard of later', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig);
  rig.github.setPermission(repo, 'ada', 'write');
  await rig.github.close(pull);
  // By GitHub's clock the comment that follows is older.
  pull.closedAt = new Date(Date.now() + 60_000).toISOString();
  await rig.settle();
  const comment = await rig.github.comment(pull, 'ada', '/preview deploy');
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({
    status: 'ending',
    revive: false,
    notice: { said: [{ answer: { code: 'closed-since' } }] },
  });
  expect(reactions(rig, comment.id)).toEqual(['-1']);
});

test('words that are no command are answered as not understood, what cannot be done with a refusal; talk is not answered', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig);
  rig.github.setPermission(repo, 'ada', 'admin');
  const said = ['/preview extned 2d', '/preview sleep', '> /preview extend 2d', 'I like /preview extend 2d'];
  const comments = [];
  for (const body of said) comments.push(await rig.github.comment(pull, 'ada', body));
  await rig.settle();
  expect(comments.map(({ id }) => reactions(rig, id))).toEqual([['confused'], ['-1'], [], []]);
});

test('T-A18: a rename keeps the site by the numeric id; a repository we never heard of is not taken in', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig);
  const site = await rig.getSite(pull);
  await rig.github.rename(repo, 'store');
  await rig.github.push(pull, { 'index.html': 'two' });
  const imposter = await rig.github.createRepository({ name: 'acme/shop' });
  await rig.github.rename(imposter, 'shop2');
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({ id: site.id, host: site.host });
  expect((await rig.store.repositories.all()).map(({ name }) => name)).toEqual(['acme/store']);
});

test('added to the installation: open pulls get sites; removed from it: they end and the repository is forgotten', async () => {
  await using rig = await createRig();
  const repo = await rig.github.createRepository({ name: 'acme/shop', installed: false });
  rig.github.sendWebhooksTo(null);
  const pull = await rig.github.openPull(repo);
  rig.github.sendWebhooksTo(`${rig.url}/api/github/webhooks`);
  await rig.github.addRepository(repo);
  await rig.settle();
  expect((await rig.getSite(pull)).status).toBe('queued');
  await rig.github.removeRepository(repo);
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({ status: 'ending', reason: { kind: 'removed' } });
  expect(await rig.store.repositories.all()).toEqual([]);
  await handledAll(rig);
});

test('uninstalled: every site of every repository ends; news of a removal that is no longer true ends nothing', async () => {
  await using rig = await createRig();
  const { repo, pull } = await withPull(rig);
  const access = String(rig.github.installationIdOf(repo));
  const removal = { type: 'repositoriesRemoved', forge: toForgeId('github'), access, repositories: [repositoryId(repo.id)] };
  await rig.store.inbox.put({ id: 'stale', forge: toForgeId('github'), event: removal, digest: 'd' });
  await rig.intake.handleDelivery('stale');
  expect((await rig.getSite(pull)).status).toBe('queued');
  await rig.github.uninstall('acme');
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({ status: 'ending', reason: { kind: 'removed' } });
});

test('I8: a forge that is away has the delivery tried again; one that this version does not know is dead with its reason', async () => {
  await using rig = await createRig();
  const repo = await rig.github.createRepository({ name: 'acme/shop' });
  const pull = await rig.github.openPull(repo);
  const [delivery = ''] = rig.enqueued;
  rig.github.fail({ match: ({ path }) => path.includes('/pulls/'), times: 9, answer: { status: 502 } });
  await expect(rig.intake.handleDelivery(delivery)).rejects.toMatchObject({ code: 'forge-unreachable' });
  expect(await rig.store.inbox.pending(-1_000, 10)).toContain(delivery);
  await rig.store.inbox.put({ id: 'strange', forge: toForgeId('github'), event: { type: 'fromTheFuture' }, digest: 'd' });
  await rig.intake.handleDelivery('strange');
  expect(await rig.store.inbox.pending(-1_000, 10)).not.toContain('strange');
  expect(rig.lines.join('')).toContain('a delivery was given up');
  expect(await rig.siteOf(pull)).toBeUndefined();
});
