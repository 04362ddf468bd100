import type { Logger } from 'pino';
import { gcpServiceName, stackName } from '../../../../infra/labels.ts';
import type { GcpPlan } from '../../../../infra/preview-gcp.ts';
import { faultPoint } from '../../../fault-points.ts';
import { secretsIn } from '../../../masking/secret-names.ts';
import type { SiteId } from '../../../site/identity.ts';
import type { Artefact, DeployOrder, Found, Held, Stock, Target, Watch } from '../../../site/ports.ts';
import { Fault } from '../../../site/problem.ts';
import type { Trust } from '../../../site/site.ts';
import type { Stacks } from '../../stack.ts';
import { isDiskFull } from '../../storage/disk.ts';
import { ourStacks } from '../our-stacks.ts';
import { serveProvider } from '../provider.ts';
import { deploy } from './deploy.ts';
import { limitAfterBuild } from './limit.ts';
import type { CloudLogs } from './logs.ts';
import type { RegionDatabases } from './region-databases.ts';
import { resourceKinds } from './resources.ts';
import type { Asking } from './run-attempts.ts';
import type { SiteService, SiteServices } from './services.ts';
import type { RegionStock } from './stocks.ts';

/** Of `MAYFLY_PLATFORM` what sites need. */
export type SitePlatform = {
  readonly project: string;
  readonly gate: string;
  readonly runAs: Readonly<Record<Trust, string>>;
  readonly regions: Readonly<Record<string, { readonly network: string; readonly subnetwork: string }>>;
};

export type GcpTargetOptions = {
  readonly instance: string;
  readonly platform: SitePlatform;
  readonly stacks: Stacks;
  /** Providers that the engine attaches beside ours, for tests: `gcp:40123`. Google's own is a plugin. */
  readonly attach: readonly string[];
  readonly databases: RegionDatabases;
  readonly services: SiteServices;
  /** What is kept in each region. */
  readonly stocks: readonly RegionStock[];
  readonly logs: Pick<CloudLogs, 'appLog'>;
  readonly asking: Asking;
  /** Asks the site as the gate does. @returns the status, or null where we are not let in */
  readonly call: (origin: string, path: string) => Promise<number | null>;
  /** What visitors have by now, as the site's row has it; undefined when there is no such row. */
  readonly rowOf: (site: SiteId) => Promise<SiteRow | undefined>;
  /** `store.leases.check`. */
  readonly check: (held: Held) => Promise<void>;
  /** Milliseconds from the end of the build until the site has to answer; ten minutes unless given. */
  readonly limitMs?: number;
  readonly log: Logger;
};

/** `region`: where it is, or is being put up; `live`: what visitors have, which may still be in the region that it leaves. */
export type SiteRow = { readonly region: string; readonly live: { readonly region: string; readonly origin: string } | null };

type Verb = 'up' | 'refresh';
type Operation = { readonly held: Held; readonly site: SiteId; readonly watch: Watch };
type Wish = Omit<GcpPlan, 'token' | 'labels' | 'project'> & { readonly isNew: boolean; readonly build: () => Promise<Artefact> };

