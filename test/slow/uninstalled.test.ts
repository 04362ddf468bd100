import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createChildWorld } from '../child.ts';
import { nodeApp, slowBuild } from '../scenarios/apps.ts';
import { until } from '../world.ts';

/** What the process has in memory, as one text, after it has thrown away what nobody refers to. */
async function memoryOf(pid: number, folder: string): Promise<string> {
  const before = new Set(readdirSync(folder));
  process.kill(pid, 'SIGUSR2');
  const name = await until('the snapshot', () => readdirSync(folder).find((one) => one.endsWith('.heapsnapshot') && !before.has(one)));
  // It is written in one go, and whole once it can be read as what it is.
  return until('all of it', () => {
    const text = readFileSync(join(folder, name), 'utf8');
    return text.trimEnd().endsWith('}') && text;
  });
}

test('T-F14: uninstalled in the middle of a launch: its sites end, and its token and names are in memory no more, its sources on no disk', {
  timeout: 120_000,
}, async () => {
  await using w = await createChildWorld('given');
  const snapshots = w.dataDir;
  await w.startAs({}, { flags: ['--heapsnapshot-signal=SIGUSR2', `--diagnostic-dir=${snapshots}`] });
  const leaver = await w.github.createRepository({ name: 'leavers/canary-shop', files: nodeApp('main') });
  const stays = await w.github.createRepository({ name: 'stayers/steady-shop', files: nodeApp('main') });
  // Its site is over before: nothing ends on the day of the leave, and its source goes all the same.
  const idle = await w.github.createRepository({ name: 'leavers/idle-shop', files: nodeApp('main') });
  for (let n = 1; n < 5; n++) stays.nextNumber++;
  idle.nextNumber = 9;
  const [building, steady, over] = [
    await w.github.openPull(leaver, { files: slowBuild('never') }),
    await w.github.openPull(stays, { files: nodeApp('steady') }),
    await w.github.openPull(idle, { files: nodeApp('over') }),
  ];
  await Promise.all([w.reaches(over, 'ready'), w.reaches(steady, 'ready'), w.reaches(building, 'building')]);
  await w.github.close(over);
  await w.reaches(over, 'ended');
  const tokens = [...w.github.state.tokens].filter(([, { installation }]) => installation.account.login === 'leavers').map(([one]) => one);
  const kept = [...w.github.state.tokens].filter(([, { installation }]) => installation.account.login === 'stayers').map(([one]) => one);
  const had = await memoryOf(w.pid, snapshots);
  // What is looked for can be found.
  for (const token of [...tokens, ...kept]) expect(had.includes(token)).toBe(true);
  const sources = (): readonly string[] => readdirSync(join(w.dataDir, 'sources'));
  for (const { id } of [leaver, idle, stays]) expect(sources()).toContain(`github-${id}.git`);

  await w.github.uninstall('leavers');
  await w.reaches(building, 'ended');
  await until('its sources to go', () => sources().every((name) => name === `github-${stays.id}.git`));
  const has = await memoryOf(w.pid, snapshots);
  expect(kept.some((token) => has.includes(token))).toBe(true);
  expect(tokens.filter((token) => has.includes(token))).toEqual([]);
  const sha = await w.github.push(steady, nodeApp('still steady'));
  await w.reaches(steady, 'ready', sha);
  expect((await w.visit(steady)).body).toBe('still steady');
});
