import { setTimeout as delay } from 'node:timers/promises';

/**
 * `atOnce`: calls under way; `most`: of how many things one is; `isOnes`: whether what a call threw may be the fault of one of them;
 * `afterMs`: how long a thing waits for others before it goes, not at all when absent.
 */
export type Gathering = {
  readonly atOnce: number;
  readonly most: number;
  readonly isOnes: (error: unknown) => boolean;
  readonly afterMs?: number;
};

/** A server says that it ends a connection before it does: asked again at once, a pool would give the same one. */
const MOMENT_MS = 100;

type Waiting<Item, Result> = { readonly item: Item; readonly resolve: (result: Result) => void; readonly reject: (error: unknown) => void };

/**
 * For work that costs little more for many than for one. While fewer than `atOnce` calls are under way a thing goes at once, or after its
 * wait, alone or with those that wait too; what comes meanwhile goes together as soon as one of them is over. A call for several that throws
 * because of one of them is repeated for each alone, so that it takes nobody along. What is nobody's fault, as a lost connection, may be over
 * in a moment: the call is repeated once as it was. For each alone, a server that is away would only be met with as often as there are things.
 * @param work its results in the order of the items; what it did before it threw must do no harm when it is repeated
 */
export function together<Item, Result>(
  work: (items: readonly Item[]) => Promise<readonly Result[]>,
  { atOnce, most, isOnes, afterMs = 0 }: Gathering,
): (item: Item) => Promise<Result> {
  const waiting: Waiting<Item, Result>[] = [];
  let underWay = 0;
  const run = async (batch: readonly Waiting<Item, Result>[]): Promise<void> => {
    const call = (): Promise<readonly Result[]> => work(batch.map(({ item }) => item));
    try {
      const results = await call().catch(async (error: unknown) => {
        if (isOnes(error)) throw error;
        await delay(MOMENT_MS);
        return call();
      });
      for (const [index, result] of results.entries()) batch[index]?.resolve(result);
    } catch (error) {
      if (batch.length > 1 && isOnes(error)) await Promise.all(batch.map((one) => run([one])));
      else for (const { reject } of batch) reject(error);
    }
  };
  const go = async (): Promise<void> => {
    if (underWay >= atOnce || waiting.length === 0) return;
    underWay++;
    await run(waiting.splice(0, most));
    underWay--;
    void go();
  };
  return (item) =>
    new Promise((resolve, reject) => {
      waiting.push({ item, resolve, reject });
      if (afterMs > 0) setTimeout(go, afterMs);
      else void go();
    });
}
