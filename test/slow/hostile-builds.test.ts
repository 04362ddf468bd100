import { expect, test } from 'vitest';
import { builtApp, nodeApp } from '../scenarios/apps.ts';
import { createWorld, until } from '../world.ts';

/** What a build does, and what its comment says of it. */
const HOGS = [
  [
    'starts processes without end',
    `const { spawn } = require('child_process'); for (let n = 0; n < 3_000; n++) spawn('sleep', ['60'])`,
    /processes/,
  ],
  ['takes memory without end', 'const kept = []; for (;;) kept.push(Buffer.alloc(50_000_000, 1))', /memory/],
  [
    'writes without end',
    `const fs = require('fs'); const a = Buffer.alloc(1e7, 1); for (let n = 0; ; n++) fs.writeFileSync('/tmp/big' + n, a)`,
    /disk|space|written|ENOSPC/i,
  ],
  [
    'prints without end, then fails',
    `const fs = require('fs'); for (let n = 0; n < 60; n++) fs.writeSync(1, 'y'.repeat(1e6) + '\\n'); process.exit(3)`,
    /exited|failed/,
  ],
] as const;

test('T-F28: builds that take everything there is are stopped and told so; the neighbour answers and is launched anew meanwhile', async () => {
  await using w = await createWorld();
  const street = await w.github.createRepository({ name: 'street/houses', files: nodeApp('main') });
  const neighbour = await w.github.openPull(street, { files: nodeApp('the neighbour') });
  await w.reaches(neighbour, 'ready');
  const repo = await w.github.createRepository({ name: 'hogs/sty', files: nodeApp('main') });
  const strange: unknown[] = [];
  for (const [what, code, said] of HOGS) {
    const pull = await w.github.openPull(repo, { files: { ...builtApp('x'), 'build.js': code } });
    const asked = await w.github.push(neighbour, nodeApp(`beside one that ${what}`));
    const isOver = async (): Promise<boolean> =>
      (await w.siteOf(pull))?.status === 'failed' && (await w.siteOf(neighbour))?.head.sha === asked;
    for (let over = false; !over; over = await isOver()) {
      const { status } = await w.visit(neighbour);
      if (status !== 200) strange.push({ what, status });
    }
    await w.reaches(neighbour, 'ready', asked);
    expect((await w.visit(neighbour)).body).toBe(`beside one that ${what}`);
    await until('the comment to say it', () => said.test(w.comment(pull)));
    await w.github.close(pull);
    await w.reaches(pull, 'ended');
  }
  expect(strange).toEqual([]);
});
