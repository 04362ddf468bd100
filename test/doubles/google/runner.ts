import type { GoogleCloud, Runner, StoredImage } from './cloud.ts';
import { openFront, type Visit } from './front.ts';
import { type Instance, type InstanceOptions, startInstance, stopInstance } from './instance.ts';
import { type Revision, RevisionFailure, type RunService } from './run-types.ts';
import type { Tokens } from './tokens.ts';

export type RunnerOptions = InstanceOptions & {
  readonly tokens: Tokens;
  /** How long an instance stays without a request: Google's to choose, 15 minutes at most. */
  readonly idleMs: number;
};

export type RealRunner = Runner &
  AsyncDisposable & {
    /** Full names of the revisions of which an instance runs. */
    awake(): readonly string[];
    /** Ends every instance of the service, as Google does when nobody has come for a while. */
    scaleDown(service: string): Promise<void>;
  };

/** What a revision runs is Cloud Run's own copy: the image may go. */
type Kept = {
  readonly revision: Revision;
  readonly image: StoredImage;
  running: Promise<Instance> | null;
  visits: number;
  timer: NodeJS.Timeout | undefined;
  giveUp: AbortController;
};
type Front = AsyncDisposable & { readonly origin: string };

/** Runs revisions as processes in Mayfly's sandbox, one instance each, from the first request until nobody has come for a while. */
export async function openRunner(options: RunnerOptions): Promise<RealRunner> {
  const { cloud } = options;
  const revisions = new Map<string, Kept>();
  const fronts = new Map<string, Front>();

  const stop = async (kept: Kept): Promise<void> => {
    clearTimeout(kept.timer);
    const { running } = kept;
    kept.running = null;
    kept.giveUp.abort();
    kept.giveUp = new AbortController();
    const instance = await running?.catch(() => undefined);
    if (instance) await stopInstance(instance);
  };
  const start = (kept: Kept): Promise<Instance> => {
    kept.running ??= startInstance(options, { ...kept, signal: kept.giveUp.signal }).then(
      (instance) => {
        // A container that ends by itself is started again by the next request.
        void instance.boxed.exited.then(() => {
          kept.running = null;
        });
        return instance;
      },
      (error: unknown) => {
        kept.running = null;
        throw error;
      },
    );
    return kept.running;
  };
  const rest = (kept: Kept): void => {
    if (kept.visits > 0) return;
    const isServing = cloud.services.get(serviceOf(kept.revision))?.latestReadyRevision === kept.revision.name;
    const isKept = isServing && (kept.revision.template.scaling?.minInstanceCount ?? 0) > 0;
    clearTimeout(kept.timer);
    if (!isKept) kept.timer = setTimeout(() => void stop(kept), isServing ? options.idleMs : 0).unref();
  };
  const visit = async (name: string): Promise<Visit | undefined> => {
    const service = cloud.services.get(name);
    const kept = revisions.get(service?.latestReadyRevision ?? '');
    if (!kept) return undefined;
    kept.visits += 1;
    clearTimeout(kept.timer);
    let isOver = false;
    const leave = (): void => {
      if (isOver) return;
      isOver = true;
      kept.visits -= 1;
      rest(kept);
    };
    try {
      const { socket } = await start(kept);
      return { socket, [Symbol.dispose]: leave };
    } catch (error) {
      leave();
      throw error;
    }
  };
  const ofService = (name: string): readonly Kept[] => [...revisions.values()].filter(({ revision }) => serviceOf(revision) === name);

  return {
    async address({ name }) {
      const front = await openFront({ cloud, tokens: options.tokens, service: () => cloud.services.get(name), visit: () => visit(name) });
      fronts.set(name, front);
      return front.origin;
    },
    async onRevision(service, revision) {
      const kept: Kept = {
        revision,
        image: imageOf(cloud, revision),
        running: null,
        visits: 0,
        timer: undefined,
        giveUp: new AbortController(),
      };
      revisions.set(revision.name, kept);
      await start(kept).catch((error: unknown) => {
        revisions.delete(revision.name);
        throw error;
      });
      // Who serves changes once this has resolved: the one before ends with its last request.
      setImmediate(() => {
        for (const one of ofService(service.name)) rest(one);
      });
    },
    async onDelete({ name }: RunService) {
      for (const kept of ofService(name)) {
        revisions.delete(kept.revision.name);
        await stop(kept);
      }
      await fronts.get(name)?.[Symbol.asyncDispose]();
      fronts.delete(name);
    },
    awake: () => [...revisions.values()].flatMap(({ running, revision }) => (running ? [revision.name] : [])),
    scaleDown: async (name) => void (await Promise.all(ofService(name).map(stop))),
    async [Symbol.asyncDispose]() {
      await Promise.all([...fronts.values()].map((front) => front[Symbol.asyncDispose]()));
      await Promise.all([...revisions.values()].map(stop));
    },
  };
}

const serviceOf = ({ name }: Revision): string => name.slice(0, name.indexOf('/revisions/'));

function imageOf(cloud: GoogleCloud, revision: Revision): StoredImage {
  const ref = revision.template.containers[0]?.image ?? '';
  const image = cloud.images.get(ref);
  if (!image) throw new RevisionFailure(`Image '${ref}' not found.`, { code: 5, reason: 'CONTAINER_MISSING' });
  return image;
}
