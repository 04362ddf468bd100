import { afterAll, beforeAll, expect, test } from 'vitest';
import { openRun } from '../doubles/google/run.ts';
import { engineSaid, type InfraWorld, openInfraWorld } from '../infra/world.ts';

let w: InfraWorld;
beforeAll(async () => {
  w = await openInfraWorld();
});
afterAll(() => w[Symbol.asyncDispose]());

const stateHas = async (site: Parameters<InfraWorld['stateOf']>[0], what: string): Promise<boolean> =>
  (await w.stateOf(site))?.includes(what) ?? false;

test('killed while the service is made: its name is taken until it is removed; then the launch succeeds', async () => {
  const site = w.site();
  {
    using _killed = w.onRevision(() => w.killEngine(site));
    expect(await engineSaid(w.up({ site, database: { seed: null } }))).toContain('the Pulumi process ended');
  }
  expect(w.serviceOf(site)?.terminalCondition.state).toBe('CONDITION_SUCCEEDED');
  expect(await stateHas(site, '"pending_operations"')).toBe(true);
  // What was being made is cleared from the state; whether it is there only Google knows.
  expect(await engineSaid(w.up({ site, database: { seed: null } }))).toContain('googleapi: Error 409');
  await (await openRun(w.cloud).remove(w.nameOf(site))).ended;
  await w.up({ site, database: { seed: null } });
  expect(w.own.filter((it) => it === `database of ${site.site}`)).toHaveLength(1);
  expect(await stateHas(site, '"pending_operations"')).toBe(false);
});

test('killed while a revision is made: the next launch goes on', async () => {
  const site = w.site();
  await w.up({ site });
  const uid = w.serviceOf(site)?.uid;
  {
    using _killed = w.onRevision(() => w.killEngine(site));
    expect(await engineSaid(w.up({ site }))).toContain('the Pulumi process ended');
  }
  await w.up({ site });
  expect(w.serviceOf(site)).toMatchObject({ uid, terminalCondition: { state: 'CONDITION_SUCCEEDED' } });
});

test('aborted in the middle, the engine is ended although Google’s provider waits on; the next launch goes on', async () => {
  const site = w.site();
  await w.up({ site });
  const abort = new AbortController();
  const { promise: frozen, resolve: thaw } = Promise.withResolvers<void>();
  {
    using _slow = w.onRevision(() => {
      abort.abort(new Error('superseded'));
      return frozen;
    });
    await expect(w.up({ site, signal: abort.signal })).rejects.toThrow('superseded');
  }
  await w.up({ site });
  const newest = w.serviceOf(site)?.latestReadyRevision;
  // The revision that nobody waits for any more comes too late to be served.
  thaw();
  await Promise.all([...w.cloud.operations.values()].map(({ ended }) => ended));
  expect(w.serviceOf(site)).toMatchObject({ latestReadyRevision: newest, reconciling: false });
});

test('a state whose parts do not fit together is emptied: the engine would never work with it again', async () => {
  const site = w.site();
  await w.up({ site });
  const damage = () => w.rewriteState(site, (resources) => resources.filter(({ type }) => type !== 'pulumi:providers:gcp'));
  await damage();
  await w.refresh(site);
  expect(w.mended(site)).toEqual([['state-emptied']]);
  await w.up({ site: { ...site, region: 'us-central1' } });
  await damage();
  await w.forget(site);
  expect(await w.stateOf(site)).toBeUndefined();
});
