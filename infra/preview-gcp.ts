import { Service, type ServiceArgs } from '@pulumi/gcp/cloudrunv2/service.js';
import { ServiceIamMember } from '@pulumi/gcp/cloudrunv2/serviceIamMember.js';
import { Provider as GoogleProvider } from '@pulumi/gcp/provider.js';
import { CustomResource, type CustomResourceOptions, type Input, type Output, output, ProviderResource, secret } from '@pulumi/pulumi';
import { gcpLabels, gcpServiceName, hashed, INVOKER, type Labels } from './labels.ts';
import { NO_SEED, type PlannedDatabase } from './preview-local.ts';

/** One site on Google Cloud, as plain values. `token` opens Mayfly's own provider for this one operation. */
export type GcpPlan = {
  readonly labels: Labels;
  readonly token: string;
  readonly project: string;
  readonly region: string;
  readonly database: PlannedDatabase | null;
  readonly service: GcpService;
};
export type GcpService = {
  readonly revision: string;
  readonly port: number;
  /** The path that answers 2xx or 3xx once the app is up. */
  readonly health: string;
  readonly env: Readonly<Record<string, string>>;
  /** The account that the app is, which may do nothing. */
  readonly runAs: string;
  /** The account that alone may call the site. */
  readonly gate: string;
  readonly network: string;
  readonly subnetwork: string;
  /** Full name of the service that is there and that the state does not know, to be taken into it; null: it is made, or known. */
  readonly adopting: string | null;
};

export const GCP_TYPES = { database: 'mayfly:gcp:Database', image: 'mayfly:gcp:Image' } as const;

/** Twice 60: as long as an app has on a machine of one's own. Cloud Run allows four minutes. */
const STARTUP = { initialDelaySeconds: 0, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 60 };
/** Every probe is paid for like a request. */
const LIVENESS = { initialDelaySeconds: 0, periodSeconds: 60, timeoutSeconds: 10, failureThreshold: 3 };
/** The start probe's two minutes, and pulling the image. Google's provider would wait for 20. */
const PATIENCE = { create: '6m', update: '6m', delete: '6m' };
/** Cloud Run sets these itself and refuses a service that does. */
const RESERVED: readonly string[] = ['PORT', 'K_SERVICE', 'K_REVISION', 'K_CONFIGURATION'];

class MayflyProvider extends ProviderResource {
  constructor(token: string) {
    super('mayfly', 'mayfly', { token: secret(token) }, {});
  }
}

class Image extends CustomResource {
  declare readonly image: Output<string>;
  constructor(props: Record<string, Input<unknown>>, options: CustomResourceOptions) {
    super(GCP_TYPES.image, 'image', { ...props, image: undefined }, options);
  }
}

class Database extends CustomResource {
  declare readonly url: Output<string>;
  constructor(name: string, props: Record<string, Input<unknown>>, options: CustomResourceOptions) {
    super(GCP_TYPES.database, name, { ...props, url: undefined }, { ...options, additionalSecretOutputs: ['url'] });
  }
}

/**
 * The Pulumi program of one site on Google Cloud. Its image and its database are resources of Mayfly's own provider, so that the database
 * is made while the image is built. Whoever builds is behind the image: the program waits for it.
 */
export function previewGcp(plan: GcpPlan): () => Promise<void> {
  return async () => {
    const { labels, region } = plan;
    const mayfly = new MayflyProvider(plan.token);
    // Ours and not the default one, which the state would keep at the version that once made the site.
    const google = new GoogleProvider('gcp', { project: plan.project });
    const database = plan.database && declareDatabase(plan, plan.database, mayfly);
    const { revision, adopting } = plan.service;
    const { image } = new Image({ ...labels, region, revision }, { provider: mayfly });
    // By region: one that moves is made in the other region before it goes from the first.
    const service = new Service(`site-${region}`, serviceArgs(plan, plan.service, { image, databaseUrl: database?.url }), {
      provider: google,
      customTimeouts: PATIENCE,
      // Read as it is, and then changed like one that was known: no visitor notices. Until that has succeeded the state has what was read
      // in the clear, the environment too, and is dropped when it fails: src/provision/targets/gcp/deploy.ts.
      ...(adopting !== null && { import: adopting }),
    });
    declareInvoker(plan.service.gate, service, { name: `gate-${region}`, provider: google });
  };
}

