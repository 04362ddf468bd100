import type { Planned } from './http/failures.ts';
import type { ForgeName } from './stage.ts';

/** What stands before GitLab answers with a page of its own; GitHub's answers are JSON throughout. */
export const BAD_GATEWAY: Readonly<Record<ForgeName, Planned>> = {
  github: { status: 502 },
  gitlab: { status: 502, headers: { 'content-type': 'text/html' }, page: '<html><h1>502 Bad Gateway</h1></html>' },
};
export const NOT_FOUND: Readonly<Record<ForgeName, Planned>> = {
  github: { status: 404 },
  gitlab: { status: 404, message: '404 Not Found' },
};

export type Limit = {
  readonly what: string;
  /** @param pauseS how long it says to wait, from `now` or from when it is answered */
  readonly answer: (now: number, pauseS: number) => Planned;
  readonly from: 'its answer' | 'now';
};
/** How each says that it was too much. */
export const LIMITS: Readonly<Record<ForgeName, readonly Limit[]>> = {
  github: [403, 429].map((status) => ({
    what: `${status} with Retry-After`,
    answer: (_, pauseS) => ({
      status,
      headers: { 'retry-after': String(pauseS) },
      message: 'You have exceeded a secondary rate limit.',
    }),
    from: 'its answer',
  })),
  gitlab: [
    {
      what: '429 with Retry-After',
      answer: (now, pauseS) => throttled({ ...rateLimit(now + pauseS * 1_000), 'retry-after': String(pauseS) }),
      from: 'its answer',
    },
    {
      what: '429 with RateLimit-Reset alone',
      answer: (now, pauseS) => throttled(rateLimit(now + pauseS * 1_000)),
      from: 'now',
    },
  ],
};
const throttled = (headers: Record<string, string>): Planned => ({ status: 429, headers, page: 'Retry later\n' });
const rateLimit = (resetsAt: number): Record<string, string> => ({
  'ratelimit-limit': '60',
  'ratelimit-name': 'throttle_authenticated_api',
  'ratelimit-observed': '61',
  'ratelimit-remaining': '0',
  'ratelimit-reset': String(Math.ceil(resetsAt / 1_000)),
});
