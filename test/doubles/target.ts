import type { LaunchId, SiteId } from '../../src/site/identity.ts';
import type { DeployOrder, FolderArtefact, Found, Held, Target } from '../../src/site/ports.ts';
import { Fault } from '../../src/site/problem.ts';
import type { Served } from '../../src/site/site.ts';

/** What becomes of an artefact that is started: it answers with a text, ends at once having said something, or never answers. */
export type Behaviour = { readonly answers: string } | { readonly ends: string } | { readonly says: string };
type Service = { readonly site: SiteId; readonly artefact: FolderArtefact; readonly database: string | null; readonly answer: string };

/** What there is, whoever works on it. */
export type Grounds = {
  readonly stacks: Set<SiteId>;
  readonly services: Map<string, Service>;
  readonly databases: Map<string, SiteId>;
  /** The newest epoch that has written to each site. */
  readonly epochs: Map<SiteId, number>;
  readonly writing: Map<SiteId, Operation>;
  /** What must never happen, and did. */
  readonly crimes: string[];
};
export const createGrounds = (): Grounds => ({
  stacks: new Set(),
  services: new Map(),
  databases: new Map(),
  epochs: new Map(),
  writing: new Map(),
  crimes: [],
});

type Operation = { readonly held: Held; readonly site: SiteId; readonly signal: AbortSignal };

export type TargetDoubleOptions = {
  readonly grounds: Grounds;
  readonly behaviourOf: (artefact: FolderArtefact) => Behaviour;
  /** `store.leases.check`: as on the real target, asked before each deed. */
  readonly check: (held: Held) => Promise<void>;
  /** Does each deed; one that never comes is a crash in the middle, with what was done before it left behind. */
  readonly step?: (what: string, deed: () => Promise<void>) => Promise<void>;
  /** Why the seed cannot be loaded. */
  readonly seedProblem?: (file: string) => string | undefined;
};

const serviceName = (site: SiteId, revision: LaunchId): string => `${site}/${revision}`;

/** A target without processes, whose every deed is a moment of its own. It keeps what the contract says of a target's services and databases. */
export function openTargetDouble(options: TargetDoubleOptions): Target {
  const { grounds, behaviourOf, check, step = (_, done) => done() } = options;

  /** One deed, fenced as the real target fences it. */
  const deed = (operation: Operation, what: string, effect: () => void): Promise<void> =>
    step(`target: ${what}`, async () => {
      operation.signal.throwIfAborted();
      await check(operation.held);
      watchWriters(grounds, operation, what);
      effect();
    });
  const during = async <T>(operation: Operation, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } finally {
      if (grounds.writing.get(operation.site) === operation) grounds.writing.delete(operation.site);
    }
  };

  const makeDatabase = async (operation: Operation, order: DeployOrder): Promise<string | null> => {
    if (order.database === null) return null;
    const { seed } = order.database;
    const name = `${order.site}/${seed?.sha256 ?? 'empty'}`;
    const problem = seed && options.seedProblem?.(seed.file);
    if (problem) throw new Fault('seed-failed', { details: { seed: seed.name, cause: problem } });
    await deed(operation, 'make database', () => void grounds.databases.set(name, order.site));
    return name;
  };

  return {
    prepare(held, site, { signal }) {
      const operation = { held, site, signal: AbortSignal.any([signal, held.signal]) };
      return during(operation, () => deed(operation, 'make stack', () => void grounds.stacks.add(site)));
    },
    deploy(held, order, watch) {
      const operation = { held, site: order.site, signal: AbortSignal.any([watch.signal, held.signal]) };
      return during(operation, async () => {
        const making = makeDatabase(operation, order);
        making.catch(() => undefined);
        const artefact = await order.build().finally(() => making.catch(() => undefined));
        if (!('folder' in artefact)) throw new Error('No image runs here');
        const database = await making;
        await order.prepared;
        await deed(operation, 'make stack', () => void grounds.stacks.add(order.site));
        watch.entered('check');
        if (artefact.runtime.kind === 'static') return { kind: 'static', folder: artefact.folder };
        const name = serviceName(order.site, order.revision);
        const behaviour = behaviourOf(artefact);
        const answer = 'answers' in behaviour ? behaviour.answers : '';
        await deed(operation, 'start', () => void grounds.services.set(name, { site: order.site, artefact, database, answer }));
        try {
          if ('ends' in behaviour) {
            watch.log(behaviour.ends);
            throw new Fault('start-failed', { details: { exit: '3' } });
          }
          if ('says' in behaviour) {
            watch.log(behaviour.says);
            await aborted(operation.signal);
          }
          await deed(operation, 'see it answer', () => undefined);
        } catch (error) {
          // As on the real target: what was begun is stopped by whoever began it, unless the lease is another's by now.
          if (!held.signal.aborted) grounds.services.delete(name);
          throw error;
        }
        return { kind: 'process', service: name } satisfies Served;
      });
    },
    async settle(held, site, keep) {
      const operation = { held, site, signal: held.signal };
      await during(operation, () => deed(operation, 'settle', () => settle(grounds, site, keep)));
    },
    destroy(held, site, { signal }) {
      const operation = { held, site, signal: AbortSignal.any([signal, held.signal]) };
      return during(operation, async () => {
        await deed(operation, 'remove services', () => removeOf(grounds.services, ({ site: of }) => of === site));
        await deed(operation, 'remove databases', () => removeOf(grounds.databases, (of) => of === site));
        await deed(operation, 'remove stack', () => void grounds.stacks.delete(site));
      });
    },
    sleep: async (site, live) => grounds.services.has(serviceName(site, live)),
    wake: async (site, live) => grounds.services.has(serviceName(site, live)),
    appLog: async () => '',
    async survey() {
      const stacks = [...grounds.stacks].map((site): Found => ({ kind: 'stack', name: site, site }));
      const services = [...grounds.services].map(([name, { site }]): Found => ({ kind: 'process', name, site }));
      const databases = [...grounds.databases].map(([name, site]): Found => ({ kind: 'database', name, site }));
      return [...stacks, ...services, ...databases];
    },
    // Nothing lies here that is nobody's: sockets and artefacts are the real one's.
    discard: async () => undefined,
  };
}

/** At most one writer of a site at a time, and none of an older epoch than has written. */
function watchWriters({ epochs, writing, crimes }: Grounds, operation: Operation, what: string): void {
  const { site, held } = operation;
  const newest = epochs.get(site) ?? 0;
  if (held.epoch < newest) crimes.push(`${what} of ${site} under epoch ${held.epoch}, after ${newest} had written`);
  const other = writing.get(site);
  if (other !== undefined && other !== operation && other.held.epoch === held.epoch)
    crimes.push(`two writers of ${site} under one lease: ${what}`);
  epochs.set(site, Math.max(newest, held.epoch));
  writing.set(site, operation);
}

function removeOf<Value>(map: Map<string, Value>, isGoing: (value: Value) => boolean): void {
  for (const [name, value] of map) if (isGoing(value)) map.delete(name);
}

/** Only what is kept, and its database; the databases stay where nothing is kept, as on the real target. */
function settle({ services, databases }: Grounds, site: SiteId, keep: LaunchId | null): void {
  const kept = keep === null ? undefined : serviceName(site, keep);
  for (const [name, service] of services) if (service.site === site && name !== kept) services.delete(name);
  const database = kept === undefined ? undefined : services.get(kept)?.database;
  if (keep !== null && database === undefined) return;
  for (const [name, of] of databases) if (of === site && name !== database) databases.delete(name);
}

async function aborted(signal: AbortSignal): Promise<never> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  throw signal.reason;
}
