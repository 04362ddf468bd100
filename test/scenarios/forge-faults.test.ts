import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Pull, Repo } from '../doubles/github.ts';
import { createWorld, type World } from '../world.ts';
import { nodeApp } from './apps.ts';

type Asked = { readonly method: string; readonly path: string };

let w: World;
let made = 0;
beforeAll(async () => {
  w = await createWorld();
});
afterAll(() => w[Symbol.asyncDispose]());
const repository = (): Promise<Repo> => w.github.createRepository({ name: `faulty-${++made}/shop-${made}`, files: nodeApp('main') });

test('I5, T-F14: of everything that is made on GitHub the first answer is lost: there is one of each all the same', async () => {
  const repo = await repository();
  const makings = [/\/issues\/\d+\/comments$/, /\/check-runs$/, /\/deployments$/, /\/deployments\/\d+\/statuses$/];
  for (const making of makings)
    w.github.fail({
      match: ({ method, path }) => method === 'POST' && path.includes(`/${repo.name}/`) && making.test(path),
      answer: 'cut',
    });
  const pull = await w.github.openPull(repo, { files: nodeApp('once') });
  await w.reaches(pull, 'ready');
  expect(w.github.ourComments(pull)).toHaveLength(1);
  expect(w.comment(pull)).toContain('### 🟢 Preview is ready');
  expect(w.github.checksOf(pull.sha)).toMatchObject([{ conclusion: 'success' }]);
  expect(w.github.deployments(repo)).toMatchObject([{ sha: pull.sha }]);
  expect(w.github.deployments(repo)[0]?.statuses.at(-1)?.state).toBe('success');
});

test('T-F14: a token that expires between two requests of one fetch', async () => {
  const repo = await repository();
  const isPack = ({ method, path }: Asked): boolean => method === 'POST' && path.includes(`/${repo.name}.git/`);
  let expired = false;
  const answer = { status: 500 };
  w.github.fail({
    // Only looks on: the request that follows the first one of a fetch finds its token void.
    match(asked) {
      if (isPack(asked) && !expired) {
        expired = true;
        w.github.expireTokens();
      }
      return false;
    },
    answer,
  });
  const pull = await w.github.openPull(repo, { files: nodeApp('with a newer token') });
  const site = await w.reaches(pull, 'ready');
  expect(expired).toBe(true);
  expect((await w.visit(pull)).body).toBe('with a newer token');
  // One launch: nobody was told that anything failed.
  expect(await w.mayfly.store.launches.of(site.id, 9)).toMatchObject([{ outcome: 'succeeded' }]);
});

test('T-F14: a token that expires before every request but the first of each kind of work', async () => {
  const repo = await repository();
  const seen = new Set<string>();
  w.github.fail({
    match({ method, path }) {
      const kind = `${method} ${path.replace(/\d+|[0-9a-f]{40}/g, '')}`;
      if (path.includes(repo.name) && !seen.has(kind)) {
        seen.add(kind);
        w.github.expireTokens();
      }
      return false;
    },
    answer: { status: 500 },
  });
  const pull: Pull = await w.github.openPull(repo, { files: nodeApp('again and again') });
  await w.reaches(pull, 'ready');
  expect(seen.size).toBeGreaterThan(8);
  expect(w.github.ourComments(pull)).toHaveLength(1);
  expect(w.github.checksOf(pull.sha)).toHaveLength(1);
});
