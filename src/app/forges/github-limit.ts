import { HOUR_MS, MINUTE_MS, type Window, type Windows } from './limits.ts';

/**
 * `content` is what people are notified of: comments and reactions. `passing` is content that the next word makes up for. `state` is the
 * rest: checks, deployments and their statuses.
 */
export type WriteKind = 'content' | 'passing' | 'state';
export type RequestKind = 'read' | WriteKind;

const points = (cost: number): Window => ({ of: 'points', ms: MINUTE_MS, max: 880, cost });
const most = (max: number, of: string, ms: number): Window => ({ of, ms, max, cost: 1 });

/**
 * GitHub allows an installation about 80 content-creating requests a minute and 500 an hour, and 900 points a minute of which a read
 * costs 1 and a write 5 (https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api). A few of each are left for what
 * is not counted here. Writes take (76 + 84) × 5 = 800 points at most, so that reads go on. Once much was said in passing, the rest is
 * kept for first and last words: two hundred pulls in an hour have both.
 */
export const GITHUB_WINDOWS: Windows<RequestKind> = {
  read: [points(1)],
  content: [most(76, 'content', MINUTE_MS), most(480, 'content', HOUR_MS), points(5)],
  passing: [most(20, 'content', MINUTE_MS), most(80, 'content', HOUR_MS), points(5)],
  state: [most(84, 'state', MINUTE_MS), points(5)],
};
