import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { Files, Pull } from '../doubles/github.ts';
import { createWorld, until, type World } from '../world.ts';
import { nodeApp } from './apps.ts';

/** Runs what it is sent with `sh`, as its own user, and answers with what came of it. */
const SHELL: Files = {
  'package.json': JSON.stringify({ name: 'shell', private: true, scripts: { start: 'node server.js' } }),
  'server.js': `
    const { createServer } = require('node:http');
    const { spawnSync } = require('node:child_process');
    createServer((request, response) => {
      const command = new URL(request.url, 'http://site').searchParams.get('sh') ?? 'true';
      const { stdout, stderr } = spawnSync('sh', ['-c', command], { encoding: 'utf8', timeout: 10_000 });
      response.end(stdout + stderr);
    }).listen(process.env.PORT);
  `,
};
/** Tries to open a TCP connection; prints how that went. */
const connects = (host: string, port: number | string): string =>
  `node -e 'const s=require("net").connect({host:"${host}",port:${port},timeout:2000});s.on("connect",()=>{console.log("OPEN ${host}");process.exit()});s.on("error",e=>console.log(e.code));s.on("timeout",()=>{console.log("TIMEOUT");process.exit()})'`;
const portOf = (url: string): string => new URL(url).port;

describe('code of a pull, tried from inside', () => {
  let w: World;
  let neighbour: Pull;
  let app: Pull;
  beforeAll(async () => {
    w = await createWorld();
    const repo = await w.github.createRepository({ name: 'inside/app', files: SHELL });
    [app, neighbour] = [
      await w.github.openPull(repo, { files: { 'a.txt': 'a' } }),
      await w.github.openPull(repo, { files: nodeApp('the neighbour') }),
    ];
    await Promise.all([w.reaches(app, 'ready'), w.reaches(neighbour, 'ready')]);
  });
  afterAll(() => w[Symbol.asyncDispose]());
  const run = async (command: string): Promise<string> => (await w.visit(app, `/?sh=${encodeURIComponent(command)}`)).body.trim();

  test('of Mayfly’s files there is nothing but its own, and no key', async () => {
    expect(await run(`cat ${w.dataDir}/secret-key ${w.dataDir}/pulumi/passphrase; ls ${w.dataDir}/logs ${w.dataDir}/sources`)).not.toMatch(
      /^(?!.*(No such file|denied)).+$/m,
    );
    expect(await run('ls -d /root /home/* 2>&1; cat /etc/shadow 2>&1')).not.toMatch(/root:[*!$]/);
    expect(await run('ls server.js && cat a.txt')).toContain('server.js');
  });

  test('its environment has no credentials and nothing of ours', async () => {
    const names = (await run(`env | cut -d= -f1 | sort | tr '\\n' ' '`)).split(' ').filter((name) => !/^npm_/.test(name));
    expect(names).toMatchInlineSnapshot(`
      [
        "HOME",
        "HOST",
        "INIT_CWD",
        "PATH",
        "PORT",
        "PWD",
        "TMPDIR",
      ]
    `);
    const all = await run(`env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'`);
    for (const secret of [w.canary, w.github.webhookSecret, w.database.url, 'PRIVATE KEY']) expect(all).not.toContain(secret);
  });

  test('other processes are not to be seen or signalled', async () => {
    const seen = await run(`cat /proc/[0-9]*/cmdline | tr '\\0' ' '`);
    expect(seen).toContain('server.js');
    expect(seen).not.toMatch(/vitest|postgres|pulumi/);
    expect(await run(`kill -0 ${process.pid}`)).toMatch(/No such process|not permitted/i);
  });

  test('services on this machine and metadata servers cannot be reached', async () => {
    const ports = [w.mayfly.webUrl, w.mayfly.gateUrl, w.github.url, inject('postgresUrl')].map(portOf);
    const answers = await run(
      [
        ...ports.map((port) => connects('127.0.0.1', port)),
        connects('169.254.169.254', 80),
        connects('10.0.0.1', 80),
        connects('1.1.1.1', 443),
        connects('::ffff:169.254.169.254', 80),
      ].join('; '),
    );
    expect(answers).not.toMatch(/OPEN/);
    expect(answers.split('\n')).toHaveLength(ports.length + 4);
  });

  test('no unix socket of anybody is in sight', async () => {
    const sockets = await run(`find / -xdev -type s 2>/dev/null; find /run /tmp /var -type s 2>/dev/null`);
    expect(sockets).toBe('');
    // They are there outside, so that there is something not to be seen.
    expect(readdirSync(w.dataDir)).toContain('run');
  });

  test('what it may write is its own folder and /tmp; what it writes stays there', async () => {
    expect(await run('echo x > mine && echo y > /tmp/mine && cat mine /tmp/mine')).toBe('x\ny');
    expect(
      await run('for f in /etc/x /usr/x /x /bin/x /mayfly/x; do (echo x > $f) 2>&1; done; ls /etc/x /usr/x /x 2>/dev/null'),
    ).not.toMatch(/^\/(etc|usr)?\/?x$/m);
    expect(await run('id -u; grep CapEff /proc/self/status')).toMatch(/^2[1-2]\d{4}\nCapEff:\s+0+$/);
    const sha = await w.github.push(app, { 'a.txt': 'b' });
    await w.reaches(app, 'ready', sha);
    expect(await run('ls mine /tmp/mine')).toMatch(/No such file[\s\S]*No such file/);
  });

  test('a fork bomb stays in its own box; the neighbour answers (T-F28)', async () => {
    await run('for i in $(seq 2000); do sleep 30 > /dev/null 2>&1 & done; echo done');
    expect((await w.visit(neighbour)).body).toBe('the neighbour');
  });

  test('a build sees no more than that, and through its proxy nothing that is private', async () => {
    const proxied = (to: string): string =>
      `node -e 'const r=require("http").request({port:3128,host:"127.0.0.1",method:"CONNECT",path:"${to}"});r.on("connect",(s)=>{console.log("proxy ${to} "+s.statusCode);process.exit()});r.on("error",e=>console.log("proxy ${to} "+e.code));r.end()'`;
    const tries = [
      `cat ${w.dataDir}/secret-key`,
      `env | cut -d= -f1 | grep -iE 'database|token|secret|key|app_id' | sed 's/^/leak /'`,
      // The brackets keep it from finding itself.
      `cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'vites[t]' | sed 's/^/others /'`,
      connects('127.0.0.1', portOf(w.mayfly.webUrl)),
      ...[
        `127.0.0.1:${portOf(w.mayfly.webUrl)}`,
        `localhost:${portOf(inject('postgresUrl'))}`,
        '169.254.169.254:80',
        '[::ffff:169.254.169.254]:80',
        '10.0.0.1:443',
      ].map(proxied),
      'find / -xdev -type s 2>/dev/null | sed "s/^/socket /"',
      'exit 1',
    ];
    const repo = await w.github.createRepository({ name: 'inside/build', files: nodeApp('x') });
    const pull = await w.github.openPull(repo, { files: { 'try.sh': tries.join('\n'), '.mayfly.yml': 'build: sh try.sh\n' } });
    const site = await w.reaches(pull, 'failed');
    const said = await until('the log', async () => (await w.mayfly.store.launches.of(site.id, 1))[0]?.tail);
    expect(said).not.toMatch(/OPEN|^leak|proxy \S+ 200|others [1-9]/m);
    expect(said.match(/^proxy .*/gm)?.map((line) => line.replace(/\d{5}/, 'port'))).toMatchInlineSnapshot(`
      [
        "proxy 127.0.0.1:port 403",
        "proxy localhost:port 403",
        "proxy 169.254.169.254:80 403",
        "proxy [::ffff:169.254.169.254]:80 403",
        "proxy 10.0.0.1:443 403",
      ]
    `);
  });
});
