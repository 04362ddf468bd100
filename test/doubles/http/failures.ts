import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';

/**
 * What goes wrong with the next `times` requests that match. `cut`: the work is done, the answer never arrives. `page`: in place of the
 * forge's JSON, as from a proxy before it.
 */
export type Failure = {
  readonly match?: (request: { readonly method: string; readonly path: string }) => boolean;
  readonly times?: number;
  readonly answer: 'hang' | 'cut' | Planned;
};
export type Planned = {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly message?: string;
  readonly page?: string;
};

export type Failures = {
  plan(failure: Failure): void;
  take(request: { readonly method: string; readonly path: string }): Failure | undefined;
};

export function createFailures(): Failures {
  const planned: { failure: Failure; left: number }[] = [];
  return {
    plan: (failure) => void planned.push({ failure, left: failure.times ?? 1 }),
    take(request) {
      const hit = planned.find(({ failure, left }) => left > 0 && (failure.match?.(request) ?? true));
      if (hit) hit.left -= 1;
      return hit?.failure;
    },
  };
}

/** Resolves once the other side has given up. */
export const closed = (incoming: IncomingMessage): Promise<unknown> =>
  incoming.socket.destroyed ? Promise.resolve() : once(incoming.socket, 'close');
