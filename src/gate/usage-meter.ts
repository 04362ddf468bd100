import type { Usage } from '../site/cost.ts';
import type { SiteId } from '../site/identity.ts';
import type { Log } from './log.ts';

/** Notes for how long sites that run elsewhere are kept busy: that is what they cost. */
export interface UsageMeter extends AsyncDisposable {
  /** From now until it is disposed of the site answers somebody. */
  answering(site: SiteId): Disposable;
}

export type UsageOptions = {
  /** Adds to what is known of each site. */
  readonly save: (more: ReadonlyMap<SiteId, Usage>) => Promise<void>;
  readonly log: Log;
  readonly everyMs?: number;
  /** Milliseconds, from any beginning. */
  readonly now?: () => number;
};

const EVERY_MS = 30_000;

type Meter = { atOnce: number; since: number; busyMs: number; requests: number };

/** Several requests at the same time are one time: one instance answers them. What could not be saved is saved with the next. */
export function openUsageMeter({ save, log, everyMs = EVERY_MS, now = () => performance.now() }: UsageOptions): UsageMeter {
  const meters = new Map<SiteId, Meter>();
  let saving = Promise.resolve();

  function settle(meter: Meter): void {
    if (meter.atOnce > 0) meter.busyMs += now() - meter.since;
    meter.since = now();
  }

  function answering(site: SiteId): Disposable {
    const meter = meters.get(site) ?? { atOnce: 0, since: 0, busyMs: 0, requests: 0 };
    meters.set(site, meter);
    settle(meter);
    meter.atOnce += 1;
    meter.requests += 1;
    return {
      [Symbol.dispose]() {
        settle(meter);
        meter.atOnce -= 1;
      },
    };
  }

  async function flush(): Promise<void> {
    const taken = new Map<SiteId, Usage>();
    for (const [site, meter] of meters) {
      settle(meter);
      if (meter.requests > 0 || meter.busyMs > 0) taken.set(site, { busyMs: meter.busyMs, requests: meter.requests });
      if (meter.atOnce === 0) meters.delete(site);
      Object.assign(meter, { busyMs: 0, requests: 0 });
    }
    if (taken.size === 0) return;
    await save(taken).catch((cause: unknown) => {
      log.warn({ err: cause }, 'what sites were used could not be saved; it is tried again');
      for (const [site, { busyMs, requests }] of taken) giveBack(site, busyMs, requests);
    });
  }

  function giveBack(site: SiteId, busyMs: number, requests: number): void {
    const meter = meters.get(site) ?? { atOnce: 0, since: 0, busyMs: 0, requests: 0 };
    meters.set(site, meter);
    meter.busyMs += busyMs;
    meter.requests += requests;
  }

  const timer = setInterval(() => {
    saving = saving.then(flush);
  }, everyMs);
  timer.unref();
  return {
    answering,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await saving.then(flush);
    },
  };
}
