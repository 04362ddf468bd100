import { expect, test } from 'vitest';
import { type GitLabWorld, openGitLabWorld } from '../contract/gitlab-world.ts';

const idOf = (w: GitLabWorld, login: string): number => w.gitlab.state.users.get(login)?.id ?? 0;
const permission = (w: GitLabWorld, login: string) => w.facts.permission(w.repository, { id: idOf(w, login), login });

test.for([
  [5, 'none'],
  [10, 'none'],
  [15, 'none'],
  [20, 'read'],
  [30, 'write'],
  [40, 'maintain'],
  [50, 'admin'],
] as const)('level %i is %s', async ([level, expected]) => {
  await using w = await openGitLabWorld();
  w.gitlab.setPermission(w.repo, 'ann', level);
  expect(await permission(w, 'ann')).toBe(expected);
});

test('a permission of a group above counts, and the highest of all does', async () => {
  await using w = await openGitLabWorld();
  w.gitlab.state.groups.get('acme')?.roles.set('ann', 40);
  w.gitlab.setPermission(w.repo, 'ann', 'read');
  expect(await permission(w, 'ann')).toBe('maintain');
});

test('who is blocked, banned, deactivated or awaits a seat may do nothing', async () => {
  await using w = await openGitLabWorld();
  for (const login of ['blocked', 'banned', 'deactivated', 'awaiting']) w.gitlab.setPermission(w.repo, login, 'admin');
  w.gitlab.block('blocked');
  for (const login of ['banned', 'deactivated'] as const) Object.assign(w.gitlab.state.users.get(login) ?? {}, { state: login });
  w.gitlab.awaitSeat(w.repo, 'awaiting');
  for (const login of ['blocked', 'banned', 'deactivated', 'awaiting']) expect(await permission(w, login), login).toBe('none');
});

test('an account of a program may do nothing, whatever it is called', async () => {
  await using w = await openGitLabWorld();
  w.gitlab.setPermission(w.repo, 'deploys', 'maintain');
  Object.assign(w.gitlab.state.users.get('deploys') ?? {}, { type: 'Bot' });
  expect(await permission(w, 'deploys')).toBe('none');
});

test('old names of what a merge request moves are among its paths', async () => {
  await using w = await openGitLabWorld();
  const text = 'a line\n'.repeat(20);
  await w.gitlab.pushToBranch(w.repo, 'main', { 'docs/old.md': text });
  const pull = await w.gitlab.openPull(w.repo, { files: { 'docs/old.md': null, 'app/new.md': text } });
  expect([...((await w.facts.changedPaths(w.repository, pull.number)) ?? [])].sort()).toEqual(['app/new.md', 'docs/old.md']);
});

test('more files than GitLab lists are told as such', async () => {
  await using w = await openGitLabWorld();
  w.gitlab.limits.maxFiles = 3;
  const files = Object.fromEntries(Array.from({ length: 5 }, (_, n) => [`f${n}.txt`, String(n)]));
  const pull = await w.gitlab.openPull(w.repo, { files });
  expect(await w.facts.changedPaths(w.repository, pull.number)).toBeNull();
});

test('all files are listed, over many pages', async () => {
  await using w = await openGitLabWorld();
  const files = Object.fromEntries(Array.from({ length: 130 }, (_, n) => [`f${n}.txt`, String(n)]));
  const pull = await w.gitlab.openPull(w.repo, { files });
  expect(await w.facts.changedPaths(w.repository, pull.number)).toHaveLength(130);
});

test('a merged one was closed when it was merged; a draft is one', async () => {
  await using w = await openGitLabWorld();
  const [merged, draft] = [await w.gitlab.openPull(w.repo), await w.gitlab.openPull(w.repo, { draft: true })];
  await w.gitlab.merge(merged);
  expect(await w.facts.pull(w.repository, merged.number)).toMatchObject({ state: 'merged', closedAt: new Date(merged.mergedAt ?? 0) });
  expect((await w.facts.pull(w.repository, draft.number))?.head.draft).toBe(true);
});

test('a project that moved to another group is the same one', async () => {
  await using w = await openGitLabWorld();
  const pull = await w.gitlab.openPull(w.repo);
  await w.gitlab.transfer(w.repo, 'globex/shops');
  expect((await w.facts.pull(w.repository, pull.number))?.head.sha).toBe(pull.sha);
  expect((await w.facts.repository(w.repository))?.name).toBe('globex/shops/shop');
  expect((await w.source.address(w.repository)).url).toBe(`${w.gitlab.url}/globex/shops/shop.git`);
});

test('titles of commits are asked for once', async () => {
  await using w = await openGitLabWorld();
  await w.gitlab.openPull(w.repo, { message: `${'a long title '.repeat(10)}\n\nand more` });
  const commits = () => w.gitlab.requests.filter(({ path }) => /\/repository\/commits\/[0-9a-f]+$/.test(path)).length;
  const [pull] = await w.facts.openPulls(w.repository);
  expect(pull?.head.commitTitle).toBe('a long title '.repeat(10));
  await w.facts.openPulls(w.repository);
  expect(commits()).toBe(1);
  w.forget({ access: w.repository.access, id: w.repository.id });
  await w.facts.openPulls(w.repository);
  expect(commits()).toBe(2);
});
