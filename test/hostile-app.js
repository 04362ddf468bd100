// An app that tries to get out of where it runs. It is started as a site; `GET /try?<targets as JSON>` answers with what it could do.
const { createServer } = require('node:http');
const { connect } = require('node:net');
const { lookup } = require('node:dns').promises;
const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');

const succeeds = (work) => {
  try {
    return work() !== false;
  } catch {
    return false;
  }
};
const shell = (command) => spawnSync('sh', ['-c', command], { encoding: 'utf8', timeout: 20_000 });
const opens = (host, port) =>
  new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 1_500 });
    const end = (open) => {
      socket.destroy();
      resolve(open);
    };
    socket
      .on('connect', () => end(true))
      .on('error', () => end(false))
      .on('timeout', () => end(false));
  });
const which = async (list, test) => (await Promise.all(list.map(async (one) => ((await test(one)) ? [one] : [])))).flat();

const WRITES = [
  '/etc/x',
  '/usr/x',
  '/bin/x',
  '/lib/x',
  '/x',
  '/mayfly/x',
  '/mayfly/bin/node',
  '/mayfly/bin/npm',
  '/dev/x',
  '/sys/x',
  '/opt/x',
  '/var/x',
  '/run/x',
  '/proc/sys/kernel/core_pattern',
  '/proc/sys/vm/drop_caches',
  '/proc/sysrq-trigger',
  '/sys/fs/cgroup/cgroup.procs',
  '/sys/fs/cgroup/memory/cgroup.procs',
  '/proc/1/mem',
];
const COMMANDS = {
  mknod: 'mknod /tmp/sda b 8 0 && head -c1 /tmp/sda',
  mount: 'mkdir -p /tmp/m && mount -t tmpfs x /tmp/m',
  bind: 'mount --bind / /tmp',
  unshare: 'unshare -Urm true',
  chroot: 'chroot / true',
  root: `node -e 'process.setuid(0)'`,
  group: `node -e 'process.setgroups([0])'`,
  hostname: 'hostname owned',
  nice: 'renice -n -5 $$',
  setuid: 'cp /bin/sh /tmp/sh && chmod 4755 /tmp/sh && test "$(/tmp/sh -c "id -u")" = 0',
  signalAll: `for pid in $(ls /proc | grep -E '^[0-9]+$'); do tr '\\0' ' ' < /proc/$pid/cmdline | grep -E 'vites[t]|postgre[s]|neighbou[r]'; done | grep .`,
};

async function tries({ paths, pids, ports, sockets, hosts }) {
  const link = (path, index) => {
    fs.symlinkSync(path, `/tmp/link-${index}`);
    return fs.readFileSync(`/tmp/link-${index}`).length > 0;
  };
  return {
    read: await which(paths, (path) =>
      succeeds(() => (fs.statSync(path).isDirectory() ? fs.readdirSync(path).length > 0 : fs.readFileSync(path))),
    ),
    readByLink: paths.filter((path, index) => succeeds(() => link(path, index))),
    signalled: pids.filter((pid) => succeeds(() => process.kill(pid, 0))),
    wrote: WRITES.filter((path) => succeeds(() => fs.writeFileSync(path, '1'))),
    ran: Object.keys(COMMANDS).filter((name) => shell(COMMANDS[name]).status === 0),
    connected: await which(ports, ([host, port]) => opens(host, port)),
    sockets: await which(sockets, (path) => opens(path).catch(() => false)),
    resolved: await which(hosts, (host) =>
      lookup(host).then(
        () => true,
        () => false,
      ),
    ),
    blockDevices: fs.readdirSync('/dev').filter((name) => succeeds(() => fs.statSync(`/dev/${name}`).isBlockDevice())),
    environment: Object.keys(process.env).filter(
      (name) => !/^(npm_|HOME$|HOST$|INIT_CWD$|PATH$|PORT$|PWD$|TMPDIR$|NODE$|COLOR$|EDITOR$)/.test(name),
    ),
  };
}

const HOGS = {
  disk: () =>
    shell(
      'dd if=/dev/zero of=big bs=1M count=3000 2>/dev/null; dd if=/dev/zero of=/tmp/big bs=1M count=3000 2>/dev/null; du -cm big /tmp/big | tail -1 | cut -f1; rm -f big /tmp/big',
    ).stdout,
  processes: () => {
    let started = 0;
    for (; started < 1_000; started += 1) {
      const child = spawn('sleep', ['20'], { stdio: 'ignore' });
      child.on('error', () => undefined);
      if (child.pid === undefined) break;
    }
    return String(started);
  },
  log: () => {
    const { status } = spawnSync('sh', ['-c', 'head -c 40000000 /dev/zero | tr "\\0" x'], { stdio: ['ignore', 'inherit', 'inherit'] });
    return status === 0 ? 'written' : 'not written';
  },
  // In a child: it is what is killed, or everything is.
  memory: () => String(shell(`node -e 'const a=[];for(;;)a.push(Buffer.alloc(1e7,1))'; echo $?`).stdout).trim(),
};

createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://site');
  if (pathname === '/try') response.end(JSON.stringify(await tries(JSON.parse(searchParams.get('at')))));
  else if (pathname === '/hog') response.end(JSON.stringify({ hogged: HOGS[searchParams.get('what')]() }));
  else response.end('the hostile one');
}).listen(process.env.PORT);
