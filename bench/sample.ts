/** What one side of a comparison took, run after run, in one unit. */
export type Sample = readonly number[];

/** The value below which the share `q` (0…1) of the sample lies, between neighbours in proportion. */
export function quantile(sample: Sample, q: number): number {
  const sorted = [...sample].sort((one, other) => one - other);
  const at = (sorted.length - 1) * q;
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

export const median = (sample: Sample): number => quantile(sample, 0.5);

/**
 * The exponent with which a cost grows: the slope of the line through (log size, log cost) by least squares. 1 is in proportion, 0 not at all.
 */
export function exponent(points: readonly { readonly size: number; readonly cost: number }[]): number {
  const logs = points.map(({ size, cost }) => ({ x: Math.log(size), y: Math.log(cost) }));
  const mean = (of: 'x' | 'y'): number => logs.reduce((sum, point) => sum + point[of], 0) / logs.length;
  const [x, y] = [mean('x'), mean('y')];
  const together = logs.reduce((sum, point) => sum + (point.x - x) * (point.y - y), 0);
  return together / logs.reduce((sum, point) => sum + (point.x - x) ** 2, 0);
}

/**
 * Runs every side once, then every side again…: what else the machine does meets all of them alike.
 * @returns the sample of each side
 */
export async function inTurn<Side extends string>(
  rounds: number,
  sides: Readonly<Record<Side, (round: number) => Promise<number>>>,
): Promise<(side: Side) => Sample> {
  const samples = new Map<string, number[]>();
  for (let round = 0; round < rounds; round++) {
    for (const [side, run] of Object.entries<(round: number) => Promise<number>>(sides)) {
      samples.set(side, [...(samples.get(side) ?? []), await run(round)]);
    }
  }
  return (side) => samples.get(side) ?? [];
}

/** Milliseconds that it takes. */
export async function timed(deed: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await deed();
  return performance.now() - started;
}
