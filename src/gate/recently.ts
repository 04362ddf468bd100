/** Names that were heard of a short while ago. */
export type Recently = { has(name: string): boolean; add(name: string): void };

/** @param size the most names that are remembered; @param ms for how long */
export function createRecently(size: number, ms: number): Recently {
  const heard = new Map<string, number>();
  return {
    has: (name) => performance.now() - (heard.get(name) ?? Number.NEGATIVE_INFINITY) < ms,
    add(name) {
      heard.delete(name);
      heard.set(name, performance.now());
      const [oldest] = heard.keys();
      if (heard.size > size && oldest !== undefined) heard.delete(oldest);
    },
  };
}
