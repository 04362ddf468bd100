import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, readlink, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as delay } from 'node:timers/promises';
import { descendants } from '../../../src/provision/box-process.ts';
import type { Box, Boxed, Door, Exit, Folder, Sandbox } from '../../../src/provision/sandbox.ts';
import { untilHealthy } from '../../../src/provision/targets/local/health.ts';
import { type GoogleCloud, regionOf, type StoredImage, shortName } from './cloud.ts';
import { NOBODY_LISTENS, PROBE_FAILED, type Probe, type Revision, RevisionFailure } from './run-types.ts';

export type InstanceOptions = {
  readonly cloud: GoogleCloud;
  readonly sandbox: Sandbox;
  /** Folder with a short path, for unix sockets. */
  readonly sockets: string;
  /** The private server of the project's network, and the unix socket that leads there. */
  readonly privateHost: { readonly port: number; readonly socket: string } | null;
  /** How long a second of a probe takes, in milliseconds. */
  readonly secondMs: number;
};

/** A container of a revision that runs and has answered its start probe. */
export type Instance = { readonly socket: string; readonly boxed: Boxed };

/** User ids of containers, apart from those that Mayfly itself gives out. */
const UIDS = { first: 330_000, count: 10_000 };
const STOP_GRACE_MS = 10_000;
const DEFAULT_PORT = 8080;
let lastUid = 0;

/** Of a box's own: an image has other things there. */
const SYSTEM = new Set(['bin', 'dev', 'etc', 'lib', 'lib32', 'lib64', 'libx32', 'mayfly', 'proc', 'sbin', 'tmp', 'usr']);

/** The folders of an image's file system, as mounts. Writes go to memory, as on Cloud Run, and are gone with the instance. */
export async function mountsOf(folder: string, access: Folder['access']): Promise<readonly Folder[]> {
  const names = (await readdir(folder)).filter((name) => !SYSTEM.has(name));
  return names.map((name) => ({ from: join(folder, name), to: `/${name}`, access }));
}

export const portOf = ({ template }: Revision): number => template.containers[0]?.ports?.[0]?.containerPort ?? DEFAULT_PORT;

/** `signal` gives the start up: nobody waits for it any more. */
export type Start = { readonly revision: Revision; readonly image: StoredImage; readonly signal: AbortSignal };

/**
 * Starts a container of the revision in Mayfly's sandbox, in which nothing can be reached but what Direct VPC egress leads to: in the
 * sandbox that is a port of 127.0.0.1, so a private server has that address here.
 * @throws RevisionFailure as Cloud Run words it; then nothing of it is left
 */
export async function startInstance(options: InstanceOptions, { revision, image, signal }: Start): Promise<Instance> {
  const socket = join(
    options.sockets,
    `${createHash('sha256').update(revision.name).digest('hex').slice(0, 12)}${randomBytes(2).toString('hex')}.sock`,
  );
  const heard = hearing(options.cloud, revision);
  const boxed = await options.sandbox.open(await boxOf(options, revision, image, socket), heard.hear);
  void boxed.exited.then(heard.end);
  const over = new AbortController();
  try {
    const probe = revision.template.containers[0]?.startupProbe;
    const exit = await Promise.race([
      probed(options, probe, { boxed, socket, port: portOf(revision), signal: AbortSignal.any([signal, over.signal]) }),
      boxed.exited,
    ]);
    if (exit === undefined) return { socket, boxed };
    heard.system(typeof exit === 'string' ? exit : exitWords(exit, revision));
    throw new RevisionFailure(probe ? PROBE_FAILED : NOBODY_LISTENS(portOf(revision)));
  } catch (error) {
    await boxed.stop(STOP_GRACE_MS);
    await rm(socket, { force: true });
    throw error;
  } finally {
    over.abort();
  }
}

export async function stopInstance({ boxed, socket }: Instance): Promise<void> {
  await boxed.stop(STOP_GRACE_MS);
  await rm(socket, { force: true });
}

const exitWords = ({ limit, code, signal }: Exit, revision: Revision): string => {
  if (limit === 'memory')
    return `Memory limit of ${memoryMb(revision)} MiB exceeded with ${memoryMb(revision) + 1} MiB used. Consider increasing the memory limit, see https://cloud.google.com/run/docs/configuring/memory-limits`;
  return code === null ? `Container terminated on signal ${signal}.` : `Container called exit(${code}).`;
};

function memoryMb({ template }: Revision): number {
  const [, number = '512', unit = 'Mi'] = /^(\d+)(Mi|Gi)$/.exec(template.containers[0]?.resources?.limits?.memory ?? '512Mi') ?? [];
  return Number(number) * (unit === 'Gi' ? 1024 : 1);
}

