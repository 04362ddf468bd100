import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Box, openSandbox, type Sandbox } from '../../src/provision/sandbox.ts';

let dataDir: string;
let sandbox: Sandbox;
let lastUid = 420_000;

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'mayfly-sandbox-'));
  await mkdir(join(dataDir, 'app'));
  await writeFile(join(dataDir, 'secret-key'), 'canary');
  await writeFile(join(dataDir, 'app', 'file'), 'as it was');
  sandbox = await openSandbox({ mode: 'auto', dataDir, log: () => {} });
});
afterAll(() => rm(dataDir, { recursive: true, force: true }));

function box(command: string, more: Partial<Box> = {}): Box {
  lastUid += 1;
  return {
    name: `test-${lastUid}`,
    command,
    cwd: '/app',
    env: {},
    uid: lastUid,
    folders: [{ from: join(dataDir, 'app'), to: '/app', access: 'fresh' }],
    doors: [],
    limits: { memoryMb: 256, processes: 40, cpus: 1, diskMb: 8 },
    ...more,
  };
}

async function runBox(command: string, more: Partial<Box> = {}) {
  const said: Buffer[] = [];
  const boxed = await sandbox.open(box(command, more), (chunk) => said.push(chunk));
  const exit = await boxed.exited;
  return { ...exit, said: Buffer.concat(said).toString('utf8').trim() };
}

test('a box sees nothing of Mayfly: neither files nor environment nor processes', async () => {
  const { said } = await runBox(
    `cat ${dataDir}/secret-key; ls /root /home /var /run 2>&1 | wc -l; ls -d /proc/[0-9]* | wc -l; env | sort | cut -d= -f1`,
  );
  expect(said).not.toContain('canary');
  expect(said).toMatch(/^HOME\nPATH\nPWD\nTMPDIR$/m);
  expect(said).not.toMatch(/NODE_|VITEST|npm_/);
});

test('its environment reaches a box without showing in the list of processes', async () => {
  const up = Promise.withResolvers<string>();
  const boxed = await sandbox.open(box('echo "$DATABASE_URL"; exec sleep 60', { env: { DATABASE_URL: 'postgres://canary-7' } }), (chunk) =>
    up.resolve(chunk.toString('utf8').trim()),
  );
  expect(await up.promise).toBe('postgres://canary-7');
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  expect(lines.filter((line) => line.includes('canary-7'))).toEqual([]);
  await boxed.stop(0);
  expect((await runBox('echo "$DATABASE_URL"', { env: { DATABASE_URL: 'a "b" $c\n`d`' } })).said).toBe('a "b" $c\n`d`');
});

test('a box has its own user, no capabilities, no way to gain any, and the host name "site"', async () => {
  const { said } = await runBox(
    'id -u; hostname; grep -E "^Cap(Eff|Prm|Bnd)|NoNewPrivs" /proc/self/status; unshare -U true; mount -t tmpfs x /tmp',
  );
  expect(said).toContain(`${lastUid}\nsite`);
  expect(said.match(/0000000000000000/g)).toHaveLength(3);
  expect(said).toMatch(/NoNewPrivs:\s1/);
  expect(said).toContain('unshare failed');
  expect(said).toMatch(/mount: .*(permission|superuser|denied)/i);
});

test('a box reaches no network but its own loopback', async () => {
  const server = createServer((_, answer) => answer.end('outside')).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const { said } = await runBox(
    `node -e 'for (const h of ["127.0.0.1","203.0.113.80"]) require("net").connect(${port}, h).on("error", (e) => console.log(e.code))'`,
  );
  expect(said.split('\n').sort()).toEqual(['ECONNREFUSED', 'ENETUNREACH']);
  server.close();
});

test('what a box writes to a fresh folder is gone with it, and the rest is read-only', async () => {
  const first = await runBox('echo changed > file 2>/dev/null; echo new > new; cat new; echo x > /usr/x; echo x > /x; echo x > /etc/x');
  expect(first.said.match(/Read-only file system/g)).toHaveLength(3);
  expect(first.said).toContain('new');
  expect((await runBox('cat file; ls')).said).toBe('as it wasfile');
});

test('memory, processes and disk end where the limits say', async () => {
  const [memory, forks, disk] = await Promise.all([
    runBox('node -e "const a=[];for(;;)a.push(Buffer.alloc(1e7,1))"'),
    runBox('for i in $(seq 100); do sleep 5 & done; exit 1'),
    runBox('head -c 20000000 /dev/zero > big; head -c 20000000 /dev/zero > /tmp/big; du -k big /tmp/big | cut -f1'),
  ]);
  expect(memory.limit).toBe('memory');
  expect(forks.limit).toBe('processes');
  expect(disk.said.match(/No space left/g)).toHaveLength(2);
});

