import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ForgeName, receipts, type StageRepo } from '../../doubles/stage.ts';
import { createWorld, type TargetName, until, type World } from '../../world.ts';
import { builtApp, nodeApp, slowBuild } from '../apps.ts';

/** What a target says of a build. Google's buildpacks are named, and never tell with what a command of theirs exited. */
const SAID = {
  local: { steps: 'Steps: `npm run build`, `npm start`.', exit: 'exited with 3' },
  gcp: { steps: 'Steps: buildpacks, `npm run build`, `npm start`.', exit: 'exited with 1' },
} as const;

/** The whole life of a pull, on either forge and either target. */
export function story(forge: ForgeName, target: TargetName = 'local'): void {
  const prefix = { github: 'pr', gitlab: 'mr' }[forge];
  const environment = (number: number): string => ({ github: 'preview', gitlab: `preview/mr-${number}` })[forge];

  describe('the life of a pull', () => {
    let w: World;
    let repo: StageRepo;
    let made = 0;
    beforeAll(async () => {
      w = await createWorld({}, { forge, target });
    });
    afterAll(() => w[Symbol.asyncDispose]());
    const repository = async (files = nodeApp('main')) => {
      // An owner of its own each: what GitHub allows in a minute is by installation.
      repo = await w.forge.createRepository({ name: `acme-${++made}/shop-${made}`, files });
      return repo;
    };

    test('1. opened: one comment while queued, then a site that answers with the commit', async () => {
      const pull = await w.forge.openPull(await repository(), { files: nodeApp('hello from the pull') });
      const first = await until('the comment', () => w.forge.ourComment(pull));
      expect(first.bodies[0]).toContain('### ⏳ Preview is queued');
      await w.reaches(pull, 'ready');
      expect(await w.visit(pull)).toMatchObject({
        status: 200,
        body: 'hello from the pull',
        headers: { 'x-robots-tag': 'noindex, nofollow' },
      });
      expect(w.comment(pull)).toContain('### 🟢 Preview is ready');
      expect(w.forge.ourComments(pull)).toHaveLength(1);
      expect(w.checks(pull.sha)).toEqual(['success']);
      expect(w.deployed(repo)).toMatchObject([{ environment: environment(pull.number), sha: pull.sha }]);
    });

    test('1. the first in a repository without `.mayfly.yml`: what was detected stands in one line, with how to change it', async () => {
      const pull = await w.forge.openPull(await repository({ 'README.md': 'nothing to run yet' }), { files: builtApp('detected') });
      expect(pull.number).toBe(1);
      await w.reaches(pull, 'ready');
      expect((await w.visit(pull)).body).toBe('detected');
      expect(w.comment(pull).split(/\n|<br>|<\/sub>/)).toContain(
        `${SAID[target].steps} \`build\`, \`start\` and \`output\` in \`.mayfly.yml\` change them.`,
      );
    });

    test('2. the address is made of the pull, the repository and a hash, and stays', async () => {
      const pull = await w.forge.openPull(await repository(), { files: nodeApp('one') });
      const before = await w.reaches(pull, 'ready');
      expect(before.host).toMatch(new RegExp(`^${prefix}-${pull.number}-${repo.name}-[a-z2-7]{8}$`));
      const sha = await w.forge.push(pull, nodeApp('two'));
      const after = await w.reaches(pull, 'ready', sha);
      expect(after.host).toBe(before.host);
      expect((await w.visit(pull)).body).toBe('two');
      expect(w.forge.ourComments(pull)).toHaveLength(1);
    });

    test('3. a push while it builds abandons the older launch', async () => {
      const pull = await w.forge.openPull(await repository(), { files: slowBuild('one') });
      const old = pull.sha;
      await w.reaches(pull, 'building');
      const sha = await w.forge.push(pull, builtApp('two'));
      await w.reaches(pull, 'ready', sha);
      expect((await w.visit(pull)).body).toBe('two');
      expect(w.checks(old)).toEqual(['cancelled']);
    });

    test('3. ten pushes in a moment make at most two launches, and the last one is live (T-F20)', async () => {
      const pull = await w.forge.openPull(await repository(), { files: nodeApp('0') });
      let sha = pull.sha;
      const begun = performance.now();
      for (let n = 1; n <= 10; n++) sha = await w.forge.push(pull, nodeApp(String(n)));
      // A moment is five seconds, which ten pushes on a busy machine do not fit into: one more launch for each more of them.
      const fives = Math.floor((performance.now() - begun) / 5_000);
      const site = await w.reaches(pull, 'ready', sha);
      expect((await w.visit(pull)).body).toBe('10');
      expect((await w.mayfly.store.launches.of(site.id, 20)).length).toBeLessThanOrEqual(2 + fives);
    });

    test('4. a commit that changes nothing that is built reuses what was built', async () => {
      const files = {
        ...Object.fromEntries(Object.entries(builtApp('same')).map(([path, text]) => [`app/${path}`, text])),
        '.mayfly.yml': 'root: app\n',
      };
      const pull = await w.forge.openPull(await repository(files), { files: { 'app/note.txt': 'a' } });
      await w.reaches(pull, 'ready');
      const sha = await w.forge.push(pull, { 'README.md': 'only words' });
      const site = await w.reaches(pull, 'ready', sha);
      const [launch] = await w.mayfly.store.launches.of(site.id, 1);
      expect(launch).toMatchObject({ sha, outcome: 'succeeded', notes: { cache: 'artefact' } });
      expect((await w.visit(pull)).body).toBe('same');
    });

    test('5. a failed build explains itself, masks secrets, and what was live stays live', async () => {
      const pull = await w.forge.openPull(await repository(), { files: builtApp('good') });
      await w.reaches(pull, 'ready');
      const secret = 'ghp_0123456789abcdefghijklmnopqrstuvwxyz';
      const sha = await w.forge.push(pull, {
        'build.js': `console.log('token ${secret}'); console.error('cannot find the cart'); process.exit(3);`,
      });
      await w.reaches(pull, 'failed', sha);
      expect(w.comment(pull)).toContain('### 🔴 Preview failed while building');
      expect(w.comment(pull)).toContain(SAID[target].exit);
      expect(w.comment(pull)).toContain('cannot find the cart');
      expect(w.comment(pull)).not.toContain(secret);
      expect((await w.visit(pull)).body).toBe('good');
      expect(w.checks(sha)).toEqual(['failure']);
    });

    test('5. an app that never becomes healthy fails with its log, and the next good push succeeds (T-F08)', async () => {
      const files = { ...nodeApp(''), 'server.js': `console.error('no database here'); process.exit(7);` };
      const pull = await w.forge.openPull(await repository(), { files });
      await w.reaches(pull, 'failed');
      expect(w.comment(pull)).toContain('no database here');
      const sha = await w.forge.push(pull, nodeApp('fine'));
      await w.reaches(pull, 'ready', sha);
      expect((await w.visit(pull)).body).toBe('fine');
    });

    test('6. closed: gone, said so, and brought back by reopening', async () => {
      const pull = await w.forge.openPull(await repository(), { files: nodeApp('brief') });
      const site = await w.reaches(pull, 'ready');
      await w.forge.close(pull);
      await w.reaches(pull, 'ended');
      expect(await w.visit(pull)).toMatchObject({ status: 410 });
      expect(w.comment(pull)).toContain('### ⚪ Preview has ended');
      expect((await w.mayfly.target?.survey())?.filter((found) => found.site === site.id)).toEqual([]);
      expect(w.deployed(repo)).toEqual([]);
      await w.forge.reopen(pull);
      await w.reaches(pull, 'ready');
      expect((await w.visit(pull)).body).toBe('brief');
      expect(w.forge.ourComments(pull)).toHaveLength(1);
    });

    test('6. a close during a build ends it', async () => {
      const pull = await w.forge.openPull(await repository(), { files: slowBuild('never') });
      const site = await w.reaches(pull, 'building');
      await w.forge.close(pull);
      await w.reaches(pull, 'ended');
      expect((await w.mayfly.target?.survey())?.filter((found) => found.site === site.id)).toEqual([]);
    });

    test('7. extended by a comment of somebody who may', async () => {
      const pull = await w.forge.openPull(await repository(), { files: nodeApp('long') });
      w.forge.setPermission(repo, 'dev', 'write');
      w.forge.setPermission(repo, 'guest', 'read');
      const before = await w.reaches(pull, 'ready');
      const asked = await w.forge.comment(pull, 'dev', '/preview extend 2d');
      await until('the end to move', async () => (await w.siteOf(pull))?.endsAt.getTime() === before.endsAt.getTime() + 2 * 86_400_000);
      await until('the receipt', () => receipts(asked).at(-1) === '+1');
      const refused = await w.forge.comment(pull, 'guest', '/preview extend 2d');
      await until('the refusal', () => receipts(refused).at(-1) === '-1');
    });
  });

  test('10. after `/preview stop` a push changes nothing but the commit; `/preview deploy` brings the newest back', async () => {
    await using w = await createWorld({}, { forge, target });
    const repo = await w.forge.createRepository({ name: 'acme/paused', files: nodeApp('main') });
    w.forge.setPermission(repo, 'dev', 'write');
    w.forge.setPermission(repo, 'guest', 'read');
    const pull = await w.forge.openPull(repo, { files: nodeApp('one') });
    await w.reaches(pull, 'ready');
    const refused = await w.forge.comment(pull, 'guest', '/preview stop');
    await until('the refusal', () => receipts(refused).at(-1) === '-1');
    expect((await w.siteOf(pull))?.status).toBe('ready');
    await w.forge.comment(pull, 'dev', '/preview stop');
    await w.reaches(pull, 'ended');
    const sha = await w.forge.push(pull, nodeApp('two'));
    await w.reaches(pull, 'ended', sha);
    expect(w.comment(pull)).toContain(sha.slice(0, 7));
    expect(await w.visit(pull)).toMatchObject({ status: 410 });
    await w.forge.comment(pull, 'dev', '/preview deploy');
    await w.reaches(pull, 'ready', sha);
    expect((await w.visit(pull)).body).toBe('two');
  });

  test('7. its time is up: the site ends, and a push brings it back', async () => {
    await using w = await createWorld({}, { forge, target });
    const repo = await w.forge.createRepository({ name: 'acme/brief', files: nodeApp('main') });
    const pull = await w.forge.openPull(repo, { files: nodeApp('one') });
    await w.letTimeBeUp(await w.reaches(pull, 'ready'));
    await w.reaches(pull, 'ended');
    expect(w.comment(pull)).toContain('### ⚪ Preview has ended');
    const sha = await w.forge.push(pull, nodeApp('two'));
    await w.reaches(pull, 'ready', sha);
  });

  test('a fork is held: nothing of it is fetched (T-B01)', async () => {
    await using w = await createWorld({}, { forge, target });
    const repo = await w.forge.createRepository({ name: 'acme/open', files: nodeApp('main') });
    const pull = await w.forge.openPull(repo, { files: nodeApp('from a stranger'), from: 'stranger' });
    await w.reaches(pull, 'held');
    expect(w.comment(pull)).toContain('### 🔒 Preview waits for approval');
    expect(w.forge.fetches).toEqual([]);
  });

  test('the same delivery a hundred times at once is one site and one comment (T-A06)', async () => {
    await using w = await createWorld({}, { forge, target });
    const repo = await w.forge.createRepository({ name: 'acme/loud', files: nodeApp('main') });
    w.forge.sendWebhooksTo(null);
    const pull = await w.forge.openPull(repo, { files: nodeApp('once') });
    w.forge.sendWebhooksTo(w.webhooks());
    const [lost] = w.forge.deliveries.filter((delivery) => /^(?:pull_request|Merge Request Hook)$/.test(delivery.event));
    if (!lost) throw new Error('nothing was delivered');
    const answers = await Promise.all(Array.from({ length: 100 }, () => w.forge.redeliver(lost)));
    expect(new Set(answers.map((answer) => answer.statusCode))).toEqual(new Set([202]));
    const site = await w.reaches(pull, 'ready');
    expect(await w.mayfly.store.launches.of(site.id, 10)).toHaveLength(1);
    expect(w.forge.ourComments(pull)).toHaveLength(1);
  });

  test('after a restart a site sleeps until its first visitor', async () => {
    await using w = await createWorld({}, { forge, target });
    const repo = await w.forge.createRepository({ name: 'acme/steady', files: nodeApp('main') });
    const pull = await w.forge.openPull(repo, { files: nodeApp('still here') });
    await w.reaches(pull, 'ready');
    await w.restart();
    expect(await w.visit(pull)).toMatchObject({ status: 200, body: 'still here' });
  });

  test('a missed close is found by comparing with the forge (T-F22)', async () => {
    await using w = await createWorld({}, { forge, target });
    const repo = await w.forge.createRepository({ name: 'acme/quiet', files: nodeApp('main') });
    const pull = await w.forge.openPull(repo, { files: nodeApp('x') });
    await w.reaches(pull, 'ready');
    w.forge.sendWebhooksTo(null);
    await w.forge.close(pull);
    const missed = await w.forge.openPull(repo, { files: nodeApp('missed') });
    await w.mayfly.reconcileNow();
    await w.reaches(pull, 'ended');
    await w.reaches(missed, 'ready');
  });
}