async function boxOf(options: InstanceOptions, revision: Revision, image: StoredImage, socket: string): Promise<Box> {
  const container = revision.template.containers[0];
  const port = portOf(revision);
  const doors: Door[] = [{ direction: 'inward', port, socket }];
  if (revision.template.vpcAccess !== undefined && options.privateHost !== null)
    doors.push({ direction: 'outward', ...options.privateHost });
  const said = (container?.env ?? []).map(({ name, value }) => {
    if (value === undefined) options.cloud.unknown.push(`the variable ${name} of ${revision.name} has no plain value`);
    return [name, value ?? ''] as const;
  });
  const own = { PORT: String(port), K_SERVICE: revision.service, K_REVISION: shortName(revision.name), K_CONFIGURATION: revision.service };
  const cpus = Number(container?.resources?.limits?.cpu?.replace(/^(\d+)m$/, (_, milli: string) => String(Number(milli) / 1000)) ?? 1);
  lastUid += 1;
  return {
    name: `run-${shortName(revision.name).slice(-24)}-${randomBytes(3).toString('hex')}`,
    command: image.command,
    cwd: image.cwd,
    env: { ...image.env, ...Object.fromEntries(said), ...own },
    uid: UIDS.first + (lastUid % UIDS.count),
    folders: await mountsOf(image.folder, 'fresh'),
    doors,
    limits: { memoryMb: memoryMb(revision), processes: 256, cpus, diskMb: memoryMb(revision) },
  };
}

type Probing = { readonly boxed: Boxed; readonly socket: string; readonly port: number; readonly signal: AbortSignal };

/** @returns undefined once it has answered; in Cloud Run's words why it has not within its time */
async function probed({ secondMs }: InstanceOptions, probe: Probe | undefined, at: Probing): Promise<string | undefined> {
  // Google's own probe without one: TCP, for 240 s.
  const {
    periodSeconds = 10,
    failureThreshold = 3,
    initialDelaySeconds = 0,
    httpGet,
  } = probe ?? { periodSeconds: 240, failureThreshold: 1 };
  const limit = AbortSignal.timeout((initialDelaySeconds + periodSeconds * failureThreshold) * secondMs);
  const signal = AbortSignal.any([at.signal, limit]);
  try {
    await untilListening({ ...at, signal });
    if (httpGet) await untilHealthy({ socket: at.socket, path: httpGet.path ?? '/', signal }, () => undefined);
    return undefined;
  } catch (error) {
    if (!signal.aborted) throw error;
    const where = httpGet ? ` path "${httpGet.path ?? '/'}"` : '';
    const what = `${probe ? '' : 'Default '}STARTUP ${httpGet ? 'HTTP' : 'TCP'} probe failed ${failureThreshold} times consecutively`;
    return `${what} for container on port ${at.port}${where}. The instance was not started.`;
  }
}

async function untilListening(at: Probing): Promise<void> {
  while (!(await listensEverywhere(at))) await delay(20, undefined, { signal: at.signal });
}

const LISTENING = '0A';

/** Whether the container listens at every address: Cloud Run comes from outside, and finds nobody who listens on 127.0.0.1 alone. */
async function listensEverywhere({ boxed, port }: Probing): Promise<boolean> {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  const ours = await readlink('/proc/self/ns/net');
  for (const pid of await descendants(boxed.pid)) {
    // What only leads into the box is in our own network.
    if ((await readlink(`/proc/${pid}/ns/net`).catch(() => ours)) === ours) continue;
    const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/${pid}/net/${name}`, 'utf8').catch(() => '')));
    const rows = tables.flatMap((table) => table.split('\n')).map((row) => row.trim().split(/\s+/));
    if (rows.some(([, local, , state]) => state === LISTENING && /^0+$/.test(local?.split(':')[0] ?? '') && local?.endsWith(`:${wanted}`)))
      return true;
  }
  return false;
}

/** What a container says, line by line, in Cloud Logging. */
function hearing(cloud: GoogleCloud, revision: Revision) {
  const decoder = new StringDecoder('utf8');
  const labels = {
    project_id: cloud.project,
    location: regionOf(revision.name),
    service_name: revision.service,
    configuration_name: revision.service,
    revision_name: shortName(revision.name),
  };
  const instanceId = randomBytes(32).toString('hex');
  const append = (stream: string, severity: string, line: string): void => {
    const logName = `projects/${cloud.project}/logs/run.googleapis.com%2F${encodeURIComponent(stream)}`;
    const own = {
      logName,
      resource: { type: 'cloud_run_revision', labels },
      severity,
      labels: { ...revision.template.labels, instanceId },
    };
    cloud.logs.append({ ...own, ...payloadOf(line) });
  };
  let rest = '';
  const tell = (text: string): void => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') append('stdout', 'DEFAULT', line);
  };
  return {
    hear: (chunk: Buffer): void => tell(decoder.write(chunk)),
    end: (): void => tell(`${decoder.end()}\n`),
    system: (line: string): void => append('varlog/system', 'ERROR', line),
  };
}

/** A line that is a JSON object is taken apart. */
function payloadOf(line: string): { readonly textPayload: string } | { readonly jsonPayload: Readonly<Record<string, unknown>> } {
  if (!line.startsWith('{')) return { textPayload: line };
  try {
    return { jsonPayload: JSON.parse(line) };
  } catch {
    return { textPayload: line };
  }
}
