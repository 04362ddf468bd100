import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Asked, asked } from '../../doubles/asked.ts';
import type { ForgeName, StagePull, StageRepo } from '../../doubles/stage.ts';
import { createWorld, type World } from '../../world.ts';
import { nodeApp } from '../apps.ts';

/** Faults in the midst of what is made, on either forge. */
export function forgeFaults(forge: ForgeName): void {
  const name = { github: 'GitHub', gitlab: 'GitLab' }[forge];
  let w: World;
  let made = 0;
  beforeAll(async () => {
    w = await createWorld({}, { forge });
  });
  afterAll(() => w[Symbol.asyncDispose]());
  const repository = (): Promise<StageRepo> => w.forge.createRepository({ name: `faulty-${++made}/shop-${made}`, files: nodeApp('main') });

  test(`I5, T-F14: of everything that is made on ${name} the first answer is lost: there is one of each all the same`, async () => {
    const repo = await repository();
    const { isOf, makesComment, makesCheck, makesOthers } = asked[forge];
    const lost: string[] = [];
    for (const makes of [makesComment, makesCheck, ...makesOthers]) {
      const match = (one: Asked): boolean => isOf(repo)(one) && makes(one) && lost.push(one.path) > 0;
      w.forge.fail({ match, answer: 'cut' });
    }
    const pull = await w.forge.openPull(repo, { files: nodeApp('once') });
    await w.reaches(pull, 'ready');
    expect(w.forge.ourComments(pull)).toHaveLength(1);
    expect(w.comment(pull)).toContain('### 🟢 Preview is ready');
    expect(w.checks(pull.sha)).toEqual(['success']);
    expect(w.deployed(repo)).toMatchObject([{ sha: pull.sha }]);
    expect(w.deployed(repo)[0]?.states.at(-1)).toBe('success');
    expect(lost).toHaveLength(4);
  });

  // Tokens of GitLab last to the end of a day.
  if (forge === 'gitlab') return;
  test('T-F14: a token that expires between two requests of one fetch', async () => {
    const repo = await repository();
    const isPack = ({ method, path }: Asked): boolean => method === 'POST' && path.includes(`/${repo.name}.git/`);
    let expired = false;
    const answer = { status: 500 };
    w.forge.fail({
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
    const pull = await w.forge.openPull(repo, { files: nodeApp('with a newer token') });
    const site = await w.reaches(pull, 'ready');
    expect(expired).toBe(true);
    expect((await w.visit(pull)).body).toBe('with a newer token');
    // One launch: nobody was told that anything failed.
    expect(await w.mayfly.store.launches.of(site.id, 9)).toMatchObject([{ outcome: 'succeeded' }]);
  });

  test('T-F14: a token that expires before every request but the first of each kind of work', async () => {
    const repo = await repository();
    const seen = new Set<string>();
    w.forge.fail({
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
    const pull: StagePull = await w.forge.openPull(repo, { files: nodeApp('again and again') });
    await w.reaches(pull, 'ready');
    expect(seen.size).toBeGreaterThan(8);
    expect(w.forge.ourComments(pull)).toHaveLength(1);
    expect(w.checks(pull.sha)).toHaveLength(1);
  });
}
