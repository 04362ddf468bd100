import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ChildWorld, createChildWorld } from '../../child.ts';
import { expectClosed, expectConverged, expectGone, leftBehind, pullOpener } from '../../converged.ts';
import type { Files } from '../../doubles/git/git.ts';
import type { ForgeName } from '../../doubles/stage.ts';
import { type TargetName, until } from '../../world.ts';
import { builtApp, nodeApp } from '../apps.ts';

/** A build that takes three seconds, long enough to be met in the middle. */
const unhurried = (text: string): Files => ({
  ...builtApp(text),
  'build.js': `setTimeout(() => require('node:fs').writeFileSync('page.txt', ${JSON.stringify(text)}), 3_000);`,
});
const isPack = ({ path }: { readonly path: string }): boolean => path.endsWith('/git-upload-pack');
/** Control groups that a Mayfly of this process id made, on either version of them. */
const groupsOf = async (pid: number): Promise<readonly string[]> => {
  // Which of these folders there are depends on the version.
  const names = await Promise.all(['', 'memory', 'pids', 'cpu'].map((part) => readdir(join('/sys/fs/cgroup', part)).catch(() => [])));
  return names.flat().filter((name) => name.startsWith(`mayfly-${pid}-`));
};

/** Killed in the middle, on either forge. */
export function crash(forge: ForgeName, target: TargetName = 'local'): void {
  describe('Mayfly is killed', () => {
    let w: ChildWorld;
    let open: ReturnType<typeof pullOpener>;
    beforeAll(async () => {
      w = await createChildWorld('given', forge, target);
      await w.start();
      open = pullOpener(w, 'crash');
    });
    afterAll(() => w[Symbol.asyncDispose]());

    /** Killed as it stands, and started again: nothing of the killed one is left by then. */
    const crashed = async (): Promise<void> => {
      const { pid } = w;
      const { had } = await w.end('SIGKILL');
      await w.allDie(had);
      await w.start();
      expect(await groupsOf(pid)).toEqual([]);
    };
    test('while it fetches: the next start fetches again', async () => {
      w.forge.fail({ match: isPack, answer: 'hang' });
      const pull = await open(nodeApp('fetched'));
      await until('the fetch', () => w.forge.requests.some(isPack));
      await crashed();
      await expectConverged(w, pull, 'fetched');
      await expectClosed(w, pull);
    });

    test('while it builds: the next start builds again', async () => {
      const pull = await open(unhurried('built'));
      await until('the build', () => w.runs('build.js'));
      await crashed();
      await expectConverged(w, pull, 'built');
      await expectClosed(w, pull);
    });

    test('while Pulumi is in `up`: the stack is not stuck', async () => {
      const pull = await open(nodeApp('up'));
      await w.reaches(pull, 'deploying');
      await crashed();
      await expectConverged(w, pull, 'up');
      await expectClosed(w, pull);
    });

    test('right after ready: the site is there again, asleep until its first visitor', async () => {
      const pull = await open(nodeApp('still here'));
      await w.reaches(pull, 'ready');
      await crashed();
      await expectConverged(w, pull, 'still here');
      await expectClosed(w, pull);
    });

    test('while a site ends: it ends', async () => {
      const pull = await open(nodeApp('brief'));
      await w.reaches(pull, 'ready');
      await w.forge.close(pull);
      await w.reaches(pull, 'ending');
      await crashed();
      await expectGone(w, pull);
    });

    test('T-A10: between the answer and the work, and while pulls open, close and move: all of it is caught up with', async () => {
      const [closes, moves] = [await open(nodeApp('closes')), await open(nodeApp('moves'))];
      await Promise.all([w.reaches(closes, 'ready'), w.reaches(moves, 'ready')]);
      const answered = await open(nodeApp('answered')); // the webhook was answered; hardly anything was done yet
      const { had } = await w.end('SIGKILL');
      w.forge.sendWebhooksTo(null);
      await w.forge.close(closes);
      const sha = await w.forge.push(moves, nodeApp('moved'));
      // In a repository that Mayfly has surely heard of: of another it hears with the first delivery that it handles.
      moves.repository.nextNumber += 10;
      const missed = await w.forge.openPull(moves.repository, { files: nodeApp('missed') });
      await w.start();
      expect(await w.alive(had)).toEqual([]);
      await expectConverged(w, answered, 'answered');
      await w.reaches(moves, 'ready', sha);
      expect((await w.visit(moves)).body).toBe('moved');
      await until('the missed pull', () => w.forge.ourComment(missed)?.body.includes('### 🟢 Preview is ready'));
      for (const pull of [answered, moves, missed]) await w.forge.close(pull);
      for (const pull of [closes, answered, moves]) await w.reaches(pull, 'ended');
      await until('nothing to be left', async () => Object.values(await leftBehind(w)).every((there) => there.length === 0));
    });
  });
}
