import * as gcp from '@pulumi/gcp';
import type { Input, Output, Resource } from '@pulumi/pulumi';
import type { Ground } from './ground.ts';
import type { Identities } from './identities.ts';
import type { Network } from './network.ts';
import { type Part, readersOf, type Settings } from './settings.ts';

export type ControlPlane = { readonly web: gcp.cloudrunv2.Service; readonly gate: gcp.cloudrunv2.Service };

export type Surroundings = {
  readonly identities: Identities;
  readonly network: Network;
  readonly settings: Settings;
  /** `MAYFLY_PLATFORM`. */
  readonly described: Output<string>;
  /** The load balancer's address. */
  readonly ip: Output<string>;
  /** What has to be there before Mayfly can do its work. */
  readonly before: readonly Resource[];
};

type Env = {
  readonly name: string;
  readonly value?: Input<string>;
  readonly valueSource?: gcp.types.input.cloudrunv2.ServiceTemplateContainerEnvValueSource;
};

/** Where a request comes from that Google's load balancer passed on: its own ranges, and the neighbour in Cloud Run. */
const GOOGLE_PROXIES = ['130.211.0.0/22', '35.191.0.0/16', '169.254.0.0/16'];
const CONTROL_PORT = 3_000;
const GATE_PORT = 8_080;
/** The longest that Cloud Run lets a request take. */
const REQUEST_TIMEOUT = '3600s';

/** Mayfly itself: two services behind the load balancer, and a pool of workers that nobody can call. */
export function declareControlPlane(ground: Ground, around: Surroundings): ControlPlane {
  const web = declareService(ground, around, { part: 'web', roles: 'web', port: CONTROL_PORT, health: '/healthz', most: 3 });
  // What the gate finds in the database, web has made: its tables, and its role.
  const behindWeb = { ...around, before: [...around.before, web] };
  const gate = declareService(ground, behindWeb, { part: 'gate', roles: 'gate', port: GATE_PORT, health: null, most: 20 });
  declareWorkers(ground, around);
  return { web, gate };
}

type Wish = {
  readonly part: 'web' | 'gate';
  readonly roles: string;
  readonly port: number;
  readonly health: string | null;
  readonly most: number;
};

function declareService(ground: Ground, around: Surroundings, wish: Wish): gcp.cloudrunv2.Service {
  const { plan, labels, name, after } = ground;
  const { part, port, health } = wish;
  const probe = health === null ? { tcpSocket: { port } } : { httpGet: { path: health, port } };
  return new gcp.cloudrunv2.Service(
    `${part}-service`,
    {
      project: plan.project,
      name: name(`${part}-service`),
      location: plan.places.home,
      deletionProtection: false,
      // Only the load balancer gets through; whom Mayfly lets in, it decides itself.
      ingress: 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER',
      invokerIamDisabled: true,
      defaultUriDisabled: true,
      labels,
      template: {
        serviceAccount: around.identities.accounts[part].email,
        executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN2',
        labels,
        timeout: REQUEST_TIMEOUT,
        maxInstanceRequestConcurrency: 250,
        // A forge waits ten seconds for an answer, and a visitor less.
        scaling: { minInstanceCount: 1, maxInstanceCount: wish.most },
        vpcAccess: privately(around.network),
        containers: [
          {
            image: plan.mayfly.image,
            ports: { containerPort: port },
            envs: environment(ground, around, { part, roles: wish.roles }),
            resources: { limits: { cpu: '1', memory: '512Mi' }, cpuIdle: true, startupCpuBoost: true },
            startupProbe: { ...probe, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 60 },
          },
        ],
      },
    },
    after(...around.before, ...around.settings.readable),
  );
}

function declareWorkers(ground: Ground, around: Surroundings): void {
  const { plan, labels, name, after } = ground;
  const { workers } = plan.mayfly;
  new gcp.cloudrunv2.WorkerPool(
    'worker-pool',
    {
      project: plan.project,
      name: name('worker-pool'),
      location: plan.places.home,
      deletionProtection: false,
      labels,
      scaling: { manualInstanceCount: workers.count },
      template: {
        serviceAccount: around.identities.accounts.worker.email,
        labels,
        vpcAccess: privately(around.network),
        containers: [
          {
            image: plan.mayfly.image,
            envs: environment(ground, around, { part: 'worker', roles: 'worker,clock' }),
            // Pulumi's engine with Google's provider takes 400 MiB for each launch, and files of a container are memory as well.
            resources: { limits: { cpu: String(workers.cpu), memory: `${workers.memoryGb}Gi` } },
          },
        ],
      },
    },
    after(...around.before, ...around.settings.readable),
  );
}

const privately = ({ network, home }: Network) => ({
  egress: 'PRIVATE_RANGES_ONLY',
  networkInterfaces: [{ network: network.id, subnetwork: home.id }],
});

function environment({ plan }: Ground, around: Surroundings, { part, roles }: { readonly part: Part; readonly roles: string }): Env[] {
  const { hosts, places, mayfly, project, instance } = plan;
  const own: Readonly<Record<string, Input<string>>> = {
    MAYFLY_ROLES: roles,
    MAYFLY_TARGET: 'gcp',
    GOOGLE_CLOUD_PROJECT: project,
    MAYFLY_PLATFORM: around.described,
    MAYFLY_INSTANCE: instance,
    MAYFLY_REGION: places.regions[0] ?? places.home,
    MAYFLY_REGIONS: places.regions.join(','),
    MAYFLY_PUBLIC_URL: `https://${hosts.control}`,
    MAYFLY_PREVIEW_URL: `https://${hosts.previews}`,
    MAYFLY_TRUSTED_PROXIES: around.ip.apply((ip) => [...GOOGLE_PROXIES, `${ip}/32`].join(',')),
    ...(part === 'gate' ? { MAYFLY_GATE_PORT: String(GATE_PORT) } : {}),
  };
  return [
    ...Object.entries(own).map(([name, value]) => ({ name, value })),
    ...Object.entries(mayfly.settings)
      .filter(([name]) => readersOf(name).includes(part))
      .map(([name, value]) => ({ name, value })),
    ...around.settings.secrets
      .filter((setting) => setting.for.includes(part))
      .map(({ variable, secret, version }) => ({ name: variable, valueSource: { secretKeyRef: { secret, version } } })),
  ];
}