test('an inward door is reached by its socket, whatever the box does, and both go with the box', async () => {
  const socket = join(dataDir, 'run', 'inward.sock');
  const code = 'require("http").createServer((q,s)=>q.pipe(s)).listen(3000)';
  const boxed = await sandbox.open(box(`exec node -e '${code}'`, { doors: [{ direction: 'inward', port: 3000, socket }] }), () => {});
  const body = 'x'.repeat(3_000_000);
  await expect.poll(() => post(socket, body), { timeout: 10_000 }).toBe(body);
  await boxed.stop(2_000);
  expect((await readdir(join(dataDir, 'run'))).filter((name) => name.includes('inward'))).toEqual([]);
});

test('an outward door leads to one socket outside', async () => {
  const socket = join(dataDir, 'out.sock');
  const server = createServer((_, answer) => answer.end('hello from outside')).listen({ path: socket, writableAll: true });
  await new Promise((resolve) => server.once('listening', resolve));
  const code = 'fetch("http://127.0.0.1:5000").then(r=>r.text()).then(console.log)';
  const { said } = await runBox(`node -e '${code}'`, { doors: [{ direction: 'outward', port: 5000, socket }] });
  expect(said).toBe('hello from outside');
  server.close();
});

test('stop ends what ignores it, and all that it started', async () => {
  const boxed = await sandbox.open(box('trap "" TERM; (trap "" TERM; setsid sleep 300) & sleep 300; sleep 300'), () => {});
  await boxed.stop(100);
  const exit = await boxed.exited;
  expect(exit.code === 0).toBe(false);
  expect(await processesOf(lastUid)).toEqual([]);
});

test('a box dies with the Mayfly that opened it, however that dies, and the next one removes its folder', async () => {
  const { uid } = box('');
  const order = JSON.stringify(box('echo up; sleep 300', { uid, name: `orphan-${uid}` }));
  const code = `
    import { openSandbox } from ${JSON.stringify(new URL('../../src/provision/sandbox.ts', import.meta.url).href)};
    const sandbox = await openSandbox({ mode: 'auto', dataDir: ${JSON.stringify(dataDir)}, log: () => {} });
    await sandbox.open(${order}, (chunk) => process.stdout.write(chunk));
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(parent.stdout, 'data');
  expect((await processesOf(uid)).length).toBeGreaterThan(0);
  parent.kill('SIGKILL');
  await expect.poll(() => processesOf(uid), { timeout: 10_000 }).toEqual([]);
  expect(await readdir(join(dataDir, 'run'))).toContain(`box-orphan-${uid}`);
  await openSandbox({ mode: 'auto', dataDir, log: () => {} });
  expect(await readdir(join(dataDir, 'run'))).not.toContain(`box-orphan-${uid}`);
});

test('a box that cannot be opened leaves nothing open', async () => {
  const socket = join(dataDir, 'never');
  const folders = [{ from: join(dataDir, 'gone'), to: '/app', access: 'fresh' }] as const;
  const descriptors = async () => (await readdir('/proc/self/fd')).length;
  const before = await descriptors();
  const one = box('true', { folders, doors: [{ direction: 'inward', port: 3000, socket }] });
  await expect(sandbox.open(one, () => {})).rejects.toThrow('ENOENT');
  await expect.poll(descriptors).toBeLessThanOrEqual(before);
  expect((await readdir(dataDir)).filter((name) => name.startsWith('never'))).toEqual([]);
  expect(await readdir(join(dataDir, 'run'))).not.toContain(`box-${one.name}`);
});

test('where bubblewrap does not work, the operator is told what to do', async () => {
  const code = `
    import { openSandbox } from ${JSON.stringify(new URL('../../src/provision/sandbox.ts', import.meta.url).href)};
    await openSandbox({ mode: 'auto', dataDir: ${JSON.stringify(dataDir)}, log: () => {} }).catch((error) => console.log(error.message));`;
  // A mount namespace of its own, in which the program is hidden.
  const script = 'mount --bind /dev/null "$(command -v bwrap)" && exec "$@"';
  const args = ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', process.execPath, '--input-type=module', '-e', code];
  const child = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const said = await text(child.stdout);
  expect(said).toMatch(/^bubblewrap does not work here \(.*bwrap.*\)\. Install it \(Debian: apt-get install bubblewrap\)/s);
  expect(said).toContain('MAYFLY_SANDBOX=none');
});

async function processesOf(uid: number): Promise<readonly string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const owners = await Promise.all(
    ids.map((id) =>
      stat(`/proc/${id}`).then(
        (found) => found.uid,
        () => -1,
      ),
    ),
  );
  return ids.filter((_, index) => owners[index] === uid);
}

function post(socketPath: string, body: string): Promise<string> {
  return new Promise((resolve) => {
    const outgoing = request({ socketPath, method: 'POST' }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      answer.on('end', () => resolve(text));
    });
    outgoing.on('error', (error) => resolve(error.message));
    outgoing.end(body);
  });
}
