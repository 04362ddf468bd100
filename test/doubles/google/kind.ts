import { setTimeout as delay } from 'node:timers/promises';
import type structPb from 'google-protobuf/google/protobuf/struct_pb.js';
import { GoogleError } from './faults.ts';
import type { Problem } from './inputs.ts';
import type { Operation } from './run-types.ts';

export type Properties = Readonly<Record<string, structPb.JavaScriptValue>>;
export type State = Readonly<Record<string, unknown>>;

/** How long the provider waits for Google: in Pulumi's seconds, in real milliseconds, and in between. */
export type Waiting = { readonly seconds: number; readonly ms: number; readonly pauseMs: number };

/**
 * One type of resource. Everything that is thrown is what Google's provider would say, whole: `Error creating Service: googleapi: …`. What
 * throws has left no resource in the engine's state; `InitFailed` leaves it there.
 */
export interface Kind {
  /** Everything in the inputs that Google's provider or the API would not take. */
  check(inputs: Properties): readonly Problem[];
  /** Whether a change of the input makes another resource. */
  isReplacing(input: string): boolean;
  create(inputs: Properties, waiting: Waiting): Promise<{ readonly id: string; readonly state: State }>;
  /** Undefined when it is gone. Of what is imported there is no state yet. */
  read(id: string, state: Properties, waiting: Waiting): Promise<State | undefined>;
  /** What a program could have said of one that is imported; without it none can be. */
  readonly inputsOf?: (state: State) => State;
  update(id: string, inputs: Properties, waiting: Waiting): Promise<State>;
  remove(id: string, state: Properties, waiting: Waiting): Promise<void>;
}

/** The resource is there, but not as it was wanted. */
export class InitFailed extends Error {
  readonly id: string;
  readonly state: State;
  constructor(message: string, { id, state }: { readonly id: string; readonly state: State }) {
    super(message);
    this.id = id;
    this.state = state;
  }
}

/** As the Go client prints what an API refuses. */
export const spoken = (error: unknown): string =>
  error instanceof GoogleError ? `googleapi: Error ${error.http}: ${error.message}` : String(Object(error).message);

/** Google's provider tries again what is refused with 429, 502 or 503, for as long as it may wait at all. */
export async function insist<T>(deed: () => Promise<T> | T, { ms, pauseMs }: Waiting): Promise<T> {
  const end = performance.now() + ms;
  for (let pause = pauseMs / 2; ; pause = Math.min(pause * 2, pauseMs * 30)) {
    try {
      return await deed();
    } catch (error) {
      const isPassing = error instanceof GoogleError && [429, 502, 503].includes(error.http);
      if (!isPassing || performance.now() + pause > end) throw error;
      await delay(pause);
    }
  }
}

/**
 * Waits for the operation as Google's provider does; resolves with what went wrong in its words, or with undefined.
 * @param look milliseconds between two looks of it at the operation; 0: it hears of the end at once
 */
export async function waitFor(operation: Operation, doing: string, { ms, seconds, look }: Waiting & { readonly look: number }) {
  const started = performance.now();
  const over = new AbortController();
  const isEnded = await Promise.race([operation.ended.then(() => true), delay(ms, false, { signal: over.signal }).catch(() => false)]);
  over.abort();
  if (!isEnded) {
    const span = `${Math.floor(seconds / 60)}m${seconds % 60}s`;
    return `Error waiting for ${doing}: timeout while waiting for state to become 'done: true' (last state: 'done: false', timeout: ${span})`;
  }
  if (look > 0) await delay(look - ((performance.now() - started) % look));
  const { error } = operation;
  return error && `Error waiting for ${doing}: Error code ${error.code}, message: ${error.message}`;
}
