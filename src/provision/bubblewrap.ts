import { existsSync, lstatSync, readlinkSync, statSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { closeOutside, descendants, type Listener, listenOutside, startBox } from './box-process.ts';
import { type Groups, openGroups } from './control-groups.ts';
import { copyFolder } from './copy.ts';
import type { Box, Boxed, Folder, Sandbox } from './sandbox.ts';
import type { Toolbox } from './toolbox.ts';

/** A source and the place where the box sees it. */
type Bind = { readonly from: string; readonly to: string; readonly access: Folder['access'] };

/** Read-only parts of this machine's /etc that programs need: certificates, the linker's cache, the time zone. */
const ETC = [
  'ssl/certs',
  'ssl/openssl.cnf',
  'pki/tls/certs',
  'pki/ca-trust/extracted',
  'alternatives',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'mime.types',
];
const SYSTEM = ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
const PATH = '/mayfly/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Empty folders that every Linux has and nobody binds from, where root shows its sources to a user who may not walk to them. */
const STAGES = ['/mnt', '/media', '/srv'];

type Place = { readonly dataDir: string; readonly toolbox: { readonly boxed: Toolbox } };

/**
 * Boxes made by bubblewrap. As root each box has a user id of its own: a private mount namespace is made first, in which the sources are
 * bound where that user can walk to them (and overlays are mounted), then `setpriv` changes the user, then bubblewrap builds the box in
 * a user namespace without capabilities. Otherwise the box runs as our own user and `fresh` folders are copies.
 */
export async function openBubblewrap(place: Place): Promise<Sandbox> {
  const groups = await openGroups();
  const asRoot = process.getuid?.() === 0;
  return {
    kind: 'bubblewrap',
    limitsBy: groups.by,
    open: (box, log) => openBox({ ...place, groups, asRoot }, box, log),
  };
}

type Opened = Place & { readonly groups: Groups; readonly asRoot: boolean };

async function openBox(place: Opened, box: Box, log: (chunk: Buffer) => void): Promise<Boxed> {
  const own = join(place.dataDir, 'run', `box-${box.name}`);
  await rm(own, { recursive: true, force: true });
  // Until the box's process has taken all of it over; a folder that is gone, a full disk and the like must leave nothing open.
  await using opening = new AsyncDisposableStack();
  opening.defer(() => rm(own, { recursive: true, force: true }));
  await writeEtc(join(own, 'etc'), box.uid);
  await writeEnvironment(join(own, 'env'), box.env);
  const listeners = await listenOutside(box.doors);
  opening.defer(async () => closeOutside(listeners));
  const group = await place.groups.make(box.name, box.limits);
  opening.defer(() => group.remove());
  const binds = await bindsOf(place, box, own);
  const { dataDir } = place;
  const script = place.asRoot ? rootScript({ box, binds, groupDoors: group.doors, dataDir }) : userScript({ box, binds, dataDir });
  const command = launched(box, script, listeners, place);
  const boxed = await startBox(
    {
      command,
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
      cwd: '/',
      listeners,
      group,
      // The first of them is the box's init: it is deaf to SIGTERM, and its SIGKILL is everybody's.
      inside: descendants,
      clean: () => rm(own, { recursive: true, force: true }),
    },
    log,
  );
  opening.move();
  return boxed;
}

async function bindsOf(place: Place & { readonly asRoot: boolean }, box: Box, own: string): Promise<readonly Bind[]> {
  const tools: Bind[] = place.toolbox.boxed.binds.map((bind) => ({ ...bind, access: 'read' }));
  const folders: Bind[] = [];
  for (const [index, folder] of box.folders.entries()) {
    if (folder.access !== 'fresh' || place.asRoot) folders.push(folder);
    else {
      const copy = join(own, `fresh-${index}`);
      await copyFolder(folder.from, copy);
      folders.push({ from: copy, to: folder.to, access: 'write' });
    }
  }
  const sockets: Bind[] = box.doors
    .filter((door) => door.direction === 'outward')
    .map((door) => ({ from: door.socket, to: `/mayfly/doors/${door.port}`, access: 'read' }));
  return [...tools, ...folders, ...sockets];
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
const isFolder = (path: string): boolean => statSync(path).isDirectory();

/** Text of a shell script that ends in `exec`ing into the box; root runs it in a mount namespace of its own. */
function rootScript({ box, binds, groupDoors, dataDir }: Plan & { readonly groupDoors: readonly string[] }): string {
  const own = join(dataDir, 'run', `box-${box.name}`);
  const stage = stageFor([...binds.map((bind) => bind.from), own]);
  const lines = ['set -e', ...groupDoors.map((door) => `echo $$ > ${quoted(door)}`)];
  lines.push(`mount -t tmpfs -o size=256k,mode=755 mayfly ${stage}`);
  const staged = [...binds, { from: join(own, 'etc'), to: 'etc', access: 'read' as const }].map((bind, index) => {
    const at = `${stage}/${index}`;
    lines.push(isFolder(bind.from) ? `mkdir ${at}` : `: > ${at}`);
    lines.push(`mount --bind ${quoted(bind.from)} ${at}`);
    if (bind.access !== 'fresh') return { ...bind, from: at };
    const layer = `${stage}/${index}l`;
    lines.push(
      `mkdir ${layer} ${stage}/${index}m`,
      `mount -t tmpfs -o size=${box.limits.diskMb}m,mode=755 mayfly ${layer}`,
      `mkdir ${layer}/upper ${layer}/work`,
      `chown ${box.uid}:${box.uid} ${layer}/upper`,
      `mount -t overlay -o lowerdir=${at},upperdir=${layer}/upper,workdir=${layer}/work overlay ${stage}/${index}m`,
    );
    return { ...bind, from: `${stage}/${index}m` };
  });
  const etc = staged.at(-1)?.from ?? own;
  const user = `setpriv --reuid ${box.uid} --regid ${box.uid} --clear-groups --no-new-privs`;
  lines.push(`exec 9< ${quoted(join(own, 'env'))} ${user} ${bwrap(box, staged.slice(0, -1), { etc, dataDir })}`);
  return lines.join('\n');
}

type Plan = { readonly box: Box; readonly binds: readonly Bind[]; readonly dataDir: string };

function userScript({ box, binds, dataDir }: Plan): string {
  const own = join(dataDir, 'run', `box-${box.name}`);
  return `exec 9< ${quoted(join(own, 'env'))} ${bwrap(box, binds, { etc: join(own, 'etc'), dataDir })}`;
}

function stageFor(sources: readonly string[]): string {
  const free = STAGES.find((stage) => existsSync(stage) && !sources.some((source) => source.startsWith(`${stage}/`)));
  if (free === undefined) throw new Error(`none of ${STAGES.join(', ')} is free to stage a box in; keep Mayfly's data elsewhere`);
  return free;
}

/** The program line of bubblewrap up to the command, which follows as "$@". */
function bwrap(box: Box, binds: readonly Bind[], more: { readonly etc: string; readonly dataDir: string }): string {
  const diskBytes = String(box.limits.diskMb * 1024 * 1024);
  const args = ['--unshare-all', '--unshare-user', '--disable-userns', '--die-with-parent', '--new-session', '--clearenv'];
  args.push('--hostname', 'site', '--uid', String(box.uid), '--gid', String(box.uid), '--cap-drop', 'ALL');
  args.push('--ro-bind', '/usr', '/usr');
  // Only where Mayfly is kept below /usr would its data show.
  if (more.dataDir.startsWith('/usr/')) args.push('--tmpfs', more.dataDir);
  for (const path of SYSTEM) args.push(...systemPart(path));
  args.push('--proc', '/proc', '--dev', '/dev', '--size', '67108864', '--tmpfs', '/dev/shm', '--size', diskBytes, '--tmpfs', '/tmp');
  args.push('--dir', '/tmp/home', '--dir', '/etc', '--dir', '/mayfly');
  for (const name of ['passwd', 'group', 'hosts', 'resolv.conf', 'nsswitch.conf'])
    args.push('--ro-bind', `${more.etc}/${name}`, `/etc/${name}`);
  for (const name of ETC) args.push('--ro-bind-try', `/etc/${name}`, `/etc/${name}`);
  for (const bind of binds) args.push(bind.access === 'read' ? '--ro-bind' : '--bind', bind.from, bind.to);
  // Both are file systems in memory without a limit of their own.
  args.push('--remount-ro', '/dev', '--remount-ro', '/', '--chdir', box.cwd);
  return `prlimit --core=0 --nofile=16384 ${process.getuid?.() === 0 ? '' : `--nproc=${box.limits.processes} `}bwrap ${args.map(quoted).join(' ')} --args 9 "$@"`;
}

/** On merged systems /bin is a link into /usr; on others it is a folder. */
function systemPart(path: string): readonly string[] {
  if (!existsSync(path)) return [];
  return lstatSync(path).isSymbolicLink() ? ['--symlink', readlinkSync(path), path] : ['--ro-bind', path, path];
}

function launched(
  box: Box,
  script: string,
  listeners: readonly Listener[],
  place: { readonly asRoot: boolean; readonly toolbox: { readonly boxed: Toolbox } },
): readonly [string, ...string[]] {
  const { node, relay } = place.toolbox.boxed;
  const inner =
    box.doors.length === 0 ? ['/bin/sh', '-c', box.command] : [node, ...RELAY_FLAGS, relay, relayDoors(box, listeners), box.command];
  const shell = ['/bin/sh', '-c', script, 'box', ...inner] as const;
  return place.asRoot ? ['unshare', '--mount', '--propagation', 'private', '--', ...shell] : shell;
}

/** A relay moves bytes and compiles nothing: without these it holds 12 threads and twice the memory. */
export const RELAY_FLAGS = [
  '--v8-pool-size=0',
  '--max-semi-space-size=1',
  '--max-old-space-size=64',
  '--jitless',
  '--disable-warning=ExperimentalWarning',
];

/** The doors as `relay.mjs` wants them: listening sockets are inherited from descriptor 3 on, in the doors' order. */
export function relayDoors(
  box: Box,
  listeners: readonly Listener[],
  path = (port: number, _socket: string) => `/mayfly/doors/${port}`,
): string {
  return JSON.stringify(
    box.doors.map((door) => {
      if (door.direction === 'outward') return { direction: door.direction, port: door.port, path: path(door.port, door.socket) };
      return { direction: door.direction, port: door.port, fd: 3 + listeners.findIndex((listener) => listener.door === door) };
    }),
  );
}

/** As arguments in a file, since what stands in a process's own arguments is everybody's to read, and a site's has its database's password. */
async function writeEnvironment(file: string, env: Box['env']): Promise<void> {
  const all = Object.entries({ ...env, PATH, HOME: '/tmp/home', TMPDIR: '/tmp' });
  const args = all.flatMap(([name, value]) => ['--setenv', name, value]);
  await writeFile(file, args.map((arg) => `${arg}\0`).join(''), { mode: 0o600 });
}

async function writeEtc(folder: string, uid: number): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const files = {
    passwd: `root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nsite:x:${uid}:${uid}:site:/tmp/home:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`,
    group: `root:x:0:\nsite:x:${uid}:\nnogroup:x:65534:\n`,
    hosts: '127.0.0.1 localhost site\n',
    'resolv.conf': '',
    'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
  };
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(folder, name), text, { mode: 0o644 })));
}
