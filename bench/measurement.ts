import { median, quantile, type Sample } from './sample.ts';

export type Unit = 'ms' | 's' | 'MiB' | '/s' | '/min' | 'MB/s' | '';
/** `low` and `high`: the middle half of the runs lies between them. */
export type Figure = { readonly median: number; readonly low: number; readonly high: number; readonly runs: number };

/** One line of a table: ours, what it is held against, and the bar that it has to clear. */
export type Row = {
  readonly what: string;
  readonly unit: Unit;
  readonly ours: Figure;
  readonly beside: ({ readonly name: string } & Figure) | null;
  /** Ours through the other's, of the medians. */
  readonly ratio: number | null;
  readonly bar: string | null;
  readonly holds: boolean | null;
  /** What ours is made of, or how it grows: each a median in the row's unit. */
  readonly parts: Readonly<Record<string, number>>;
};

/** `smoke` only shows that everything still works, in as few runs as can be. */
export type Scale = 'whole' | 'smoke';
export type Doing = { readonly scale: Scale; readonly say: (line: string) => void };

/** Sets itself up, measures, and takes down what it set up. */
export type Measurement = { readonly title: string; readonly run: (doing: Doing) => Promise<readonly Row[]> };

export const figure = (sample: Sample): Figure => ({
  median: median(sample),
  low: quantile(sample, 0.25),
  high: quantile(sample, 0.75),
  runs: sample.length,
});

type Told = { readonly what: string; readonly unit: Unit; readonly ours: Sample };
/** `is` compares what the bar is about, given the medians. */
export type Bar = { readonly text: string; readonly is: (ours: number, other: number) => boolean };

type Around = {
  readonly beside?: { readonly name: string; readonly sample: Sample };
  readonly bar?: Bar;
  readonly parts?: Readonly<Record<string, number>>;
};

/** A row; with a bar, whether it holds. */
export function row({ what, unit, ours }: Told, { beside, bar, parts = {} }: Around = {}): Row {
  const own = figure(ours);
  const other = beside ? figure(beside.sample) : null;
  return {
    ...{ what, unit, ours: own },
    beside: beside && other ? { name: beside.name, ...other } : null,
    // What is added may be nothing, or less, as far as the runs can tell: then there is no ratio.
    ratio: other && other.low > 0 ? own.median / other.median : null,
    bar: bar?.text ?? null,
    holds: bar ? bar.is(own.median, other?.median ?? Number.NaN) : null,
    parts,
  };
}

/** A bar that ours alone has to clear. */
export const below = (limit: number, unit: Unit): Bar => ({ text: `< ${limit} ${unit}`, is: (ours) => ours < limit });
