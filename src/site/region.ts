import { nearest } from './nearest.ts';

/** What people may ask for instead of one region: any region there. */
export type RegionGroup = 'europe' | 'usa' | 'asia';
type Row = { readonly group: RegionGroup | null; readonly alias?: string };

/** Every region of Google Cloud Run, by Google's name. A group is a place that data stays in: `usa` is the United States alone. */
const TABLE = {
  'africa-south1': { group: null },
  'asia-east1': { group: 'asia' },
  'asia-east2': { group: 'asia' },
  'asia-northeast1': { group: 'asia', alias: 'asia-tokyo' },
  'asia-northeast2': { group: 'asia' },
  'asia-northeast3': { group: 'asia' },
  'asia-south1': { group: 'asia' },
  'asia-south2': { group: 'asia' },
  'asia-southeast1': { group: 'asia', alias: 'asia-singapore' },
  'asia-southeast2': { group: 'asia' },
  'asia-southeast3': { group: 'asia' },
  'australia-southeast1': { group: null, alias: 'sydney' },
  'australia-southeast2': { group: null },
  'europe-central2': { group: 'europe' },
  'europe-north1': { group: 'europe' },
  'europe-north2': { group: 'europe' },
  'europe-southwest1': { group: 'europe' },
  'europe-west1': { group: 'europe', alias: 'eu-belgium' },
  'europe-west2': { group: 'europe', alias: 'eu-london' },
  'europe-west3': { group: 'europe', alias: 'eu-frankfurt' },
  'europe-west4': { group: 'europe', alias: 'eu-netherlands' },
  'europe-west6': { group: 'europe' },
  'europe-west8': { group: 'europe' },
  'europe-west9': { group: 'europe' },
  'europe-west10': { group: 'europe' },
  'europe-west12': { group: 'europe' },
  'me-central1': { group: null },
  'me-central2': { group: null },
  'me-west1': { group: null },
  'northamerica-northeast1': { group: null },
  'northamerica-northeast2': { group: null },
  'northamerica-south1': { group: null },
  'southamerica-east1': { group: null },
  'southamerica-west1': { group: null },
  'us-central1': { group: 'usa', alias: 'us-iowa' },
  'us-east1': { group: 'usa' },
  'us-east4': { group: 'usa', alias: 'us-virginia' },
  'us-east5': { group: 'usa' },
  'us-south1': { group: 'usa' },
  'us-west1': { group: 'usa', alias: 'us-oregon' },
  'us-west2': { group: 'usa' },
  'us-west3': { group: 'usa' },
  'us-west4': { group: 'usa' },
} as const satisfies Record<string, Row>;

const ROWS: ReadonlyMap<string, Row> = new Map(Object.entries(TABLE));
const BY_ALIAS: ReadonlyMap<string, string> = new Map(
  [...ROWS].flatMap(([name, row]) => (row.alias === undefined ? [] : [[row.alias, name] as const])),
);
const GROUPS = ['europe', 'usa', 'asia'] as const satisfies readonly RegionGroup[];

/** Everything that may be written where a region is asked for. */
export const REGION_WORDS: readonly string[] = [...BY_ALIAS.keys(), ...GROUPS, ...ROWS.keys()];

/** Google's names of all there are. */
export const REGIONS: readonly string[] = [...ROWS.keys()];

/** What people are told that there is. */
export const REGION_LIST = `${[...BY_ALIAS.keys(), ...GROUPS].join(', ')} and Google Cloud's own names, like europe-west8`;

/** The regions that a name, alias or group stands for, in the table's order; none when it is unknown. */
export function regionsOf(word: string): readonly string[] {
  const asked = word.trim().toLowerCase();
  const name = BY_ALIAS.get(asked) ?? asked;
  if (ROWS.has(name)) return [name];
  return [...ROWS].filter(([, row]) => row.group === asked).map(([region]) => region);
}

/** As people know it: the alias where there is one. */
export const regionLabel = (region: string): string => ROWS.get(region)?.alias ?? region;

export type RegionRefusal = {
  readonly code: 'region-unknown' | 'region-forbidden';
  /** For the problem's sentence: what was asked for, what may be, and ` (did you mean …?)` or nothing. */
  readonly details: { readonly region: string; readonly regions: string; readonly hint: string };
};
/** `candidates` are all that satisfy the wish; whoever knows how full they are may prefer another than the first, `region`. */
export type RegionChoice = { readonly region: string; readonly candidates: readonly string[] };

/**
 * What a wish (name, alias or group) comes to among the regions that the operator allows (Google's names, most wanted first).
 * @returns the choice, or why there is none
 */
export function resolveRegion(wish: string, allowed: readonly string[]): RegionChoice | { readonly refusal: RegionRefusal } {
  const meant = regionsOf(wish);
  const regions = allowed.map(regionLabel).join(', ');
  if (meant.length === 0) {
    const words = REGION_WORDS.filter((word) => regionsOf(word).some((region) => allowed.includes(region)));
    const near = nearest(wish, words);
    const hint = near === undefined ? '' : ` Did you mean ${near}?`;
    return { refusal: { code: 'region-unknown', details: { region: wish, regions, hint } } };
  }
  const candidates = allowed.filter((region) => meant.includes(region));
  const [region] = candidates;
  if (region === undefined) return { refusal: { code: 'region-forbidden', details: { region: wish, regions, hint: '' } } };
  return { region, candidates };
}

/** A setting's list, `eu-frankfurt, usa`, as Google's names without repetitions; or the words that are no region, each with the nearest that is. */
export function parseRegions(
  text: string,
):
  | { readonly regions: readonly string[] }
  | { readonly unknown: readonly { readonly word: string; readonly nearest: string | undefined }[] } {
  const words = text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
  const unknown = words.filter((word) => regionsOf(word).length === 0);
  if (unknown.length > 0) return { unknown: unknown.map((word) => ({ word, nearest: nearest(word, REGION_WORDS) })) };
  return { regions: [...new Set(words.flatMap(regionsOf))] };
}
