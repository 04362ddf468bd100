import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Asked at each scrape; a source that fails or takes over a second leaves its gauge out, the rest is still told. */
export type Gauges = {
  /** Sites by status. */
  readonly sites: () => Promise<Readonly<Record<string, number>>>;
  /** Waiting, delayed and active jobs by queue. */
  readonly queues: () => Promise<Readonly<Record<string, number>>>;
};

export type DeliveryOutcome =
  | 'stored'
  | 'again'
  | 'handled'
  | 'conflict'
  | 'unwanted'
  | 'not-allowed'
  | 'bad-signature'
  | 'bad-request'
  | 'refused'
  | 'unavailable';

export interface Metrics {
  /** One more webhook at the door. */
  delivered(forge: string, outcome: DeliveryOutcome): void;
  /** A stored delivery's end. */
  intook(outcome: 'handled' | 'dead'): void;
  /** A launch came to its end; `code` is the problem's, or `none`. */
  launched(outcome: string, code: string): void;
  staged(stage: string, ms: number): void;
  reported(outcome: 'said' | 'unchanged' | 'refused' | 'failed'): void;
  /** Something that reconcile found to differ. */
  found(kind: string): void;
  /** `route` is a pattern, never a path: paths have no end. */
  answered(request: { readonly route: string; readonly method: string; readonly status: number; readonly ms: number }): void;
  /** Prometheus text. */
  text(): Promise<string>;
  readonly contentType: string;
}

const SCRAPE_MS = 1_000;
const STAGE_SECONDS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 45, 90, 180, 450, 900];
const HTTP_SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 10];

/** Metrics in a registry of their own, so that two Mayflys in one process do not mix. */
export function createMetrics(gauges: Gauges): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Counter({ name, help, labelNames: [...labelNames], registers });
  const deliveries = counter('mayfly_deliveries_total', 'Webhook deliveries by outcome.', ['forge', 'outcome']);
  const intakes = counter('mayfly_intakes_total', 'Stored deliveries by how they ended.', ['outcome']);
  const launches = counter('mayfly_launches_total', 'Launches by outcome and problem.', ['outcome', 'code']);
  const reports = counter('mayfly_reports_total', 'Reports to the forge by outcome.', ['outcome']);
  const findings = counter('mayfly_reconcile_findings_total', 'Differences that reconcile found.', ['kind']);
  const histogram = <T extends string>(name: string, help: string, options: { labelNames: readonly T[]; buckets: number[] }) =>
    new Histogram({ name, help, labelNames: [...options.labelNames], buckets: options.buckets, registers });
  const stages = histogram('mayfly_launch_stage_seconds', 'Seconds in each stage of a launch.', {
    labelNames: ['stage'],
    buckets: STAGE_SECONDS,
  });
  const http = histogram('mayfly_http_request_seconds', 'Seconds to answer a request to the control plane.', {
    labelNames: ['route', 'method', 'status'],
    buckets: HTTP_SECONDS,
  });
  addGauge(registry, { name: 'mayfly_sites', help: 'Sites by status.', label: 'status', read: gauges.sites });
  addGauge(registry, { name: 'mayfly_queue_jobs', help: 'Jobs that wait, are delayed or run.', label: 'queue', read: gauges.queues });
  return {
    contentType: registry.contentType,
    text: () => registry.metrics(),
    delivered: (forge, outcome) => deliveries.inc({ forge, outcome }),
    intook: (outcome) => intakes.inc({ outcome }),
    launched: (outcome, code) => launches.inc({ outcome, code }),
    staged: (stage, ms) => stages.observe({ stage }, ms / 1_000),
    reported: (outcome) => reports.inc({ outcome }),
    found: (kind) => findings.inc({ kind }),
    answered: ({ route, method, status, ms }) => http.observe({ route, method, status }, ms / 1_000),
  };
}

type Source = {
  readonly name: string;
  readonly help: string;
  readonly label: string;
  readonly read: () => Promise<Readonly<Record<string, number>>>;
};

function addGauge(registry: Registry, { name, help, label, read }: Source): void {
  const gauge = new Gauge({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    async collect() {
      gauge.reset();
      for (const [key, value] of Object.entries(await soon(read))) gauge.set({ [label]: key }, value);
    },
  });
}

async function soon(read: () => Promise<Readonly<Record<string, number>>>): Promise<Readonly<Record<string, number>>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Readonly<Record<string, number>>>((resolve) => {
    timer = setTimeout(resolve, SCRAPE_MS, {});
  });
  try {
    return await Promise.race([read(), late]);
  } catch {
    // A scrape must not fail with the database: that it is away is exactly what the other metrics have to tell.
    return {};
  } finally {
    clearTimeout(timer);
  }
}
