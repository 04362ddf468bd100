import { expect, test } from 'vitest';
import type { ForgeName, StagePull, StageRepo } from '../../doubles/stage.ts';
import { createWorld, type TargetName, until, type World } from '../../world.ts';
import { nodeApp, slowBuild } from '../apps.ts';

/** As many sites as may stand, on either forge. */
export function places(forge: ForgeName, target: TargetName = 'local'): void {
  const word = { github: 'pull request', gitlab: 'merge request' }[forge];
  const repository = (w: World, name: string): Promise<StageRepo> => w.forge.createRepository({ name, files: nodeApp('main') });
  const open = (w: World, repo: StageRepo, text: string): Promise<StagePull> => w.forge.openPull(repo, { files: nodeApp(text) });

  test('8. more pulls than places: who has them is named, and the longest waiter gets the next that is free', async () => {
    await using w = await createWorld({ MAYFLY_MAX_SITES: '2' }, { forge, target });
    const repo = await repository(w, 'acme/full');
    const waits = (pull: StagePull) => until(`#${pull.number} to wait`, () => w.forge.ourComment(pull)?.body.includes('As many previews'));
    // One after the other: deliveries that come at the same time are handled in any order.
    const one = await open(w, repo, 'one');
    await w.reaches(one, 'ready');
    const two = await open(w, repo, 'two');
    await w.reaches(two, 'ready');
    const three = await open(w, repo, 'three');
    await waits(three);
    const four = await open(w, repo, 'four');
    await waits(four);
    expect(
      w
        .comment(three)
        .split('\n\n')
        .slice(2, 4)
        .join('\n')
        .replaceAll(/, until .*|http:[^)]*/g, '…'),
    ).toBe(
      [
        `As many previews of this repository stand as may: 2. It starts by itself when one of them ends: \`/preview stop\` there, or closing that ${word}, frees its place.`,
        `- [${word} 1](…)…`,
        `- [${word} 2](…)…`,
      ].join('\n'),
    );
    expect(await (await w.api(`/sites?pull=${three.number}`)).json()).toMatchObject({
      sites: [{ status: 'queued', reason: 'waits for a place' }],
    });
    // Another repository has places of its own.
    const other = await open(w, await repository(w, 'other/free'), 'elsewhere');
    await w.reaches(other, 'ready');
    expect((await w.siteOf(three))?.status).toBe('queued');
    await w.forge.close(one);
    await w.reaches(three, 'ready');
    expect((await w.siteOf(four))?.status).toBe('queued');
    await until('the last one to name who has the places now', () => w.comment(four).includes(`request ${three.number}]`));
    w.forge.setPermission(repo, 'ada', 'write');
    await w.forge.comment(two, 'ada', '/preview stop');
    await w.reaches(four, 'ready');
    expect((await w.visit(four)).body).toBe('four');
  });

  test('a first launch that fails gives its place to the next; a push to a site that stands needs no new one', async () => {
    await using w = await createWorld({ MAYFLY_MAX_SITES: '1' }, { forge, target });
    const repo = await repository(w, 'acme/one');
    const broken = await w.forge.openPull(repo, { files: { ...nodeApp(''), 'server.js': 'process.exit(3)' } });
    await w.reaches(broken, 'failed');
    const good = await open(w, repo, 'good');
    await w.reaches(good, 'ready');
    const sha = await w.forge.push(good, nodeApp('better'));
    await w.reaches(good, 'ready', sha);
    await w.forge.push(broken, nodeApp('mended'));
    await until('it to wait', () => w.forge.ourComment(broken)?.body.includes('As many previews'));
    await w.forge.close(good);
    await w.reaches(broken, 'ready');
    expect((await w.visit(broken)).body).toBe('mended');
  });

  test('waiters are found again after everything in the queue was lost', async () => {
    await using w = await createWorld({ MAYFLY_MAX_SITES: '1' }, { forge, target });
    const repo = await repository(w, 'acme/lost');
    const first = await open(w, repo, 'first');
    await w.reaches(first, 'ready');
    const second = await open(w, repo, 'second');
    await until('it to wait', () => w.forge.ourComment(second)?.body.includes('As many previews'));
    await w.restart();
    expect((await w.siteOf(second))?.status).toBe('queued');
    await w.forge.close(first);
    await w.reaches(second, 'ready');
  });

  test('fairness: a repository with many launches does not keep another one waiting for all of them', async () => {
    await using w = await createWorld({ MAYFLY_MAX_SITES: '20' }, { forge, target });
    const busy = await w.forge.createRepository({ name: 'busy/shop', files: nodeApp('main') });
    for (let n = 1; n <= 6; n++) await w.forge.openPull(busy, { files: slowBuild(`never ${n}`) });
    await until('all workers that it may have to be busy', async () => (await w.mayfly.store.sites.counts()).building >= 2);
    const quick = await open(w, await repository(w, 'calm/shop'), 'quick');
    await w.reaches(quick, 'ready');
    expect((await w.visit(quick)).body).toBe('quick');
  });

  test('one hour before its end the comment says so, once, and extending takes that back', async () => {
    await using w = await createWorld({ MAYFLY_TTL: '3601s', MAYFLY_MAX_TTL: '1d' }, { forge, target });
    const repo = await repository(w, 'acme/late');
    w.forge.setPermission(repo, 'ada', 'write');
    const pull = await open(w, repo, 'late');
    await w.reaches(pull, 'ready');
    await until('the line', () => w.comment(pull).includes('It ends within the hour. `/preview extend 2d` gives it more time.'));
    await w.forge.comment(pull, 'ada', '/preview extend 2h');
    await until('the line to go', () => !w.comment(pull).includes('within the hour'));
  });

  test('expiry while it builds ends it', async () => {
    await using w = await createWorld({}, { forge, target });
    const pull = await w.forge.openPull(await repository(w, 'acme/slow'), { files: slowBuild('never') });
    const site = await w.reaches(pull, 'building');
    await w.letTimeBeUp(site);
    await w.reaches(pull, 'ended');
    expect(w.comment(pull)).toContain('Its time was up.');
    expect((await w.mayfly.target?.survey())?.filter((found) => found.site === site.id)).toEqual([]);
  });
}
