import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Files } from '../../doubles/git/git.ts';
import { type ForgeName, receipts, type StageComment, type StagePull, type StageRepo } from '../../doubles/stage.ts';
import { createWorld, type TargetName, until, type World } from '../../world.ts';
import { nodeApp } from '../apps.ts';

/** Strangers' pulls, on either forge. */
export function forks(forge: ForgeName, target: TargetName = 'local'): void {
  let w: World;
  let made = 0;
  beforeAll(async () => {
    w = await createWorld({}, { forge, target });
  });
  afterAll(() => w[Symbol.asyncDispose]());

  /** A stranger's pull that waits, in a repository where `ada` may write. */
  async function held(files: Files = nodeApp('from a stranger')): Promise<{ repo: StageRepo; pull: StagePull }> {
    const repo = await w.forge.createRepository({ name: `fork-${++made}/shop-${made}`, files: nodeApp('main') });
    w.forge.setPermission(repo, 'ada', 'write');
    w.forge.setPermission(repo, 'reader', 'read');
    const pull = await w.forge.openPull(repo, { files, from: `stranger-${made}` });
    await w.reaches(pull, 'held');
    return { repo, pull };
  }
  const verdict = async (comment: StageComment): Promise<string | undefined> => {
    await until('a verdict', () => comment.reacted.some((content) => content !== 'eyes'));
    return receipts(comment).at(-1);
  };
  const type = async (pull: StagePull, login: string, body: string) => verdict(await w.forge.comment(pull, login, body));
  /** Whether git gave anything of this repository away. */
  const fetched = (repo: StageRepo): boolean => w.forge.fetches.some((fetch) => JSON.stringify(fetch).includes(`/${repo.name}`));
  const settled = () => until('every delivery to be handled', async () => (await w.mayfly.store.inbox.pending(0, 1)).length === 0);
  /** The next whole second: times of comments have no parts of one. */
  const nextSecond = () => delay(1_000 - (Date.now() % 1_000) + 5);

  test('T-B01, T-B02: nothing of a stranger’s commit is fetched before somebody who may has approved it', async () => {
    const { repo, pull } = await held();
    expect(w.comment(pull)).toContain(`/preview approve ${pull.sha.slice(0, 7)}`);
    for (const [login, body] of [
      [`stranger-${made}`, '/preview approve'],
      [`stranger-${made}`, '/preview deploy'],
      ['reader', '/preview approve'],
      ['reader', `/preview approve ${pull.sha}`],
      ['ada', '/preview deploy'],
      ['ada', '/preview rebuild'],
      ['ada', `/preview approve ${'0'.repeat(40)}`],
    ] as const) {
      expect(await type(pull, login, body), `${login}: ${body}`).toBe('-1');
    }
    await settled();
    expect((await w.siteOf(pull))?.status).toBe('held');
    expect(fetched(repo)).toBe(false);
    expect(await type(pull, 'ada', '/preview approve')).toBe('+1');
    await w.reaches(pull, 'ready');
    expect((await w.visit(pull)).body).toBe('from a stranger');
    expect(w.forge.ourComments(pull)).toHaveLength(1);
  });

  test('T-B04: a push after the approval waits for one of its own, and what was approved stays up', async () => {
    const { pull } = await held();
    expect(await type(pull, 'ada', `/preview approve ${pull.sha.slice(0, 8)}`)).toBe('+1');
    await w.reaches(pull, 'ready');
    const first = pull.sha;
    await w.forge.push(pull, nodeApp('more from the stranger'));
    await w.reaches(pull, 'held');
    expect((await w.visit(pull)).body).toBe('from a stranger');
    expect(await type(pull, 'ada', `/preview approve ${first}`)).toBe('-1');
    await nextSecond();
    expect(await type(pull, 'ada', '/preview approve')).toBe('+1');
    await w.reaches(pull, 'ready', pull.sha);
    expect((await w.visit(pull)).body).toBe('more from the stranger');
  });

  test('T-B04: an approval that was written before the push that we see does not approve what was pushed', async () => {
    const { repo, pull } = await held();
    await nextSecond();
    w.forge.sendWebhooksTo(null);
    const comment = await w.forge.comment(pull, 'ada', '/preview approve');
    const late = w.forge.deliveries.findLast(({ body }) => body.includes('/preview approve'));
    await nextSecond();
    w.forge.sendWebhooksTo(w.webhooks());
    await w.forge.push(pull, nodeApp('swapped in'));
    await w.reaches(pull, 'held', pull.sha);
    if (late) await w.forge.redeliver(late);
    expect(await verdict(comment)).toBe('-1');
    expect((await w.siteOf(pull))?.status).toBe('held');
    expect(fetched(repo)).toBe(false);
  });

  /** What takes an approval back, and a commit that stays the same. */
  const TURNS: Readonly<Record<string, (repo: StageRepo, pull: StagePull) => Promise<void>>> = {
    'a close and a reopening': async (_, pull) => {
      await w.forge.close(pull);
      await w.reaches(pull, 'ended');
      await w.forge.reopen(pull);
    },
    'a move to another base': async (repo, pull) => {
      await w.forge.pushToBranch(repo, 'next', { 'README.md': 'next' });
      await w.forge.retarget(pull, 'next');
      await until('the news', async () => (await w.siteOf(pull))?.head.base === 'next');
    },
    'a draft': async (_, pull) => {
      await w.forge.draft(pull);
      await until('the news', async () => (await w.siteOf(pull))?.head.draft === true);
    },
  };

  test.each(Object.keys(TURNS))('T-B07: an approval that was written before %s, and is heard after it, approves nothing', async (turn) => {
    const { repo, pull } = await held();
    w.forge.sendWebhooksTo(null);
    const comment = await w.forge.comment(pull, 'ada', `/preview approve ${pull.sha}`);
    const late = w.forge.deliveries.findLast(({ body }) => body.includes('/preview approve'));
    await nextSecond();
    w.forge.sendWebhooksTo(w.webhooks());
    await TURNS[turn]?.(repo, pull);
    await w.reaches(pull, 'held');
    if (late) await w.forge.redeliver(late);
    expect(await verdict(comment)).toBe('-1');
    await until('the reason', () => w.comment(pull).includes('which takes approvals back'));
    expect((await w.siteOf(pull))?.status).toBe('held');
    expect(fetched(repo)).toBe(false);
  });

  test('some digits of a commit approve no other commit that has the same, pushed after that was written', async () => {
    const { repo, pull } = await held();
    await w.forge.push(pull, nodeApp('the one that was looked at'));
    await w.reaches(pull, 'held', pull.sha);
    await nextSecond();
    w.forge.sendWebhooksTo(null);
    const comment = await w.forge.comment(pull, 'ada', '/preview approve 0000000');
    const late = w.forge.deliveries.findLast(({ body }) => body.includes('/preview approve'));
    await nextSecond();
    w.forge.sendWebhooksTo(w.webhooks());
    const sha = await w.forge.push(pull, nodeApp('the one that was not'));
    await w.reaches(pull, 'held', sha);
    // As if the seven digits were those of both: in the comment as it is read again, too.
    comment.body = `/preview approve ${sha.slice(0, 7)}`;
    if (late) await w.forge.redeliver({ ...late, body: late.body.replace('approve 0000000', `approve ${sha.slice(0, 7)}`) });
    expect(await verdict(comment)).toBe('-1');
    expect(fetched(repo)).toBe(false);
  });

  test('T-B07: closed and reopened, moved to another base, made a draft, made anew: it waits again', async () => {
    const { repo, pull } = await held();
    await w.forge.pushToBranch(repo, 'next', { 'README.md': 'next' });
    const approve = async () => {
      await nextSecond();
      expect(await type(pull, 'ada', '/preview approve')).toBe('+1');
      await w.reaches(pull, 'ready');
    };
    await approve();
    await w.forge.draft(pull);
    await w.reaches(pull, 'held');
    await approve();
    await w.forge.retarget(pull, 'next');
    await w.reaches(pull, 'held');
    await approve();
    await w.forge.close(pull);
    await w.reaches(pull, 'ended');
    await w.forge.reopen(pull);
    await w.reaches(pull, 'held');
    expect(w.forge.ourComments(pull)).toHaveLength(1);
  });

  test('T-B08: who approved and may not any more by the time it is fetched or built: it waits again', async () => {
    const { repo, pull } = await held();
    w.forge.fail({ match: ({ path }) => path.includes(`/${repo.name}`) && path.endsWith('/git-upload-pack'), answer: { status: 500 } });
    expect(await type(pull, 'ada', '/preview approve')).toBe('+1');
    await until('the fetch', () =>
      w.forge.requests.some(({ path }) => path.includes(`/${repo.name}`) && path.endsWith('/git-upload-pack')),
    );
    w.forge.setPermission(repo, 'ada', 'read');
    await w.reaches(pull, 'held');
    expect(await type(pull, 'ada', '/preview approve')).toBe('-1');
  });

  // GitLab closes the merge requests of a fork with it.
  if (forge === 'gitlab') return;
  test('a fork that is gone: its commit may still be approved, as it stands', async () => {
    const repo = await w.github.createRepository({ name: 'fork-gone/shop', files: nodeApp('main') });
    w.github.setPermission(repo, 'ada', 'write');
    const pull = await w.github.openPull(repo, { files: nodeApp('soon gone'), from: 'soon-gone' });
    await w.reaches(pull, 'held');
    w.github.deleteFork(pull);
    await w.github.retitle(pull, 'Still here');
    await until('the news', async () => (await w.siteOf(pull))?.head.repository === null);
    await nextSecond();
    expect(await type(pull, 'ada', `/preview approve ${pull.sha}`)).toBe('+1');
    await w.reaches(pull, 'ready');
  });
}
