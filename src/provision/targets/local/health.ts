import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

export type Probe = { readonly socket: string; readonly path: string; readonly signal: AbortSignal };

const FIRST_WAIT_MS = 20;
const LONGEST_WAIT_MS = 500;
const ANSWER_MS = 5_000;

/**
 * Asks until the answer is 2xx or 3xx; a redirect is an answer and is not followed.
 * @returns nothing when it is healthy; throws the signal's reason when aborted
 * @param seen is told what came instead, in words, e.g. `it answered 500`
 */
export async function untilHealthy(probe: Probe, seen: (last: string) => void): Promise<void> {
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(wait * 1.5, LONGEST_WAIT_MS)) {
    probe.signal.throwIfAborted();
    const answer = await ask(probe);
    if (typeof answer === 'number' && answer >= 200 && answer < 400) return;
    if (typeof answer === 'number') seen(`it answered ${answer}`);
    await delay(wait, undefined, { signal: probe.signal });
  }
}

/** The status, or undefined when there was no answer. */
function ask({ socket, path, signal }: Probe): Promise<number | undefined> {
  return new Promise((resolve) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    const asking = request({
      socketPath: socket,
      path,
      headers: { host: 'localhost', 'user-agent': 'mayfly-health' },
      signal: limit,
      agent: false,
    });
    // Not there yet, or ended by the limit: both are no answer.
    asking.on('error', () => resolve(undefined));
    asking.on('response', (response) => {
      resolve(response.statusCode);
      response.destroy();
    });
    asking.end();
  });
}
