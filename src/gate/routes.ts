import type { Site } from '../site/site.ts';
import type { SiteChanged } from '../store/store.ts';

/** More look-ups are waiting than the database should be asked. */
export class TooManyLookups extends Error {
  override readonly name = 'TooManyLookups';
}

export interface Routes extends Disposable {
  /** The site of that label, from memory where it is known. Throws `TooManyLookups`, or what `find` throws. */
  lookup(label: string): Promise<Site | undefined>;
  /** The same from the store: what memory said has turned out not to hold, and the news of the change is still on its way. */
  lookupAnew(label: string): Promise<Site | undefined>;
}

export type RoutesOptions = {
  readonly find: (label: string) => Promise<Site | undefined>;
  readonly onChange: (listener: (change: SiteChanged | 'resync') => void) => Disposable;
  readonly limits?: Partial<typeof LIMITS>;
};

/** `knownMs` bounds how long a lost line could mislead us; everything else keeps strangers from filling memory or the database. */
const LIMITS = { known: 5_000, unknown: 2_000, knownMs: 300_000, unknownMs: 30_000, atOnce: 4, waiting: 200 };

/** The table of labels in memory: loaded on demand, forgotten when the store says that a site changed. */
export function openRoutes(options: RoutesOptions): Routes {
  const limits = { ...LIMITS, ...options.limits };
  const known = createRecent<Site>(limits.known, limits.knownMs);
  /** What was known before something changed: all there is to go by while the store is away. */
  const stale = createRecent<Site>(limits.known, limits.knownMs);
  const unknown = createRecent<true>(limits.unknown, limits.unknownMs);
  const loading = new Map<string, Promise<Site | undefined>>();
  const gated = createQueue(limits.atOnce, limits.waiting);

  const subscription = options.onChange((change) => {
    if (change === 'resync') {
      for (const [label, site] of known.entries()) stale.set(label, site);
      for (const cache of [known, unknown, loading]) cache.clear();
      return;
    }
    forget(change.host);
  });

  function forget(label: string): void {
    const before = known.get(label);
    if (before) stale.set(label, before);
    for (const cache of [known, unknown, loading]) cache.delete(label);
  }

  function load(label: string): Promise<Site | undefined> {
    const pending = gated(() => options.find(label)).then(
      (site) => {
        // A change that arrived meanwhile has taken this look-up out of `loading`: what it found may be old already.
        if (loading.get(label) === pending) {
          loading.delete(label);
          if (site) known.set(label, site);
          else unknown.set(label, true);
        }
        return site;
      },
      (error: unknown) => {
        if (loading.get(label) === pending) loading.delete(label);
        const before = stale.get(label);
        if (before) return before;
        throw error;
      },
    );
    loading.set(label, pending);
    return pending;
  }

  async function lookup(label: string): Promise<Site | undefined> {
    const site = known.get(label);
    if (site) return site;
    if (unknown.get(label)) return undefined;
    return loading.get(label) ?? load(label);
  }

  return {
    lookup,
    lookupAnew(label) {
      forget(label);
      return lookup(label);
    },
    [Symbol.dispose]: () => subscription[Symbol.dispose](),
  };
}

/** The `size` entries used last, each for at most `ms`. */
function createRecent<Value>(size: number, ms: number) {
  const entries = new Map<string, { readonly value: Value; readonly until: number }>();
  return {
    get(key: string): Value | undefined {
      const entry = entries.get(key);
      if (!entry) return undefined;
      entries.delete(key);
      if (entry.until < performance.now()) return undefined;
      entries.set(key, entry);
      return entry.value;
    },
    set(key: string, value: Value): void {
      entries.delete(key);
      entries.set(key, { value, until: performance.now() + ms });
      const [oldest] = entries.keys();
      if (entries.size > size && oldest !== undefined) entries.delete(oldest);
    },
    entries: (): readonly (readonly [string, Value])[] => [...entries].map(([key, { value }]) => [key, value] as const),
    delete: (key: string) => entries.delete(key),
    clear: () => entries.clear(),
  };
}

/** Runs at most `atOnce` at a time and lets at most `waiting` wait; refuses the rest. */
function createQueue(atOnce: number, waiting: number) {
  const queue: (() => void)[] = [];
  let running = 0;
  return async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (running >= atOnce) {
      if (queue.length >= waiting) throw new TooManyLookups();
      await new Promise<void>((resolve) => queue.push(resolve));
    } else running++;
    try {
      return await work();
    } finally {
      // The place is handed to the next in line, or given back.
      const next = queue.shift();
      if (next) next();
      else running--;
    }
  };
}
