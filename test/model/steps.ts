import { setImmediate as turn } from 'node:timers/promises';

/** Does one call to the world outside, when it is this call's turn. */
export type Step = <T>(what: string, call: () => Promise<T>) => Promise<T>;

/** Work that goes on only when it is told to, one call at a time: what other work does in between is the test's to say. */
export interface Steps {
  readonly step: Step;
  /** What it would do next; several when it does several things at once. */
  next(): readonly string[];
  isOver(): boolean;
  /** Lets one of its calls be done, and waits until it asks for another, or is over. */
  advance(pick: number): Promise<void>;
}

type Waiting = { readonly what: string; readonly go: () => void };

/** @param work is given the `step` through which all its calls go; it must not reject */
export async function startSteps(work: (step: Step) => Promise<void>): Promise<Steps> {
  const waiting: Waiting[] = [];
  let calls = 0;
  let over = false;
  let changed = Promise.withResolvers<void>();
  const tell = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const step: Step = async (what, call) => {
    await new Promise<void>((go) => {
      waiting.push({ what, go });
      tell();
    });
    calls++;
    try {
      return await call();
    } finally {
      calls--;
      tell();
    }
  };
  /** Until nothing more comes of what was let through. */
  const rest = async (): Promise<void> => {
    for (;;) {
      const change = changed.promise;
      await turn();
      if (over || (calls === 0 && waiting.length > 0)) return;
      await change;
    }
  };
  void work(step).then(() => {
    over = true;
    tell();
  });
  await rest();
  return {
    step,
    next: () => waiting.map(({ what }) => what),
    isOver: () => over,
    async advance(pick) {
      const [chosen] = waiting.splice(pick % Math.max(waiting.length, 1), 1);
      if (over || chosen === undefined) return;
      chosen.go();
      await rest();
    },
  };
}

/** The same port, each of its calls a step. What is no function stays as it is, parts of it are stepped too. */
export function stepping<Port extends object>(port: Port, step: Step, name: string): Port {
  return new Proxy(port, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof key !== 'string') return value;
      const path = `${name}.${key}`;
      if (typeof value === 'function') {
        return (...args: readonly unknown[]) => step(path, async () => Reflect.apply(value, target, args));
      }
      return typeof value === 'object' && value !== null ? stepping(value, step, path) : value;
    },
  });
}
