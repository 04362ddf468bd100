import { expect, test } from 'vitest';
import { runStages } from '../../src/provision/stages.ts';
import { NO_HOME } from '../../src/site/home.ts';
import type { DeployOrder, Held } from '../../src/site/ports.ts';
import { Fault } from '../../src/site/problem.ts';
import type { Head, Site } from '../../src/site/site.ts';
import { watching } from '../contract/target.ts';
import { HEAD, LAUNCH, SITES, TERMS } from '../site/site-examples.ts';

const held: Held = { name: 'site', holder: 'us', epoch: 1, signal: new AbortController().signal };
const FORK: Head = { ...HEAD, trust: 'untrusted' };
const SITE: Site = {
  ...SITES.building,
  head: FORK,
  approval: { sha: FORK.sha, repository: FORK.repository, base: FORK.base, by: { id: 7, login: 'ada' } },
  region: 'europe-west1',
  home: { ...NO_HOME, taken: true },
};
const REPOSITORY = { forge: SITE.pull.forge, id: SITE.pull.repository, name: 'acme/shop', access: '1' };
const POLICY = {
  repositories: [],
  terms: TERMS,
  region: 'europe',
  regions: ['europe-west1', 'europe-west3'],
  target: 'gcp',
  maxSites: 5,
} as const;
const nothing = (): undefined => undefined;

type Doing = { readonly order: DeployOrder; readonly revoke: () => void };

/** A fork's launch whose target does this. @returns what it came to, and what was done for it, in order */
async function launched(deploy: (doing: Doing) => Promise<void>) {
  const done: string[] = [];
  let permission: 'write' | 'read' = 'write';
  const revoke = (): void => {
    permission = 'read';
  };
  const watch = watching({ signal: held.signal });
  const parts: Parameters<typeof runStages>[0] = {
    store: {
      repositories: { find: async () => REPOSITORY },
      apply: async () => ({ site: SITE, changed: true, fresh: true, effects: [] }),
    },
    facts: () => ({
      file: async () => undefined,
      changedPaths: async () => [],
      pull: async () => ({ number: 12, state: 'open', closedAt: null, labels: [], head: FORK }),
      permission: async () => permission,
    }),
    source: () => ({ address: async () => ({ url: 'https://forge.example', authorization: null }), headRef: () => 'refs/pull/12/head' }),
    target: {
      prepare: async () => undefined,
      async deploy(_, order) {
        done.push(`deploy in ${order.region}`);
        await deploy({ order, revoke });
        return { kind: 'remote', origin: 'https://site.a.run.app', region: order.region };
      },
    },
    sources: {
      fetch: async () => ({
        sha: FORK.sha,
        tree: async () => undefined,
        read: async () => undefined,
        save: async () => undefined,
        checkout: async () => undefined,
      }),
    },
    builder: {
      async ensureArtefact({ region }) {
        done.push(`build in ${region}`);
        return { artefact: { key: 'key', image: 'image', detected: 'a test' }, cache: 'none' };
      },
    },
    use: async () => undefined,
    seeds: { keep: () => Promise.reject(new Error('there is no database')) },
    policy: POLICY,
    idleMs: 1,
    url: (label) => `https://${label}.preview.acme.dev`,
    log: nothing,
  };
  const run = { site: SITE, launch: LAUNCH, held, watch, note: async () => undefined, hide: nothing };
  const came = await runStages(parts, run).then(
    ({ served }) => served.kind,
    (error: unknown) => (error instanceof Fault ? error.code : String(error)),
  );
  return { came, done };
}

const FULL = new Fault('google-limited', { details: { action: 'start a site', region: 'eu-belgium' } });

test('what is approved is built where there is room for it', async () => {
  const { came, done } = await launched(async ({ order }) => {
    await order.build();
    if (order.region === 'europe-west1') throw FULL;
  });
  expect(came).toBe('remote');
  expect(done).toEqual(['deploy in europe-west1', 'build in europe-west1', 'deploy in europe-west3', 'build in europe-west3']);
});

test('an approval that was taken back since is asked for again before another region has anything of it', async () => {
  const { came, done } = await launched(async ({ order, revoke }) => {
    await order.build();
    revoke();
    throw FULL;
  });
  expect(came).toBe('approval-void');
  expect(done).toEqual(['deploy in europe-west1', 'build in europe-west1']);
});

test('nor is it built when it was taken back while the target was readied', async () => {
  const { came, done } = await launched(async ({ order, revoke }) => {
    revoke();
    await order.build();
  });
  expect(came).toBe('approval-void');
  expect(done).toEqual(['deploy in europe-west1']);
});
