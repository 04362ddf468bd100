import { CustomResource, type CustomResourceOptions, type Input, type Output, ProviderResource, secret } from '@pulumi/pulumi';
import { hashed, type Labels } from './labels.ts';

/** A database by the content of its seed: the same content keeps the same database, and what visitors wrote into it, over pushes. */
export type PlannedDatabase = { readonly seed: { readonly name: string; readonly file: string; readonly sha256: string } | null };

export type PlannedService = {
  readonly kind: 'process';
  /** `<site>/<revision>`. */
  readonly name: string;
  readonly folder: string;
  readonly cwd: string;
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  readonly port: number;
  readonly health: string;
  readonly idleMs: number;
};
export type PlannedFiles = { readonly kind: 'static'; readonly name: string; readonly folder: string };

/** One site on this machine, as plain values. `token` opens the provider for this one operation. */
export type LocalPlan = {
  readonly labels: Labels;
  readonly token: string;
  readonly database: PlannedDatabase | null;
  readonly served: PlannedService | PlannedFiles | null;
};

export const LOCAL_TYPES = {
  database: 'mayfly:local:Database',
  service: 'mayfly:local:Service',
  files: 'mayfly:local:Files',
} as const;

/** What a missing seed file is known by. */
export const NO_SEED = 'empty';

class Provider extends ProviderResource {
  constructor(token: string) {
    super('mayfly', 'mayfly', { token: secret(token) }, {});
  }
}

/** What nothing else depends on: a Service, or the Files of a static site. */
class Resource extends CustomResource {}

class Database extends CustomResource {
  declare readonly url: Output<string>;
  constructor(name: string, props: Record<string, Input<unknown>>, options: CustomResourceOptions) {
    super(LOCAL_TYPES.database, name, { ...props, url: undefined }, { ...options, additionalSecretOutputs: ['url'] });
  }
}

/**
 * The Pulumi program of one site on this machine. The provider behind it is Mayfly's own, attached to the engine for the operation.
 * A revision is not a resource of its own: a launch updates the one Service, whose update keeps the old process until `settle`.
 */
export function previewLocal(plan: LocalPlan): () => Promise<void> {
  return async () => {
    const provider = new Provider(plan.token);
    const { labels } = plan;
    const database = plan.database && declareDatabase(labels, plan.database, provider);
    if (plan.served?.kind === 'process') {
      const { kind: _, env, ...service } = plan.served;
      // Secret as a whole: people put keys into `env`, and the state is not the place to read them.
      const props = { ...labels, ...service, env: secret(env), databaseUrl: database ? database.url : null };
      new Resource(LOCAL_TYPES.service, 'site', props, { provider });
    }
    if (plan.served?.kind === 'static') {
      new Resource(LOCAL_TYPES.files, 'site', { ...labels, name: plan.served.name, folder: plan.served.folder }, { provider });
    }
  };
}

function declareDatabase(labels: Labels, wish: PlannedDatabase, provider: ProviderResource): Database {
  const content = wish.seed?.sha256 ?? NO_SEED;
  const props = { ...labels, content, seedName: wish.seed?.name ?? null, seedFile: wish.seed?.file ?? null };
  // The file's place may change from launch to launch, its content is the database's identity.
  return new Database(`db-${hashed(content, 8)}`, props, { provider, ignoreChanges: ['seedFile', 'seedName'] });
}
