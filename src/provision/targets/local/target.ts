import { join } from 'node:path';
import type { Logger } from 'pino';
import { stackName } from '../../../../infra/labels.ts';
import type { LocalPlan } from '../../../../infra/preview-local.ts';
import { faultPoint } from '../../../fault-points.ts';
import type { SiteId } from '../../../site/identity.ts';
import type { Artefact, DeployOrder, FolderArtefact, Found, Held, Runner, Supervisor, Target, Watch } from '../../../site/ports.ts';
import { Fault } from '../../../site/problem.ts';
import type { Served } from '../../../site/site.ts';
import type { Stacks } from '../../stack.ts';
import { isDiskFull } from '../../storage/disk.ts';
import type { SiteDatabases } from '../databases.ts';
import { ourStacks } from '../our-stacks.ts';
import { serveProvider } from '../provider.ts';
import { resourceKinds } from './resources.ts';

export type LocalTargetOptions = {
  readonly instance: string;
  readonly stacks: Stacks;
  readonly supervisor: Supervisor & Pick<Runner, 'reach'>;
  readonly databases: SiteDatabases;
  /** `store.leases.check`. */
  readonly check: (held: Held) => Promise<void>;
  readonly log: Logger;
};

type Operation = { readonly held: Held; readonly site: SiteId; readonly watch: Watch };

