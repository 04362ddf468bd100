import { expect, test } from 'vitest';
import { toSiteId } from '../../src/site/identity.ts';
import { headOf, headSeen, openTestStore, placeOf, sha } from './open.ts';

test('what several gates saw adds up, and what is said of strangers is left out', async () => {
  await using store = await openTestStore();
  const applied = await store.applyToPull(placeOf(7), headSeen(1, headOf(sha('a'))));
  if (!applied) throw new Error('no site was created');
  const { id } = applied.site;
  expect(await store.usage.of(id)).toEqual({ busyMs: 0, requests: 0 });
  await store.usage.add(new Map());
  await store.usage.add(new Map([[id, { busyMs: 1_000.4, requests: 3 }]]));
  const stranger = toSiteId('01JNOBODY');
  await Promise.all([
    store.usage.add(
      new Map([
        [id, { busyMs: 500, requests: 1 }],
        [stranger, { busyMs: 1, requests: 1 }],
      ]),
    ),
    store.usage.add(new Map([[id, { busyMs: 250, requests: 2 }]])),
  ]);
  expect(await store.usage.of(id)).toEqual({ busyMs: 1_750, requests: 6 });
  expect(await store.usage.of(stranger)).toEqual({ busyMs: 0, requests: 0 });
});
