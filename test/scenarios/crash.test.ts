import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ChildWorld, createChildWorld } from '../child.ts';
import { pullOpener } from '../converged.ts';
import { until } from '../world.ts';
import { nodeApp, slowBuild } from './apps.ts';
import { crash } from './suites/crash.ts';

crash('github');

describe('starting where one cannot', () => {
  let w: ChildWorld;
  beforeAll(async () => {
    w = await createChildWorld('embedded');
    await w.start();
  });
  afterAll(() => w[Symbol.asyncDispose]());

  test('a data dir in use: the second start is refused and says by whom', async () => {
    const refused = await w.tryStart({});
    expect(refused.code).not.toBe(0);
    expect(refused.errors).toContain(`is in use by process ${w.pid}; stop it, or set MAYFLY_DATA_DIR to another folder`);
    expect(refused.errors).not.toContain('    at ');
  });

  test.each(['PORT', 'MAYFLY_GATE_PORT'])('%s in use: a clear message, and nothing is left behind', async (name) => {
    const other = createServer().listen(0);
    await once(other, 'listening');
    const address = other.address();
    const port = typeof address === 'object' && address ? String(address.port) : '';
    const dataDir = join(w.dataDir, 'run', name.toLowerCase());
    await mkdir(dataDir, { mode: 0o711 });
    const refused = await w.tryStart({ [name]: port, MAYFLY_DATA_DIR: dataDir });
    other.close();
    expect(await w.naming(dataDir)).toEqual([]);
    expect(refused.code).not.toBe(0);
    expect(refused.errors).toContain(name);
    expect(refused.errors).toContain(`${port} is in use`);
    expect(refused.errors).not.toContain('    at ');
  });

  test('bad settings: all of them are named with an example, and the exit is 78', async () => {
    const refused = await w.tryStart({ MAYFLY_TTL: 'soon', PORT: 'eighty', WEBHOOK_SECRET: 'development' });
    expect(refused.code).toBe(78);
    for (const name of ['MAYFLY_TTL', 'PORT', 'WEBHOOK_SECRET']) expect(refused.errors).toContain(name);
    expect(refused.errors).not.toContain('    at ');
  });

  test('T-F03: builds, sites, the engine and embedded PostgreSQL die with a Mayfly that is killed, and its data is there again', async () => {
    const open = pullOpener(w, 'embedded');
    const pull = await open(nodeApp('kept'));
    await w.reaches(pull, 'ready');
    await open(slowBuild('never'));
    const running = async (text: string) => (await w.descendants()).some(({ command }) => command.includes(text));
    await until('a build', () => running('build.js'));
    const { had } = await w.end('SIGKILL');
    for (const one of ['postgres', 'server.js', 'build.js', 'pulumi-child.ts'])
      expect(had.filter(({ command }) => command.includes(one))).not.toEqual([]);
    await w.allDie(had);
    await w.start();
    expect((await w.visit(pull)).body).toBe('kept');
    expect(w.forge.ourComments(pull)).toHaveLength(1);
  });
});