function declareDatabase({ labels, region }: GcpPlan, wish: PlannedDatabase, provider: ProviderResource): Database {
  const content = wish.seed?.sha256 ?? NO_SEED;
  const props = { ...labels, region, content, seedName: wish.seed?.name ?? null, seedFile: wish.seed?.file ?? null };
  // Region and content are the database's identity; where the seed lies is taken anew from each launch, which may have to make it again.
  return new Database(`db-${hashed(`${region}/${content}`, 8)}`, props, { provider });
}

/** Nobody else is granted anything, so that the service's own address answers the gate alone. */
function declareInvoker(gate: string, service: Service, { name, provider }: { name: string; provider: ProviderResource }): void {
  new ServiceIamMember(
    name,
    {
      project: service.project,
      location: service.location,
      name: service.name,
      role: INVOKER,
      member: `serviceAccount:${gate}`,
    },
    // What is granted on a service goes with it; taking it away first could fail on one that is gone.
    { provider, deletedWith: service },
  );
}

type Needed = { readonly image: Output<string>; readonly databaseUrl: Output<string> | undefined };

function serviceArgs({ labels, project, region }: GcpPlan, wish: GcpService, needed: Needed): ServiceArgs {
  const worn = gcpLabels(labels);
  return {
    name: gcpServiceName(labels),
    project,
    location: region,
    labels: worn,
    deletionProtection: false,
    ingress: 'INGRESS_TRAFFIC_ALL',
    invokerIamDisabled: false,
    template: {
      // Every launch is a revision of its own, also when nothing else changed.
      labels: { ...worn, 'mayfly-revision': wish.revision.toLowerCase() },
      serviceAccount: wish.runAs,
      executionEnvironment: 'EXECUTION_ENVIRONMENT_GEN2',
      scaling: { minInstanceCount: 0, maxInstanceCount: 2 },
      timeout: '300s',
      containers: [
        {
          image: needed.image,
          ports: { containerPort: wish.port },
          envs: environment(wish.env, needed.databaseUrl),
          // Said because `resources` is: without it the processor would be paid for while nobody calls.
          resources: { limits: { cpu: '1', memory: '512Mi' }, cpuIdle: true, startupCpuBoost: true },
          startupProbe: { ...STARTUP, httpGet: { path: wish.health, port: wish.port } },
          livenessProbe: { ...LIVENESS, httpGet: { path: wish.health, port: wish.port } },
        },
      ],
      ...(needed.databaseUrl && { vpcAccess: privateEgress(wish) }),
    },
  };
}

/** Straight into the private network, for what is there alone: the database. */
const privateEgress = ({ network, subnetwork }: GcpService) => ({
  egress: 'PRIVATE_RANGES_ONLY',
  networkInterfaces: [{ network, subnetwork }],
});

/** Secret as a whole: people put keys into `env`, and the state is not the place to read them. */
function environment(env: GcpService['env'], databaseUrl: Output<string> | undefined) {
  const said = { HOST: '0.0.0.0', ...env };
  const plain = Object.entries(said).filter(([name]) => !RESERVED.includes(name) && !(databaseUrl && name === 'DATABASE_URL'));
  const all: readonly { name: string; value: Input<string> }[] = [
    ...plain.map(([name, value]) => ({ name, value })),
    ...(databaseUrl ? [{ name: 'DATABASE_URL', value: databaseUrl }] : []),
  ];
  return secret(output(all.toSorted((one, other) => (one.name < other.name ? -1 : 1))));
}
