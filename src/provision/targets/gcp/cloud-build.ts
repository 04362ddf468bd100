import type { protos } from '@google-cloud/cloudbuild';
import type { SiteId } from '../../../site/identity.ts';
import { toApiFailure } from './api-error.ts';
import type { Google } from './google.ts';
import { type LookMs, openLooks } from './looks.ts';
import { locationOf, QUEUE_S, siteTags } from './steps.ts';

export type Build = protos.google.devtools.cloudbuild.v1.IBuild;

/** Often at first, as a build that fails does so early. */
const LOOK_MS: LookMs = { least: 1_000, most: 3_000 };
/** A build is in a queue for a moment; a longer one is told. */
const WAITS_MS = 3_000;
/** How long Google may fail to tell how a build is going. */
const SILENCE_MS = 3 * 60_000;
/** Beyond the build's own limits, which Google keeps. */
const GRACE_MS = 60_000;
/** The library would ask a region that is down for ten minutes: what is worth more tries is tried again by whoever asks. */
const CALL = { timeout: 30_000, retry: { retryCodes: [] } };
/** The library warns of what it will not do anyway. */
const PAGES = { ...CALL, autoPaginate: false };
/** Whoever cancels is in a hurry. */
const CANCEL_MS = 5_000;
/** A push that has begun is over by then; where it is not, what it pushes is found by its package's name, the site having ended. */
const STOPS_MS = 30_000;

/** The names of numbers, in which REST answers. */
const STATUS = [
  'STATUS_UNKNOWN',
  'QUEUED',
  'WORKING',
  'SUCCESS',
  'FAILURE',
  'INTERNAL_ERROR',
  'TIMEOUT',
  'CANCELLED',
  '',
  'EXPIRED',
  'PENDING',
] as const;
export type BuildStatus = Exclude<(typeof STATUS)[number], ''>;
const ENDED: readonly BuildStatus[] = ['SUCCESS', 'FAILURE', 'INTERNAL_ERROR', 'TIMEOUT', 'CANCELLED', 'EXPIRED'];

export function statusOf({ status }: Pick<Build, 'status'>): BuildStatus {
  const name = typeof status === 'number' ? STATUS[status] : STATUS.find((one) => one === status);
  return name || 'STATUS_UNKNOWN';
}

type In = { readonly instance: string; readonly region: string };

export interface CloudBuilds {
  /** @returns the build's name, `projects/P/locations/R/builds/ID` */
  start(region: string, build: Build): Promise<string>;
  /** Resolves once it is over, however; cancels it when the signal is aborted, when it never ends, or when Google does not tell. */
  end(name: string, watch: { readonly signal: AbortSignal; readonly limitS: number; readonly waits: () => void }): Promise<Build>;
  /** Idempotent, and quiet about what can't be: a build has limits of its own. */
  cancel(name: string): Promise<void>;
  /** Builds that are not over, of a site or of all. */
  going(of: In & { readonly site?: SiteId }): Promise<readonly Build[]>;
  /**
   * Cancels all of the site's: nothing of one that ends may still be built. Resolves once none is at work any more, or after half a minute:
   * what is removed after it does not come back.
   */
  cancelAll(of: In & { readonly site: SiteId }, signal?: AbortSignal): Promise<void>;
}

export type BuildTimes = {
  readonly lookMs?: LookMs;
  /** Milliseconds after which a build is given up that Google does not end. */
  readonly giveUpMs?: number;
};

/** Cloud Build, in each region of its own. Throws what Google's client throws. */
export function openCloudBuilds(google: Google, { lookMs = LOOK_MS, giveUpMs }: BuildTimes = {}): CloudBuilds {
  const cancel = async (name: string): Promise<void> => {
    // Over already, or out of reach: then Google's own time limit ends it.
    await (await google.builds()).cancelBuild({ name }, { timeout: CANCEL_MS }).catch(() => undefined);
  };
  const going: CloudBuilds['going'] = async ({ region, ...of }) => {
    const filter = [...siteTags(of).map((tag) => `tags="${tag}"`), '(status="PENDING" OR status="QUEUED" OR status="WORKING")'].join(
      ' AND ',
    );
    const found: Build[] = [];
    const client = await google.builds();
    for await (const build of client.listBuildsAsync({ parent: locationOf(google, region), filter, pageSize: 50 }, PAGES))
      found.push(build);
    return found.filter((build) => !ENDED.includes(statusOf(build)));
  };
  return {
    async start(region, build) {
      const [operation, raw] = await (await google.builds()).createBuild({ parent: locationOf(google, region), build }, CALL);
      const name = nameIn(operation.metadata) ?? nameIn(raw?.metadata);
      if (name === undefined) throw new Error('Cloud Build did not say which build it has begun');
      return name;
    },
    cancel,
    async end(name, { signal, limitS, waits }) {
      const client = await google.builds();
      const looks = openLooks(lookMs, signal);
      const limitMs = giveUpMs ?? (limitS + QUEUE_S) * 1000 + GRACE_MS;
      let heard = 0;
      let toldWaits = false;
      let over = false;
      try {
        for (;;) {
          const passed = looks.passed();
          await looks.next();
          const build = await client.getBuild({ name }, CALL).then(
            ([found]) => found,
            (error: unknown) => {
              const kind = toApiFailure(error)?.kind;
              if ((kind !== 'unreachable' && kind !== 'limited') || looks.passed() - heard > SILENCE_MS) throw error;
              return undefined;
            },
          );
          if (build !== undefined) heard = looks.passed();
          const status = statusOf(build ?? {});
          if (build !== undefined && ENDED.includes(status)) {
            over = true;
            return build;
          }
          if (passed > limitMs) return { ...build, status: 'TIMEOUT' };
          if (!toldWaits && status === 'QUEUED' && passed > WAITS_MS) {
            toldWaits = true;
            waits();
          }
        }
      } finally {
        // Nobody waits for it any more, whatever the reason.
        if (!over) await cancel(name);
      }
    },
    going,
    async cancelAll(of, signal) {
      let left = await going(of);
      for (const { name } of left) if (name) await cancel(name);
      for (const looks = openLooks(lookMs, signal); left.length > 0 && looks.passed() < STOPS_MS; left = await going(of))
        await looks.next();
    },
  };
}

/** In the metadata of the operation that stands for a build. */
function nameIn(metadata: unknown): string | undefined {
  if (typeof metadata !== 'object' || metadata === null || !('build' in metadata)) return undefined;
  const { build } = metadata;
  return typeof build === 'object' && build !== null && 'name' in build && typeof build.name === 'string' ? build.name : undefined;
}
