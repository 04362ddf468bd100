import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Files } from '../../doubles/git/git.ts';
import { type ForgeName, receipts, type StageComment, type StagePull, type StageRepo } from '../../doubles/stage.ts';
import { createWorld, type TargetName, until, type World } from '../../world.ts';
import { builtApp, nodeApp } from '../apps.ts';

/** What can be typed, and who may, on either forge. */
export function commands(forge: ForgeName, target: TargetName = 'local'): void {
  // GitLab has no state that is neither good nor bad.
  const neutral = { github: 'neutral', gitlab: 'success' }[forge];
  const said = {
    local: {
      region: 'usa',
      hint: ' Did you mean eu-frankfurt?',
      regions:
        "asia-tokyo, asia-singapore, sydney, eu-belgium, eu-london, eu-frankfurt, eu-netherlands, us-iowa, us-virginia, us-oregon, europe, usa, asia and Google Cloud's own names, like europe-west8",
      sleep: 'it sleeps. The next visitor wakes it.',
      files: 'made of files alone',
    },
    gcp: {
      region: 'europe',
      hint: '',
      regions: 'eu-belgium',
      sleep: 'it sleeps by itself, some minutes',
      files: 'it sleeps by itself, some minutes',
    },
  }[target];
  let w: World;
  let made = 0;
  beforeAll(async () => {
    w = await createWorld({ MAYFLY_MAX_TTL: '14d' }, { forge, target });
  });
  afterAll(() => w[Symbol.asyncDispose]());

  /** A repository with somebody of each permission, and a pull whose site is up. */
  async function standing(files: Files = nodeApp('hello'), main: Files = nodeApp('main')): Promise<{ repo: StageRepo; pull: StagePull }> {
    const { repo, pull } = await opened(files, main);
    await w.reaches(pull, 'ready');
    return { repo, pull };
  }
  async function opened(files: Files, main: Files, from?: string): Promise<{ repo: StageRepo; pull: StagePull }> {
    const repo = await w.forge.createRepository({ name: `cmd-${++made}/shop-${made}`, files: main });
    for (const permission of ['admin', 'maintain', 'write', 'read'] as const) w.forge.setPermission(repo, permission, permission);
    return { repo, pull: await w.forge.openPull(repo, { files, ...(from === undefined ? {} : { from }) }) };
  }
  /** Types a comment and waits for its verdict, and until the pull's comment tells of it. */
  async function type(pull: StagePull, login: string, body: string): Promise<StageComment> {
    const comment = await w.forge.comment(pull, login, body);
    await until(`a verdict on ${body}`, () => comment.reacted.some((content) => content !== 'eyes'));
    await until('it to stand alone', () => comment.reactions.length === 1);
    const site = await w.rowOf(pull);
    if (site) await until('the comment to say so', async () => (await w.mayfly.store.reports.get(site.id)).version >= site.version);
    return comment;
  }
  const verdict = async (pull: StagePull, login: string, body: string): Promise<string | undefined> =>
    receipts(await type(pull, login, body)).at(-1);
  const endsAt = async (pull: StagePull): Promise<number> => (await w.siteOf(pull))?.endsAt.getTime() ?? 0;
  const quoted = (pull: StagePull): readonly string[] =>
    w
      .comment(pull)
      .split('\n')
      .filter((line) => line.startsWith('>'));

  test('who may: asked of the forge, told in words, and each line by itself', async () => {
    const { pull } = await standing();
    const lines = (commands: string) =>
      commands
        .split(', ')
        .map((command) => `/preview ${command}`)
        .join('\n');
    const tries = [
      ['nobody', '-1', 'status, help, ping'],
      ['read', '-1', 'extend 1h, logs, sleep, wake, rebuild'],
      ['read', '-1', 'deploy, stop, approve'],
      ['write', '-1', `keep, region ${said.region}`],
      ['read', '+1', 'status, help, ping'],
      ['maintain', '+1', `keep, region ${said.region}`],
      ['write', '+1', 'logs, sleep, wake, rebuild, stop'],
    ] as const;
    for (const [login, outcome, commands] of tries) {
      expect(await verdict(pull, login, lines(commands)), commands).toBe(outcome);
      if (outcome === '-1') expect(quoted(pull), commands).toHaveLength(2 * commands.split(', ').length - 1);
      if (login === 'nobody')
        expect(quoted(pull)[0]).toMatchInlineSnapshot(
          `"> \`/preview status\` by nobody: it needs read access, and nobody has none, which allows no command."`,
        );
    }
    await w.reaches(pull, 'ended');
  });

  test('help, ping and a mistake are answered in the one comment, nobody is mentioned, and a push clears it', async () => {
    const { pull } = await standing();
    await type(pull, 'write', '/preview ping\n/preview help\n/preview extned 2d @org/team');
    const said = w.comment(pull);
    expect(quoted(pull)).toMatchInlineSnapshot(`
      [
        "> \`/preview ping\` by write: I am here.",
        ">",
        "> \`/preview help\` by write: this can be typed, a command a line.",
        ">",
        "> \`/preview extned 2d @org/team\` by write: There is no such command. Did you mean \`/preview extend\`?",
      ]
    `);
    expect(said).toContain('| `/preview extend 3d` | it ends that much later, within the limit | write |');
    expect(w.forge.ourComments(pull)).toHaveLength(1);
    const sha = await w.forge.push(pull, nodeApp('two'));
    await w.reaches(pull, 'ready', sha);
    expect(quoted(pull)).toEqual([]);
  });

  test('a region that there is not, or that may not be used, is answered with those that may', async () => {
    const { pull } = await standing();
    expect(await verdict(pull, 'maintain', '/preview region atlantis\n/preview region eu-frankfrt')).toBe('-1');
    const may = `These may be used here: ${said.regions}.`;
    expect(quoted(pull)).toEqual([
      `> \`/preview region atlantis\` by maintain: there is no such region. ${may}`,
      '>',
      `> \`/preview region eu-frankfrt\` by maintain: there is no such region.${said.hint} ${may}`,
    ]);
    if (target === 'local') return;
    expect(await verdict(pull, 'maintain', '/preview region sydney')).toBe('-1');
    expect(quoted(pull)).toEqual(['> `/preview region sydney` by maintain: sydney may not be used here. These may: eu-belgium.']);
  });

  test('extend says when the limit is reached; keep stands at the limit, over a push', async () => {
    const { pull } = await standing();
    expect(await verdict(pull, 'write', '/preview extend 30d')).toBe('+1');
    expect(quoted(pull).join()).toContain('it ends at the limit');
    expect(await verdict(pull, 'write', '/preview extend 1d')).toBe('-1');
    expect(quoted(pull).join()).toContain('it already stands for as long as it may');
    expect(await verdict(pull, 'maintain', '/preview keep')).toBe('+1');
    const before = await endsAt(pull);
    const sha = await w.forge.push(pull, nodeApp('two'));
    await w.reaches(pull, 'ready', sha);
    expect(await endsAt(pull)).toBeGreaterThan(before);
  });

  test('sleep stops the processes, a visitor wakes it, and so does wake; files do not sleep', async () => {
    const { pull } = await standing();
    const running = async () => (await w.mayfly.target?.survey())?.length;
    expect(await running()).toBeGreaterThan(0);
    expect(await verdict(pull, 'write', '/preview sleep')).toBe('+1');
    expect(quoted(pull).join()).toContain(said.sleep);
    expect((await w.visit(pull)).body).toBe('hello');
    await type(pull, 'write', '/preview sleep');
    expect(await verdict(pull, 'write', '/preview wake')).toBe('+1');
    expect((await w.visit(pull)).body).toBe('hello');
    const files = await standing({ 'index.html': 'still' }, { 'README.md': 'x' });
    expect(await verdict(files.pull, 'write', '/preview sleep')).toBe('+1');
    expect(quoted(files.pull).join()).toContain(said.files);
  });

  test('logs shows the end of the build’s and of the app’s log, without secrets', async () => {
    const secret = 'hunter2-hunter2-hunter2';
    const app = nodeApp('hello');
    const files = {
      ...builtApp('hello'),
      'build.js': `console.log('built it', ${JSON.stringify(secret)}); require('node:fs').writeFileSync('page.txt', 'x');`,
      'server.js': `console.log('serving', process.env.API_TOKEN);${app['server.js']}`,
      '.mayfly.yml': `env:\n  API_TOKEN: ${secret}\n`,
    };
    const { pull } = await standing(files);
    expect(await verdict(pull, 'write', '/preview logs')).toBe('+1');
    expect(w.comment(pull)).toContain('built it ***');
    expect(await verdict(pull, 'write', '/preview logs app 5')).toBe('+1');
    expect(w.comment(pull)).toContain('serving ***');
    expect(w.comment(pull)).not.toContain('built it');
    expect(w.forge.ourComment(pull)?.bodies.join()).not.toContain(secret);
  });

  test('rebuild uses nothing that was kept; status says everything anew, also what somebody deleted', async () => {
    const { pull } = await standing(builtApp('same'));
    const before = await w.siteOf(pull);
    expect(await verdict(pull, 'write', '/preview rebuild')).toBe('+1');
    await until('another revision', async () => {
      const site = await w.siteOf(pull);
      return site?.status === 'ready' && site.live?.revision !== before?.live?.revision;
    });
    const [launch] = await w.mayfly.store.launches.of((await w.siteOf(pull))?.id as never, 1);
    expect(launch?.notes.cache).toBe('none');
    const comment = w.forge.ourComment(pull);
    if (comment) w.forge.state.comments.delete(comment.id);
    expect(await verdict(pull, 'read', '/preview status')).toBe('+1');
    expect(w.comment(pull)).toContain('### 🟢 Preview is ready');
  });

  test('commands count in the order in which they were written, not in that in which we hear of them', async () => {
    const { pull } = await standing();
    w.forge.sendWebhooksTo(null);
    await w.forge.comment(pull, 'write', '/preview stop');
    const stopped = w.forge.deliveries.findLast(({ body }) => body.includes('"/preview stop"'));
    await w.forge.comment(pull, 'write', '/preview deploy');
    const deployed = w.forge.deliveries.findLast(({ body }) => body.includes('"/preview deploy"'));
    w.forge.sendWebhooksTo(w.webhooks());
    if (deployed) await w.forge.redeliver(deployed);
    await until('the deploy', async () => (await w.mayfly.store.inbox.pending(0, 1)).length === 0);
    if (stopped) await w.forge.redeliver(stopped);
    await until('the stop', async () => (await w.mayfly.store.inbox.pending(0, 1)).length === 0);
    expect((await w.siteOf(pull))?.status).toBe('ready');
  });

  test('a closed pull’s site comes back by deploy, and is gone at its end', async () => {
    const { pull } = await standing();
    await w.forge.close(pull);
    await w.reaches(pull, 'ended');
    expect(w.comment(pull)).toContain('`/preview deploy`');
    expect(await verdict(pull, 'write', '/preview deploy')).toBe('+1');
    await w.reaches(pull, 'ready');
    await w.mayfly.reconcileNow();
    expect((await w.siteOf(pull))?.status).toBe('ready');
    expect(await verdict(pull, 'write', '/preview stop')).toBe('+1');
    await w.reaches(pull, 'ended');
  });

  test('where previews are made by command, a pull has no site and no comment until somebody asks', async () => {
    const { pull } = await opened(nodeApp('asked'), { ...nodeApp('main'), '.mayfly.yml': 'previews: command\n' });
    await until('it to be heard of', async () => (await w.rowOf(pull))?.status === 'absent');
    expect(await (await w.api(`/sites?repository=${pull.repository.id}`)).json()).toEqual({ sites: [], next: null });
    expect(await verdict(pull, 'read', '/preview help')).toBe('+1');
    expect(w.comment(pull)).toContain('### ⚪ No preview here');
    expect(await verdict(pull, 'write', '/preview')).toBe('+1');
    await w.reaches(pull, 'ready');
    expect((await w.visit(pull)).body).toBe('asked');
    expect(w.forge.ourComments(pull)).toHaveLength(1);
  });

  test('a pull that touches nothing under root gets a neutral check and no comment', async () => {
    const main = { 'app/index.html': 'x', 'docs/a.md': 'a', '.mayfly.yml': 'root: app\n' };
    const { pull } = await opened({ 'docs/a.md': 'b' }, main);
    await until('the check', () => w.checks(pull.sha)[0] === neutral);
    expect(w.forge.ourComments(pull)).toEqual([]);
    expect(w.deployed(pull.repository)).toEqual([]);
  });

  test('what was typed is kept: by whom, what they were allowed, and what came of it', async () => {
    const { pull } = await standing();
    await type(pull, 'write', '/preview extend 1d');
    await type(pull, 'read', '/preview stop');
    const site = await w.siteOf(pull);
    const { commands } = (await (await w.api(`/sites/${site?.id}/commands`)).json()) as { commands: unknown[] };
    expect(commands).toMatchObject([
      { typed: '/preview stop', by: 'read', permission: 'read', outcome: 'refused', code: 'not-permitted' },
      { typed: '/preview extend 1d', by: 'write', permission: 'write', outcome: 'done', code: 'done' },
    ]);
  });
}
