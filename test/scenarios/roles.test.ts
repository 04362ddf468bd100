import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { describe, expect, inject, test } from 'vitest';
import { loadConfig } from '../../src/config.ts';
import { startMayfly } from '../../src/main.ts';
import { createChildWorld } from '../child.ts';
import { createGitHub } from '../doubles/github.ts';
import { createDatabase } from '../postgres.ts';
import { createWorld } from '../world.ts';
import { nodeApp } from './apps.ts';

const log = pino({ level: 'silent' });

test('web and clock in one process, gate and worker in another: a pull becomes a site, and ends', async () => {
  const secretKey = randomBytes(32).toString('base64');
  await using w = await createWorld({ MAYFLY_ROLES: 'gate,worker', MAYFLY_SECRET_KEY: secretKey });
  await using folders = new AsyncDisposableStack();
  const dataDir = folders.adopt(await mkdtemp(join(tmpdir(), 'mayfly-web-')), (path) => rm(path, { recursive: true, force: true }));
  await using front = await startMayfly(
    loadConfig({
      PORT: '0',
      MAYFLY_GATE_PORT: '0',
      MAYFLY_ROLES: 'web,clock',
      MAYFLY_SWEEP_EVERY: '1s',
      MAYFLY_DATA_DIR: dataDir,
      MAYFLY_SECRET_KEY: secretKey,
      DATABASE_URL: w.database.url,
      APP_ID: String(w.github.appId),
      PRIVATE_KEY: w.github.privateKey,
      WEBHOOK_SECRET: w.github.webhookSecret,
      GITHUB_API_URL: w.github.url,
      GITHUB_SERVER_URL: w.github.serverUrl,
    }),
    { log },
  );
  expect(front.target).toBeNull();
  w.github.sendWebhooksTo(`${front.webUrl}/api/github/webhooks`);
  const repo = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const pull = await w.github.openPull(repo, { files: nodeApp('from two processes') });
  await w.reaches(pull, 'ready');
  expect((await w.visit(pull)).body).toBe('from two processes');
  await w.github.close(pull);
  await w.reaches(pull, 'ended');
});

test('web and clock need no sandbox: they start where there is none', async () => {
  await using database = await createDatabase(inject('postgresUrl'));
  await using github = await createGitHub();
  await using folders = new AsyncDisposableStack();
  const dataDir = folders.adopt(await mkdtemp(join(tmpdir(), 'mayfly-web-')), (path) => rm(path, { recursive: true, force: true }));
  // All that is on this PATH is what takes the data dir's lock.
  await symlink('/usr/bin/flock', join(dataDir, 'flock'));
  const env = {
    PATH: dataDir,
    PORT: '0',
    MAYFLY_ROLES: 'web,clock',
    MAYFLY_DATA_DIR: dataDir,
    DATABASE_URL: database.url,
    APP_ID: String(github.appId),
    PRIVATE_KEY: github.privateKey,
    WEBHOOK_SECRET: github.webhookSecret,
    GITHUB_API_URL: github.url,
  };
  const child = spawn(process.execPath, ['src/main.ts'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  for await (const line of createInterface(child.stdout)) if (line.includes('Mayfly is up')) child.kill('SIGTERM');
  expect(await ended).toEqual([0, null]);
});

describe('where bubblewrap cannot run', () => {
  // A mount namespace of its own, in which the program is hidden.
  const script = 'mount --bind /dev/null "$(command -v bwrap)" && exec "$@"';
  const how = { within: ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh'] };

  test.each(['auto', 'bubblewrap'])(
    'MAYFLY_SANDBOX=%s: the start is refused, and says what could be done and what that means',
    async (mode) => {
      await using w = await createChildWorld('given');
      const refused = await w.tryStart({ MAYFLY_SANDBOX: mode }, how);
      expect(refused.code).toBe(78);
      expect(refused.errors).toMatch(new RegExp(`MAYFLY_SANDBOX is ${mode}, and bubblewrap does not work here`));
      expect(refused.errors).toContain('apt-get install bubblewrap');
      expect(refused.errors).toContain('With MAYFLY_SANDBOX=none builds and sites run without a sandbox: their code can read and change');
      expect(refused.errors).not.toContain('    at ');
      expect(await w.naming(w.dataDir)).toEqual([]);
    },
  );

  test('MAYFLY_SANDBOX=none, asked for by name: it starts, and warns what that means', async () => {
    await using w = await createChildWorld('given');
    const said = await w.startAs({ MAYFLY_SANDBOX: 'none' }, how);
    expect(said).toMatch(
      /"level":"warn".*builds and sites run without a sandbox: their code can read and change everything that Mayfly can/,
    );
    expect(said).not.toContain('sandbox works');
  });
});
