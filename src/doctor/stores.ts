import type { Logger } from 'pino';
import { ulid } from 'ulid';
import type { Config } from '../config.ts';
import { type Beside, openBeside } from '../open-beside.ts';
import { openRedisQueues } from '../queue-backends.ts';
import { examined, type Finding, fail, ok, warn } from './finding.ts';

const ANSWER_MS = 5_000;
/** Webhooks' signatures and Apps' tokens are good for minutes; what is shown as a time is off from the first second. */
const CLOCK_WARN_MS = 5_000;
const CLOCK_FAIL_MS = 60_000;

/** What Mayfly keeps everything in. `beside` is undefined when there is no way to it. */
export async function examineStores(
  config: Config,
  log: Logger,
  opening: AsyncDisposableStack,
): Promise<{ readonly findings: readonly Finding[]; readonly beside: Beside | undefined }> {
  let beside: Beside | undefined;
  const found = await examined('database', 'Start Mayfly, or see to DATABASE_URL.', async () => {
    beside = await openBeside(config, { purpose: 'to look', log, newId: ulid }, opening);
    return [ok('database', config.databaseUrl === null ? 'the embedded one answers' : "it answers, and has this version's tables")];
  });
  const { store } = beside ?? {};
  const clock =
    store === undefined
      ? []
      : await examined('clock', 'See to the database.', async () => [
          clockFinding('the database', (await store.now()).getTime() - Date.now()),
        ]);
  const owner = beside === undefined ? [] : [ownerFinding(config, beside)];
  return { findings: [...found, ...owner, ...(await queue(config, log)), ...clock], beside };
}

const ownerFinding = ({ dataDir }: Config, { owner }: Beside): Finding =>
  owner === 'nobody' ? warn('Mayfly', `none runs on ${dataDir}`, 'Start it: npm start.') : ok('Mayfly', `runs on ${dataDir}`);

/** Redis is written to, with a word of our own that it forgets in a minute: a full one answers whatever is only read. */
async function queue({ redisUrl }: Config, log: Logger): Promise<readonly Finding[]> {
  if (redisUrl === null) return [ok('queue', 'on PostgreSQL')];
  await using redis = await openRedisQueues(redisUrl, 'mayfly-doctor', log);
  const isUp = await redis.isReachable(ANSWER_MS);
  return [isUp ? ok('queue', 'Redis answers') : fail('queue', 'Redis does not answer', 'Start Redis, or see to REDIS_URL.')];
}

/** @param aheadMs how far the other clock is before this machine's */
export function clockFinding(whose: string, aheadMs: number): Finding {
  const what = 'clock';
  const off = Math.abs(aheadMs);
  if (off <= CLOCK_WARN_MS) return ok(what, `agrees with ${whose}`);
  const found = `${Math.round(off / 1_000)} s ${aheadMs > 0 ? 'behind' : 'before'} ${whose}`;
  const todo = 'Let this machine keep time, with chrony or systemd-timesyncd.';
  return off > CLOCK_FAIL_MS ? fail(what, found, todo) : warn(what, found, todo);
}
