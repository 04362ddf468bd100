/** `atOnce`: calls under way; `most`: of how many things one is. */
export type Gathering = { readonly atOnce: number; readonly most: number };

type Waiting<Item, Result> = { readonly item: Item; readonly resolve: (result: Result) => void; readonly reject: (error: unknown) => void };

/**
 * For work that costs little more for many than for one. While fewer than `atOnce` calls are under way a thing goes at once, alone; what comes
 * meanwhile goes together as soon as one of them is over. A call for several that throws is repeated for each alone, so that one that
 * cannot be done takes nobody along.
 * @param work its results in the order of the items
 */
export function together<Item, Result>(
  work: (items: readonly Item[]) => Promise<readonly Result[]>,
  { atOnce, most }: Gathering,
): (item: Item) => Promise<Result> {
  const waiting: Waiting<Item, Result>[] = [];
  let underWay = 0;
  const run = async (batch: readonly Waiting<Item, Result>[]): Promise<void> => {
    try {
      const results = await work(batch.map(({ item }) => item));
      for (const [index, result] of results.entries()) batch[index]?.resolve(result);
    } catch (error) {
      if (batch.length === 1) batch[0]?.reject(error);
      else await Promise.all(batch.map((one) => run([one])));
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
      void go();
    });
}
