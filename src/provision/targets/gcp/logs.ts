import { setTimeout as pause } from 'node:timers/promises';
import { maskAll } from '../../../masking/masker.ts';
import { cleanLog, lastLines } from '../../../site/text.ts';
import { explained, toApiFailure } from './api-error.ts';
import type { Google } from './google.ts';
import { type Line, openLogReader } from './log-reader.ts';
import { askingLogs } from './run-attempts.ts';

/** What one build prints, told as it comes. */
export interface Following extends Disposable {
  /** Resolves once everything has come that was printed by now, as far as can be told: lines take a few seconds until they can be read. */
  drained(signal: AbortSignal): Promise<void>;
}

/** Whose own output is asked for: of all its revisions, or of one. */
export type AppLogWish = {
  readonly service: string;
  readonly region: string;
  readonly revision?: string;
  readonly lines: number;
  readonly secrets: readonly string[];
};

export interface CloudLogs extends AsyncDisposable {
  /** Tells what a build prints until disposed of. `build` is its id; `agoMs`: how long ago it may have begun, when it was not just now. */
  follow(build: string, tell: (text: string) => void, agoMs?: number): Following;
  /** The end of what a service's app has said, and what Cloud Run says of its starts: masked, without control characters. Throws the Faults of `explained`. */
  appLog(wish: AppLogWish): Promise<string>;
}

export type CloudLogsOptions = {
  readonly google: Google;
  readonly log: (line: string) => void;
  /** Milliseconds between two calls, and between two looks; those that Google's limits allow unless given. */
  readonly gapMs?: number;
  readonly lookMs?: number;
  readonly now?: () => Date;
};

