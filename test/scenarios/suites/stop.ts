import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ChildWorld, createChildWorld } from '../../child.ts';
import { expectClosed, expectConverged, expectGone, pullOpener } from '../../converged.ts';
import type { Files } from '../../doubles/git/git.ts';
import type { ForgeName } from '../../doubles/stage.ts';
import { type TargetName, until } from '../../world.ts';
import { builtApp, nodeApp, slowBuild } from '../apps.ts';

/** What somebody holds. */
const HELD = 'select name as it from mayfly.leases where expires_at > clock_timestamp()';
const LAUNCHES = 'select id as it from mayfly.launches where outcome';
const ENDING = "select id as it from mayfly.sites where status = 'ending'";
/** What is under way, and what it is once Mayfly has stopped. */
const LAUNCH = { underWay: `${LAUNCHES} is null`, left: `${LAUNCHES} = 'abandoned'` } as const;
const REMOVAL = { underWay: ENDING, left: ENDING } as const;
const isPack = ({ path }: { readonly path: string }): boolean => path.endsWith('/git-upload-pack');
/** Starts and never answers: its deploy goes on for as long as an app may take. */
export const neverAnswers = (): Files => ({ ...nodeApp(''), 'server.js': 'setInterval(() => {}, 1_000);' });

/** Stopped in the middle, on either forge. */
export function stop(forge: ForgeName, target: TargetName = 'local'): void {
  let w: ChildWorld;
  let open: ReturnType<typeof pullOpener>;
  beforeAll(async () => {
    w = await createChildWorld('given', forge, target);
    await w.start();
    open = pullOpener(w, 'stop');
  });
  afterAll(() => w[Symbol.asyncDispose]());

  async function ask(sql: string): Promise<readonly string[]> {
    const client = new pg.Client(w.database?.url);
    await client.connect();
    const { rows } = await client.query<{ it: string }>(sql);
    await client.end();
    return rows.map(({ it }) => it);
  }

  /**
   * Stops in order, without waiting for the work that it is at, which would go on for as long as it may take. Nothing still runs, and there
   * is no lease that the next start would have to wait for.
   */
  async function stop(work: typeof LAUNCH | typeof REMOVAL): Promise<void> {
    expect((await ask(HELD)).some((name) => name.startsWith('site:'))).toBe(true);
    const underWay = await ask(work.underWay);
    expect(underWay).toHaveLength(1);
    const { code, had } = await w.end('SIGTERM');
    expect(code).toBe(0);
    expect(await ask(work.left)).toEqual(expect.arrayContaining([...underWay]));
    // What it has killed the kernel ends a moment later.
    await w.allDie(had);
    expect(await ask(HELD)).toEqual([]);
  }

  test('T-F05: during a fetch: the next start resumes', async () => {
    w.forge.fail({ match: isPack, answer: 'hang' });
    const pull = await open(nodeApp('fetched'));
    await until('the fetch', () => w.forge.requests.some(isPack));
    await stop(LAUNCH);
    await w.start();
    await expectConverged(w, pull, 'fetched');
    await expectClosed(w, pull);
  });

  test('T-F05: during a build: the next start resumes', async () => {
    const pull = await open(slowBuild('never'));
    await until('the build', () => w.runs('build.js'));
    await stop(LAUNCH);
    await w.start();
    await until('the build again', () => w.runs('build.js'));
    await w.forge.push(pull, builtApp('built'));
    await expectConverged(w, pull, 'built');
    await expectClosed(w, pull);
  });

  test('T-F05: during an `up`: the next start resumes', async () => {
    const pull = await open(neverAnswers());
    await until('the app', () => w.runs('server.js'));
    await stop(LAUNCH);
    await w.start();
    await until('the app again', () => w.runs('server.js'));
    await w.forge.push(pull, nodeApp('up'));
    await expectConverged(w, pull, 'up');
    await expectClosed(w, pull);
  });

  test('T-F05: during a removal: the next start finishes it', async () => {
    const pull = await open(nodeApp('brief'));
    await w.reaches(pull, 'ready');
    await w.forge.close(pull);
    // Where all is removed by its name, the engine has but a state to drop.
    const engine = await until('the removal', async () => {
      const found = (await w.descendants()).filter(({ command }) => /pulumi (?:destroy|stack rm) /.test(command));
      return found.length > 0 && found;
    });
    // Mayfly first waits a while for what is under way: left alone, the removal would be over by then.
    for (const { pid } of engine) process.kill(pid, 'SIGSTOP');
    await stop(REMOVAL);
    await w.start();
    await expectGone(w, pull);
  });
}
