import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { secretsIn } from '../../../masking/secret-names.ts';
import type { Runner, ServiceSpec, Supervisor } from '../../../site/ports.ts';
import { Fault } from '../../../site/problem.ts';
import type { Limits, Sandbox } from '../../sandbox.ts';
import { readAppLog } from './app-log.ts';
import { openDeclared } from './declared.ts';
import { createService, type Service } from './service.ts';
import { removeStraySocket, socketOf, straySockets } from './sockets.ts';

export type SupervisorOptions = {
  readonly sandbox: Sandbox;
  /** `services/` with what is declared, in the data dir. */
  readonly folder: string;
  /** A folder with a short path: what is below it must fit into a unix socket's address. */
  readonly sockets: string;
  /** Logs of a site are in `<logs>/<site>`. */
  readonly logs: string;
  /** Unix socket of the sites' PostgreSQL, asked at each start: the server's port may be another one. */
  readonly postgres: () => string | null;
  readonly limits?: Limits;
  readonly healthMs?: number;
  readonly log: Logger;
};

export const APP_LIMITS: Limits = { memoryMb: 1024, processes: 256, cpus: 1, diskMb: 1024 };
const HEALTH_MS = 120_000;
/** User ids of sites' processes: our own range, one each. */
const UIDS = { first: 210_000, count: 10_000 };

export type LocalSupervisor = Supervisor & Runner & AsyncDisposable;

/** Owns the sites' processes: there is one in the data dir's whole life at a time. Everything that was declared is asleep at first. */
export async function openSupervisor(options: SupervisorOptions): Promise<LocalSupervisor> {
  const { log } = options;
  const declared = await openDeclared(join(options.folder, 'services'), log);
  await mkdir(options.sockets, { recursive: true, mode: 0o711 });
  const services = new Map<string, Service>();
  const postgresOf = (spec: ServiceSpec): string | null => (spec.database === 'postgres' ? options.postgres() : null);
  const create = (spec: ServiceSpec): Service => {
    const service = createService(spec, {
      sandbox: options.sandbox,
      limits: options.limits ?? APP_LIMITS,
      healthMs: options.healthMs ?? HEALTH_MS,
      uid: freeUid(services),
      socket: socketOf(options.sockets, spec.name),
      logs: join(options.logs, spec.site),
      get postgres() {
        return postgresOf(spec);
      },
      log,
    });
    services.set(spec.name, service);
    return service;
  };
  for (const spec of await declared.all()) create(spec);
  /** On their way out: they have their sockets until they are gone. */
  const leaving = new Set<string>();
  const remove = async (name: string): Promise<void> => {
    const service = services.get(name);
    await declared.forget(name);
    leaving.add(name);
    services.delete(name);
    try {
      await service?.sleep();
      if (service) await rm(service.socket, { force: true });
    } finally {
      leaving.delete(name);
    }
  };
  const withSockets = (): Iterable<string> => [...services.keys(), ...leaving];
  return {
    async start(spec, watch) {
      const known = services.get(spec.name);
      if (known && !isDeepStrictEqual(known.spec, spec)) await remove(spec.name);
      const service = services.get(spec.name) ?? create(spec);
      try {
        await service.wake(watch);
        await declared.save(spec);
      } catch (error) {
        if (!known) await remove(spec.name);
        throw error;
      }
    },
    remove,
    async sleep(name) {
      await services.get(name)?.sleep();
      return services.has(name);
    },
    said(site, lines) {
      const secrets = [...services.values()].flatMap(({ spec }) => (spec.site === site ? secretsIn(spec.env) : []));
      return readAppLog(join(options.logs, site, 'app.log'), { lines, secrets });
    },
    list: async () => [...services.values()].map((service) => service.state()),
    async strays() {
      const sockets = await straySockets(options.sockets, withSockets());
      return [
        ...sockets.map((name) => ({ kind: 'socket', name, site: 'nobody' }) as const),
        ...(await declared.unreadable()).map((name) => ({ kind: 'process', name, site: null }) as const),
      ];
    },
    removeStray: (name) => removeStraySocket(options.sockets, name, withSockets()),
    async reach(name) {
      const service = services.get(name);
      if (!service) throw new Fault('wake-failed', { cause: new Error(`There is no service ${name}`) });
      try {
        await service.wake();
      } catch (error) {
        throw new Fault('wake-failed', { cause: error });
      }
      return { socket: service.socket };
    },
    // Nobody keeps awake what is not there.
    visit: (name) => services.get(name)?.visit() ?? { [Symbol.dispose]: () => undefined },
    isAwake: (name) => services.get(name)?.state().state === 'running',
    async [Symbol.asyncDispose]() {
      await Promise.all([...services.values()].map((service) => service.sleep()));
    },
  };
}

function freeUid(services: ReadonlyMap<string, Service>): number {
  const taken = new Set([...services.values()].map(({ uid }) => uid));
  for (let uid = UIDS.first; uid < UIDS.first + UIDS.count; uid += 1) if (!taken.has(uid)) return uid;
  throw new Fault('deploy-failed', { cause: new Error('Every user id for sites is in use') });
}
