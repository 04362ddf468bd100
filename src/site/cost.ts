/**
 * What Cloud Run charges for a service that is billed by requests: while at least one is being answered, for its processor and memory, and
 * for each request. Of https://cloud.google.com/run/pricing and /run/docs/locations, in US dollars, without the free tier of a month, which
 * the whole billing account shares, and without taxes, traffic, builds, images and databases.
 */
export const PRICES = {
  asOf: '2025-09-04',
  perVcpuSecond: { 1: 0.000_024, 2: 0.000_033_6 },
  perGibSecond: { 1: 0.000_002_5, 2: 0.000_003_5 },
  perMillionRequests: 0.4,
} as const;

/** All others are of the second, dearer tier, also those that are newer than the table. */
const TIER_1: readonly string[] = [
  'asia-east1',
  'asia-northeast1',
  'asia-northeast2',
  'europe-north1',
  'europe-southwest1',
  'europe-west1',
  'europe-west4',
  'europe-west8',
  'europe-west9',
  'me-west1',
  'us-central1',
  'us-east1',
  'us-east4',
  'us-east5',
  'us-south1',
  'us-west1',
];

/** What one instance of a site has; the limits of its service in infra/preview-gcp.ts. */
export const INSTANCE = { vcpu: 1, gib: 0.5 } as const;
const HOUR_S = 3_600;

/** How much of its time a site has spent on answering, as the gate saw it, and how many requests there were. */
export type Usage = { readonly busyMs: number; readonly requests: number };
export const NO_USAGE: Usage = { busyMs: 0, requests: 0 };

/** In US dollars. */
export type Cost = {
  /** An hour in which nobody asks for anything: Cloud Run charges nothing for a service that sleeps. */
  readonly asleepPerHour: number;
  /** An hour in which it answers all the time, with one instance. */
  readonly awakePerHour: number;
  readonly soFar: number;
};

/** An estimate: starts that nobody waited for, and second instances, are not in it. */
export function costOf(region: string, { busyMs, requests }: Usage): Cost {
  const tier = TIER_1.includes(region) ? 1 : 2;
  const perSecond = INSTANCE.vcpu * PRICES.perVcpuSecond[tier] + INSTANCE.gib * PRICES.perGibSecond[tier];
  const soFar = (busyMs / 1_000) * perSecond + (requests / 1_000_000) * PRICES.perMillionRequests;
  return { asleepPerHour: 0, awakePerHour: perSecond * HOUR_S, soFar };
}

/** `nothing`, `less than $0.01`, `about $0.13`, `about $12.30`. */
export function dollars(amount: number): string {
  if (amount === 0) return 'nothing';
  return amount < 0.01 ? 'less than $0.01' : `about $${amount.toFixed(2)}`;
}
