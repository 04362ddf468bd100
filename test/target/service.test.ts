import { ulid } from 'ulid';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toSiteId } from '../../src/site/identity.ts';
import type { ServiceSpec } from '../../src/site/ports.ts';
import { answering, watching } from '../contract/target.ts';
import { openSupervisorWorld, type SupervisorWorld, until, visitService } from './local.ts';

let w: SupervisorWorld;
beforeAll(async () => {
  w = await openSupervisorWorld();
});
afterAll(() => w[Symbol.asyncDispose]());

async function service(script: string, part: Partial<ServiceSpec> = {}): Promise<ServiceSpec> {
  const { folder } = await w.artefact({ 'server.js': script });
  const site = toSiteId(ulid());
  const own = { name: `${site}/${ulid()}`, site, folder, cwd: '.', command: 'node server.js', env: {}, port: 3000, health: '/' };
  return { ...own, idleMs: 600_000, database: 'none', ...part };
}
const stateOf = async (name: string) => (await w.supervisor.list()).find((it) => it.name === name);

test('an app that nobody visits is put to sleep, and the next visitor wakes it once', async () => {
  const spec = await service(answering('awake'), { idleMs: 50 });
  await w.supervisor.start(spec, watching());
  await until('it to sleep', async () => (await stateOf(spec.name))?.state === 'asleep');
  using _visit = w.supervisor.visit(spec.name);
  expect(await Promise.all([visitService(w, spec.name), visitService(w, spec.name)])).toEqual(['awake', 'awake']);
  expect(w.supervisor.isAwake(spec.name)).toBe(true);
});

test('an app that is told to stop has its time to, though the shell that started it is gone at once', async () => {
  const ends = `setTimeout(() => { console.log('has ended'); process.exit(); }, 300)`;
  const spec = await service(`${answering('up')}; process.on('SIGTERM', () => ${ends});`, { command: 'node server.js; true' });
  await w.supervisor.start(spec, watching());
  await w.supervisor.sleep(spec.name);
  await until('its last words', async () => (await w.supervisor.said(spec.site, 10)).includes('has ended'));
  await w.supervisor.remove(spec.name);
});

test('an app that crashes is started again', async () => {
  const spec = await service(`${answering('up')}.on('request', (q) => q.url === '/crash' && process.exit(1))`);
  await w.supervisor.start(spec, watching());
  await visitService(w, spec.name, '/crash').catch(() => undefined);
  await until('a restart', async () => (await stateOf(spec.name))?.restarts === 1 && w.supervisor.isAwake(spec.name));
  expect(await visitService(w, spec.name)).toBe('up');
  await w.supervisor.remove(spec.name);
  expect(await stateOf(spec.name)).toBeUndefined();
});

test('an app that goes on crashing is started again after longer and longer, then only for a visitor', async () => {
  // Healthy once, and gone with the answer.
  const spec = await service(`${answering('up')}.on('request', (q, s) => s.on('close', () => process.exit(1)))`);
  const ends: number[] = [];
  await w.supervisor.start(spec, watching());
  await until('the last restart', async () => {
    const state = await stateOf(spec.name);
    if (state && state.restarts > ends.length) ends.push(Date.now());
    return state?.restarts === 4 && state.state === 'crashed';
  });
  const pauses = ends.slice(1).map((end, index) => end - (ends[index] ?? 0));
  expect(pauses.length).toBe(3);
  // 0.5, 1 and 2 s, with what a start takes.
  for (const [index, least] of [500, 1_000, 2_000].entries()) expect(pauses[index]).toBeGreaterThanOrEqual(least - 50);
  await visitService(w, spec.name).catch(() => undefined);
  expect((await stateOf(spec.name))?.restarts).toBe(4);
  await w.supervisor.remove(spec.name);
});

test('after a restart of Mayfly a site is asleep, and its first visitor wakes it', async () => {
  const spec = await service(answering('again'));
  await w.supervisor.start(spec, watching());
  await w.supervisor[Symbol.asyncDispose]();
  await using later = await w.reopen();
  expect((await later.list()).find(({ name }) => name === spec.name)).toMatchObject({ state: 'asleep', pid: null });
  expect(await visitService({ supervisor: later }, spec.name)).toBe('again');
});

test('an app that takes too much memory is told so, with the limit', async () => {
  const spec = await service(`const kept = []; setInterval(() => kept.push(Buffer.alloc(50_000_000, 1)), 1)`);
  await using small = await w.reopen({ limits: { memoryMb: 128, processes: 64, cpus: 1, diskMb: 16 } });
  await expect(small.start(spec, watching())).rejects.toMatchObject({
    code: 'start-failed',
    details: { exit: 'more memory than the 128 MiB that it may use' },
  });
});

test('an app that never answers is told with what it answered', async () => {
  const spec = await service(`require('http').createServer((q, s) => s.writeHead(500).end()).listen(process.env.PORT, process.env.HOST)`);
  await using impatient = await w.reopen({ healthMs: 1_500 });
  const failure = await impatient.start(spec, watching()).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'health-timeout', details: { path: '/', port: '3000', last: '; it answered 500' } });
  expect((await impatient.list()).filter(({ name }) => name === spec.name)).toEqual([]);
});