/** Sites on Google Cloud: every one a Pulumi stack, whose image and database are Mayfly's own resources and whose service is Google's. */
export function openGcpTarget(options: GcpTargetOptions): Target {
  const { instance, platform, stacks, services, stocks, check, log } = options;
  const stackOf = (site: SiteId): string => stackName('gcp', { instance, site });

  /** Runs the engine; what went wrong in a resource of ours comes out as it was thrown. */
  const operate = async (verb: Verb, { held, site, watch }: Operation, { isNew, build, ...declared }: Wish): Promise<void> => {
    const signal = AbortSignal.any([watch.signal, held.signal]);
    const kinds = resourceKinds({ databases: options.databases, build, signal });
    const started = performance.now();
    await using provider = await serveProvider({ verb, kinds, guard: () => check(held) });
    const plan = { ...declared, project: platform.project, labels: { instance, site }, token: provider.token };
    const run = { program: { name: 'gcp', plan } as const, attach: [`mayfly:${provider.port}`, ...options.attach].join(','), signal };
    try {
      await (verb === 'up' ? stacks.up(held, stackOf(site), { ...run, isNew }) : stacks.refresh(held, stackOf(site), run));
    } catch (error) {
      signal.throwIfAborted();
      throw asFault(provider.failure()) ?? error;
    } finally {
      const totalMs = performance.now() - started;
      log.info({ site, verb, totalMs: Math.round(totalMs), pulumiMs: Math.round(totalMs - provider.workMs()) }, 'the engine has run');
    }
  };

  const isLost = async (held: Held): Promise<boolean> =>
    held.signal.aborted ||
    check(held).then(
      () => false,
      (error: unknown) => error instanceof Fault && error.code === 'lease-lost',
    );

  /** Sites whose stack was there when we last looked; only a guess that saves a look. */
  const known = new Set<SiteId>();
  /** Where something of them may be. */
  const touched = new Map<SiteId, Set<string>>();
  /** Sites that another worker has launched, which may have died on the way from or to any region: it is looked for once. */
  const unsure = new Set<SiteId>();
  const touch = (site: SiteId, ...where: readonly string[]): void =>
    void touched.set(site, new Set([...(touched.get(site) ?? []), ...where]));

  /** What visitors have; where they have nothing yet, what is being put up. */
  const find = async (site: SiteId): Promise<SiteService | undefined> => {
    const row = await options.rowOf(site);
    const service = row && (await services.find(row.live?.region ?? row.region, site));
    return row?.live && service?.origin !== row.live.origin ? undefined : service;
  };
  /** What the engine wrote down of a site; what there is stays. */
  const forget = async (held: Held, site: SiteId, signal: AbortSignal): Promise<void> => {
    known.delete(site);
    await stacks.forget(held, stackOf(site), signal);
  };

  /** Tried again with the next launch, and at the end: a region that is down must not keep another's sites from visitors. */
  const tellUntidied = (site: SiteId, { region, failed }: Done): void => {
    if (failed !== undefined) log.warn({ err: failed.error, site, region }, 'not tidied up');
  };

  return {
    async prepare(held, site, { signal }) {
      if (known.has(site)) return;
      await stacks.init(held, stackOf(site), signal);
      await faultPoint('stack-made');
      known.add(site);
    },
    async deploy(held, order, watch) {
      await check(held);
      await using limit = limitAfterBuild(order, options.limitMs);
      await order.prepared;
      const { site, region } = order;
      const { live = null } = (await options.rowOf(site)) ?? {};
      if (live && !touched.has(site)) unsure.add(site);
      touch(site, region, ...(live ? [live.region] : []));
      const limited = { ...watch, signal: AbortSignal.any([watch.signal, held.signal, limit.signal]) };
      const operation = { held, site, watch: limited };
      const wish = (adopting: string | null) => ({
        ...wishOf(platform, order, adopting),
        isNew: live?.region !== region && !known.has(site),
        build: limit.build,
      });
      const origin = await deploy(
        {
          ...options,
          gate: platform.gate,
          up(adopting) {
            if (adopting !== null) log.warn({ site, service: adopting }, 'a service that the state has lost is taken into it');
            return operate('up', operation, wish(adopting));
          },
          refresh: () => operate('refresh', operation, wish(null)),
          forget: () => forget(held, site, held.signal),
          liveIn: live?.region ?? null,
          isLost: () => isLost(held),
        },
        { held, order, watch: limited },
      );
      await faultPoint('up-returned');
      known.add(site);
      return { kind: 'remote', origin, region };
    },
    async settle(held, site, keep) {
      await check(held);
      if (keep === null) {
        // Nobody has what rested on the database of a first launch that failed. Its image is that of its tree, and goes with the site.
        const where = touched.get(site);
        const dropped = await eachOf(
          stocks.filter(({ region }) => where?.has(region)),
          (stock) => stock.dropDatabases(held, site),
        );
        await check(held);
        for (const one of dropped) tellUntidied(site, one);
        return;
      }
      const service = await find(site);
      // Cloud Run serves one revision and keeps the others asleep; only what they alone rested on is to be removed.
      if (service?.revision !== keep.toLowerCase()) return;
      const left = touched.get(site) ?? new Set<string>();
      const isUnsure = unsure.delete(site);
      const tidied = await eachOf(
        stocks.filter(({ region }) => region === service.region || left.has(region) || isUnsure),
        (stock) => stock.keepOnly(held, site, service),
      );
      await check(held);
      for (const one of tidied) {
        const isHere = one.region === service.region;
        if (one.failed !== undefined && isHere) throw one.failed.error;
        if (one.failed === undefined && !isHere) left.delete(one.region);
        tellUntidied(site, one);
      }
    },
    async destroy(held, site, { signal }) {
      await check(held);
      // What there is is found by its name and label, whatever the engine knows of it, which would wait longer for the same: what it wrote
      // down is dropped.
      const [failed, removed] = await Promise.all([
        forget(held, site, signal).then(
          () => undefined,
          (error: unknown) => ({ error }),
        ),
        eachOf(stocks, (stock) => stock.destroy(held, site, { signal })),
      ]);
      signal.throwIfAborted();
      await check(held);
      if (failed) throw failed.error;
      const row = await options.rowOf(site);
      for (const { region, failed: there } of removed) {
        if (there === undefined) continue;
        if (region === row?.region || touched.get(site)?.has(region)) throw there.error;
        // Nothing of it is known to be there: what is all the same is found by its label once the region answers, the site having ended.
        log.warn({ err: there.error, site, region }, 'not looked whether anything is left');
      }
      touched.delete(site);
      unsure.delete(site);
    },
    // Instances end by themselves when nobody calls; there is nothing that could be stopped.
    sleep: async (site) => (await find(site)) !== undefined,
    async wake(site) {
      const service = await find(site);
      if (service === undefined) return false;
      const status = await options.call(service.origin, service.health);
      if (status !== null && status >= 500) throw new Fault('wake-failed', { cause: new Error(`It answered ${status}`) });
      return true;
    },
    async appLog(site, lines) {
      const service = await find(site);
      if (service === undefined) return '';
      const wish = { service: gcpServiceName({ instance, site }), region: service.region, lines, secrets: secretsIn(service.env) };
      return options.logs.appLog(wish);
    },
    async survey() {
      const inRegions = await Promise.all(stocks.map((stock) => stock.survey()));
      return [...ourStacks(await stacks.list(), 'gcp', instance), ...inRegions.flat()];
    },
    // Whatever is there is a site's, or nobody can tell whose.
    discard: async () => undefined,
  };
}

