import { expect, test } from 'vitest';
import { github, headOf, headSeen, openTestStore, placeOf, sha } from './open.ts';

test('what was said is kept whole, and what is said ends what is owed', async () => {
  await using store = await openTestStore();
  const created = await store.applyToPull(placeOf(7), headSeen(1, headOf(sha('a'))));
  const site = created?.site;
  if (!site) throw new Error('no site was created');
  expect(await store.reports.get(site.id)).toEqual({
    commentId: null,
    commentUrl: null,
    comment: null,
    checks: {},
    deployments: {},
    version: 0,
  });
  expect((await store.sites.unsettled(10, { maxSites: 5, forges: [github.id] })).report).toEqual([site.id]);
  expect(await store.reports.isOwed(site.id)).toBe(true);
  const said = {
    commentId: '12',
    commentUrl: 'https://github.com/acme/shop/pull/7#issuecomment-12',
    comment: '### ⏳ Preview is queued',
    checks: { [sha('a')]: { id: '5', url: 'https://github.com/acme/shop/runs/5', digest: 'd1' } },
    deployments: { [sha('a')]: { id: '6', digest: 'd2' } },
    version: site.version,
  };
  await store.reports.save(site.id, { ...said, comment: 'said first' });
  await store.reports.save(site.id, said);
  expect(await store.reports.get(site.id)).toEqual(said);
  expect((await store.sites.unsettled(10, { maxSites: 5, forges: [github.id] })).report).toEqual([]);
  expect(await store.reports.isOwed(site.id)).toBe(false);
});

test('a comment with a NUL in it can be kept', async () => {
  await using store = await openTestStore();
  const created = await store.applyToPull(placeOf(7), headSeen(1, headOf(sha('a'))));
  if (!created) throw new Error('no site was created');
  const before = await store.reports.get(created.site.id);
  await store.reports.save(created.site.id, { ...before, comment: 'a\0b' });
  expect((await store.reports.get(created.site.id)).comment).toBe('a\u{fffd}b');
});