/** All builds of a project are looked after with one call. */
const LOOK_MS = 3_000;
/** Lines come out of order, some late: so far back each look goes again. */
const OVERLAP_MS = 30_000;
/** So long is waited for the last lines of a build that is over, with a look as often as the limit lets us. */
const DRAIN_MS = 12_000;
const QUIET_LOOKS = 6;
const MOST_LINES = 20_000;
/** What Cloud Build and the buildpacks' lifecycle put before each line: which step says it, which the reader has not asked for. */
const AROUND = /^(?:Step #\d+(?: - "[^"]*")?: )?(?:\[(?:analyzer|detector|restorer|builder|exporter)\] ?)?/;
/** An app that has said nothing for as long has nothing to say about today's trouble. */
const APP_DAYS = 7;

type Follower = {
  readonly build: string;
  readonly tell: (text: string) => void;
  since: Date;
  readonly seen: Map<string, Date>;
  /** Looks in a row that brought nothing. */
  quiet: number;
  over: boolean;
  /** Somebody waits for the rest: the next look comes as soon as it may. */
  draining: boolean;
};

/** Cloud Logging for all of this process: one shared tail, whoever listens to it. */
export function openCloudLogs(options: CloudLogsOptions): CloudLogs {
  const { google, log, now = () => new Date() } = options;
  const reader = openLogReader(google, options.gapMs);
  const lookMs = options.lookMs ?? LOOK_MS;
  const followers = new Set<Follower>();
  const closing = new AbortController();
  let tail: Promise<void> | undefined;
  /** Ends the wait between two looks. */
  let hurry = Promise.withResolvers<void>();
  const look = async (): Promise<void> => {
    const asked = [...followers];
    const lines = await reader.read({ filter: buildFilter(google.project, asked), order: 'asc', most: MOST_LINES, signal: closing.signal });
    // What did not fit is what comes next: going back for late lines would bring the same again.
    const overlap = lines.length < MOST_LINES ? OVERLAP_MS : 0;
    for (const follower of asked) hand(follower, lines, overlap);
  };
  const run = async (): Promise<void> => {
    while (followers.size > 0 && !closing.signal.aborted) {
      await look().catch((error: unknown) => {
        if (!closing.signal.aborted) log(`logs of builds can't be read: ${toApiFailure(error)?.words ?? String(error)}`);
        for (const follower of followers) follower.quiet += 1;
      });
      hurry = Promise.withResolvers();
      const isAwaited = [...followers].some(({ draining, over }) => draining && !over);
      if (!isAwaited) await Promise.race([pause(lookMs, undefined, { signal: closing.signal }).catch(() => undefined), hurry.promise]);
    }
    tail = undefined;
  };
  return {
    follow(build, tell, agoMs = OVERLAP_MS) {
      const follower: Follower = {
        build,
        tell,
        since: new Date(now().getTime() - agoMs),
        seen: new Map(),
        quiet: 0,
        over: false,
        draining: false,
      };
      followers.add(follower);
      tail ??= run();
      return {
        async drained(signal) {
          const until = AbortSignal.any([signal, closing.signal, AbortSignal.timeout(DRAIN_MS)]);
          Object.assign(follower, { quiet: 0, draining: true });
          hurry.resolve();
          while (!follower.over && follower.quiet < QUIET_LOOKS && !until.aborted) {
            await pause(Math.min(lookMs, 250), undefined, { signal: until }).catch(() => undefined);
          }
        },
        [Symbol.dispose]: () => void followers.delete(follower),
      };
    },
    async appLog(wish) {
      const since = new Date(now().getTime() - APP_DAYS * 86_400_000);
      const question = { filter: appFilter(google.project, wish, since), order: 'desc', most: wish.lines } as const;
      const lines = await reader.read(question).catch(async (error: unknown) => {
        throw await explained(error, askingLogs(google, { action: 'read what a site has said', region: wish.region }));
      });
      const text = maskAll(
        [...lines]
          .reverse()
          .map((line) => line.text)
          .join('\n'),
        wish.secrets,
      );
      // Again, for what an escape sequence in its middle had kept apart.
      return lastLines(maskAll(cleanLog(text), wish.secrets), wish.lines).join('\n');
    },
    async [Symbol.asyncDispose]() {
      closing.abort(new Error('the logs are closed'));
      // A call that is under way can't be cut off; nobody waits for its answer.
      await Promise.race([tail, pause(1_000, undefined, { ref: false })]);
    },
  };
}

/** Tells a follower what it has not heard yet. */
function hand(follower: Follower, lines: readonly Line[], overlapMs: number): void {
  const fresh = lines.filter(({ id, build }) => build === follower.build && !follower.seen.has(id));
  follower.quiet = fresh.length === 0 ? follower.quiet + 1 : 0;
  let newest = follower.since.getTime() + overlapMs;
  for (const { id, at, text, labels } of fresh) {
    follower.seen.set(id, at);
    newest = Math.max(newest, at.getTime());
    follower.tell(`${text.replace(AROUND, '')}\n`);
    // Cloud Build's own last word; without it the silence after it tells as much, later.
    if (labels.build_step === 'MAIN' && /^(?:DONE|ERROR)\b/.test(text)) follower.over = true;
  }
  follower.since = new Date(newest - overlapMs);
  for (const [id, at] of follower.seen) if (at < follower.since) follower.seen.delete(id);
}

const quoted = (text: string): string => JSON.stringify(text);
const oneOf = (values: readonly string[]): string => `(${values.map(quoted).join(' OR ')})`;

function buildFilter(project: string, followers: readonly Follower[]): string {
  const since = Math.min(...followers.map((follower) => follower.since.getTime()));
  return [
    `logName=${quoted(`projects/${project}/logs/cloudbuild`)}`,
    'resource.type="build"',
    `resource.labels.build_id=${oneOf(followers.map(({ build }) => build))}`,
    `timestamp>=${quoted(new Date(since).toISOString())}`,
  ].join(' AND ');
}

function appFilter(project: string, { service, region, revision }: AppLogWish, since: Date): string {
  const names = ['stdout', 'stderr', 'varlog%2Fsystem'].map((name) => `projects/${project}/logs/run.googleapis.com%2F${name}`);
  return [
    `logName=${oneOf(names)}`,
    'resource.type="cloud_run_revision"',
    `resource.labels.service_name=${quoted(service)}`,
    `resource.labels.location=${quoted(region)}`,
    ...(revision === undefined ? [] : [`resource.labels.revision_name=${quoted(revision)}`]),
    `timestamp>=${quoted(since.toISOString())}`,
  ].join(' AND ');
}