/** Sites on this machine: every one a Pulumi stack whose resources are Mayfly's own. */
export function openLocalTarget(options: LocalTargetOptions): Target {
  const { instance, stacks, supervisor, databases, check, log } = options;

  /** Runs the engine with our provider attached; what went wrong in a resource comes out as it was thrown. */
  const operate = async (
    verb: 'up' | 'destroy',
    { held, site, watch }: Operation,
    plan: Omit<LocalPlan, 'token' | 'labels'> & { isNew: boolean },
  ) => {
    const signal = AbortSignal.any([watch.signal, held.signal]);
    const kinds = resourceKinds({ supervisor, databases, watch: { ...watch, signal } });
    const started = performance.now();
    await using provider = await serveProvider({ verb, kinds, guard: () => check(held) });
    const { isNew, ...declared } = plan;
    const program = { name: 'local', plan: { ...declared, labels: { instance, site }, token: provider.token } } as const;
    const run = { program, attach: `mayfly:${provider.port}`, signal };
    const stack = stackName('local', { instance, site });
    try {
      await (verb === 'up' ? stacks.up(held, stack, { ...run, isNew }) : stacks.destroy(held, stack, run));
    } catch (error) {
      signal.throwIfAborted();
      throw asFault(provider.failure()) ?? error;
    } finally {
      const totalMs = performance.now() - started;
      log.info({ site, verb, totalMs: Math.round(totalMs), pulumiMs: Math.round(totalMs - provider.workMs()) }, 'the engine has run');
    }
  };

  /** Builds while the database is made, which takes as long as its seed; the engine then finds it. Neither goes on once this is over. */
  const besideDatabase = async (held: Held, { site, database, build }: DeployOrder, watch: Watch): Promise<Artefact> => {
    const over = new AbortController();
    const signal = AbortSignal.any([watch.signal, held.signal, over.signal]);
    const makeDatabase = async (): Promise<void> => {
      if (database === null) return;
      await check(held);
      await databases.ensure(site, database.seed, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        throw asFault(error);
      });
    };
    const making = makeDatabase();
    making.catch(() => undefined);
    try {
      const artefact = await build();
      await making;
      return artefact;
    } finally {
      over.abort(new Error('the build is over'));
      await making.catch(() => undefined);
    }
  };

  const isLost = async (held: Held): Promise<boolean> =>
    held.signal.aborted ||
    check(held).then(
      () => false,
      (error: unknown) => error instanceof Fault && error.code === 'lease-lost',
    );

  const removeLeftOvers = async (site: SiteId, keep: string | null): Promise<void> => {
    for (const service of await supervisor.list()) {
      if (service.site === site && service.name !== keep) await supervisor.remove(service.name);
    }
  };

  const dropDatabases = async (site: SiteId, keep: string | null): Promise<void> => {
    for (const database of await databases.list()) {
      if (database.site === site && database.name !== keep) await databases.drop(database.name);
    }
  };

  /** Sites whose stack was there when we last looked; only a guess that saves a look. */
  const known = new Set<SiteId>();

  return {
    async prepare(held, site, { signal }) {
      if (known.has(site)) return;
      await stacks.init(held, stackName('local', { instance, site }), signal);
      await faultPoint('stack-made');
      known.add(site);
    },
    async deploy(held, order, watch) {
      const artefact = await besideDatabase(held, order, watch);
      if (!('folder' in artefact)) throw new Error('An image does not run on this machine');
      await order.prepared;
      const plan = planOf(order, artefact);
      const isNew = order.live === null && !known.has(order.site);
      await operate('up', { held, site: order.site, watch }, { ...plan, isNew }).catch(async (error: unknown) => {
        // Whoever has the lease now may be on another host and never see what we had started here.
        if (await isLost(held)) await supervisor.remove(serviceName(order.site, order.revision));
        throw error;
      });
      await faultPoint('up-returned');
      known.add(order.site);
      return servedBy(plan);
    },
    async settle(held, site, keep) {
      await check(held);
      await removeLeftOvers(site, keep && serviceName(site, keep));
      const kept = (await supervisor.list()).find(({ name }) => keep !== null && name === serviceName(site, keep));
      // A database of a seed that has since changed goes once the revision that used it is gone; so does that of a first build that failed.
      if (kept || keep === null) await dropDatabases(site, kept?.database ?? null);
    },
    async destroy(held, site, { signal }) {
      known.delete(site);
      const watch: Watch = { signal, log: () => undefined, entered: () => undefined, later: () => undefined };
      const failed = await operate('destroy', { held, site, watch }, { database: null, served: null, isNew: false }).then(
        () => undefined,
        (error: unknown) => ({ error }),
      );
      signal.throwIfAborted();
      await check(held);
      // What the state does not know (it was lost, or the engine died between deed and record) is found by its label.
      await removeLeftOvers(site, null);
      await dropDatabases(site, null);
      if (failed) throw failed.error;
    },
    sleep: (site, live) => supervisor.sleep(serviceName(site, live)),
    async wake(site, live) {
      const name = serviceName(site, live);
      if (!(await supervisor.list()).some((service) => service.name === name)) return false;
      await supervisor.reach(name);
      return true;
    },
    appLog: (site, lines) => supervisor.said(site, lines),
    async survey() {
      const names = await stacks.list();
      const processes = (await supervisor.list()).map(({ name, site }): Found => ({ kind: 'process', name, site }));
      const kept = (await databases.list()).map(({ name, site }): Found => ({ kind: 'database', name, site }));
      return [...ourStacks(names, 'local', instance), ...processes, ...kept, ...(await supervisor.strays())];
    },
    async discard({ kind, name }) {
      if (kind === 'socket') await supervisor.removeStray(name);
    },
  };
}

const serviceName = (site: SiteId, revision: string): string => `${site}/${revision}`;

function planOf(
  { site, revision, run, database }: DeployOrder,
  { folder, runtime }: FolderArtefact,
): Pick<LocalPlan, 'database'> & { served: NonNullable<LocalPlan['served']> } {
  const name = serviceName(site, revision);
  return {
    database: database && { seed: database.seed },
    served:
      runtime.kind === 'static'
        ? { kind: 'static', name, folder: join(folder, runtime.output) }
        : { kind: 'process', name, folder, cwd: runtime.cwd, command: runtime.command, ...run },
  };
}

const servedBy = ({ served }: ReturnType<typeof planOf>): Served =>
  served.kind === 'static' ? { kind: 'static', folder: served.folder } : { kind: 'process', service: served.name };

/** A full disk is told as such, wherever it was met. */
function asFault(failure: unknown): Fault | undefined {
  if (failure instanceof Fault) return failure;
  if (isDiskFull(failure)) return new Fault('disk-full', { cause: failure });
  return failure === undefined ? undefined : new Fault('deploy-failed', { cause: failure });
}