/** The engine's own part of what may not outlive a site; the regions are stocks of their own, so that one that is down hides nothing. */
export const stackStock = (target: Pick<Target, 'destroy' | 'discard'>, stacks: Pick<Stacks, 'list'>, instance: string): Stock => ({
  ...target,
  survey: async (): Promise<readonly Found[]> => ourStacks(await stacks.list(), 'gcp', instance),
});

type Done = { readonly region: string; readonly failed: { readonly error: unknown } | undefined };
/** All of them to their end, since nothing may go on once the lease is given back. */
const eachOf = (stocks: readonly RegionStock[], deed: (stock: RegionStock) => Promise<void>): Promise<readonly Done[]> =>
  Promise.all(
    stocks.map((stock) =>
      deed(stock).then(
        () => ({ region: stock.region, failed: undefined }),
        (error: unknown) => ({ region: stock.region, failed: { error } }),
      ),
    ),
  );

function wishOf(
  platform: SitePlatform,
  { region, revision, run, database, trust }: DeployOrder,
  adopting: string | null,
): Omit<Wish, 'isNew' | 'build'> {
  const place = platform.regions[region];
  if (place === undefined) throw new Error(`The platform has no region ${region}`);
  const { network, subnetwork } = place;
  const { port, health, env } = run;
  const accounts = { runAs: platform.runAs[trust], gate: platform.gate };
  return {
    region,
    database: database && { seed: database.seed },
    service: { revision, port, health, env, ...accounts, network, subnetwork, adopting },
  };
}

/** A full disk is told as such, wherever it was met. */
function asFault(failure: unknown): Fault | undefined {
  if (failure instanceof Fault) return failure;
  if (isDiskFull(failure)) return new Fault('disk-full', { cause: failure });
  return failure === undefined ? undefined : new Fault('deploy-failed', { cause: failure });
}
