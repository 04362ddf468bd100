// `gcp:cloudrunv2/*`, as @pulumi/gcp 9.37.0 has them.
import { z } from 'zod';
import { isObject } from './check.ts';
import { type GoogleCloud, shortName } from './cloud.ts';
import { GoogleError } from './faults.ts';
import { type Problem, problemsIn, sayable } from './inputs.ts';
import { InitFailed, insist, type Kind, type Properties, type State, spoken, type Waiting, waitFor } from './kind.ts';
import type { Pacer } from './pace.ts';
import { openProtos } from './protos.ts';
import { openRun, type Run } from './run.ts';
import type { Operation, Policy, RunService, ServiceWish } from './run-types.ts';
import { fromApi, type Spelling, toApi } from './spelling.ts';

const protos = openProtos('@google-cloud/run');
const SERVICE = protos.message('google.cloud.run.v2.Service');

const SPELLING: Spelling = {
  protos,
  words: {
    Service: { traffics: { api: 'traffic' }, terminalConditions: { api: 'terminalCondition', as: 'list' } },
    Container: {
      envs: { api: 'env' },
      commands: { api: 'command' },
      dependsOns: { api: 'dependsOn' },
      ports: { api: 'ports', as: 'one' },
    },
  },
};

/** What the provider keeps to itself or puts into the address. */
const OWN = z.strictObject({
  name: z.string().min(1),
  location: z.string().min(1),
  project: z.string().min(1),
  deletionProtection: z.boolean().default(true),
});
const OWN_KEYS = Object.keys(OWN.shape);

/** `in-state` is what newer versions of Google's provider do; what is in neither is nowhere to be found but with Google. */
export type FailedCreates = 'out-of-state' | 'in-state';

export type RunKindOptions = {
  /** Where a service is whose first revision fails. The versions of Google's provider differ. */
  readonly failedCreates?: FailedCreates;
};

/** The kinds of Cloud Run, for `openGcpProvider`. */
export function runKinds(cloud: GoogleCloud, { failedCreates = 'out-of-state' }: RunKindOptions = {}): Readonly<Record<string, Kind>> {
  const run = openRun(cloud);
  return {
    'gcp:cloudrunv2/service:Service': noted('service', cloud.pacer, serviceKind(run, cloud.pacer, failedCreates)),
    'gcp:cloudrunv2/serviceIamMember:ServiceIamMember': noted('invoker', cloud.pacer, iamMemberKind(run, cloud.pacer)),
  };
}

/** With a note of when the provider was at it. */
const noted = (what: string, { during }: Pacer, kind: Kind): Kind => ({
  ...kind,
  create: (...of) => during(`${what}.create`, 0, () => kind.create(...of)),
  update: (...of) => during(`${what}.update`, 0, () => kind.update(...of)),
});

/** A call to the API. */
const calling =
  ({ pace, during }: Pacer) =>
  <T>(deed: () => Promise<T> | T, waiting: Waiting): Promise<T> =>
    during('the provider’s call', pace.call, () => insist(deed, waiting));

const wished = z.looseObject({ template: z.looseObject({ containers: z.array(z.looseObject({ image: z.string() })) }) });

/** What is checked already, as the API takes it; the label says who made it. */
function toWish(inputs: Properties): ServiceWish {
  const { json } = toApi(SERVICE, withoutOwn(inputs), SPELLING);
  const wish = wished.parse(json);
  const labels = isObject(wish.labels) ? z.record(z.string(), z.string()).parse(wish.labels) : {};
  return { ...wish, labels: { ...labels, 'goog-pulumi-provisioned': 'true' } };
}

const ownOf = (inputs: State) => OWN.parse(Object.fromEntries(OWN_KEYS.flatMap((key) => (key in inputs ? [[key, inputs[key]]] : []))));
const withoutOwn = (inputs: State): State => Object.fromEntries(Object.entries(inputs).filter(([key]) => !OWN_KEYS.includes(key)));

function serviceKind(run: Run, pacer: Pacer, failedCreates: FailedCreates): Kind {
  const call = calling(pacer);
  const waitForEnd = (operation: Operation, doing: string, waiting: Waiting): Promise<string | undefined> =>
    waitFor(operation, doing, { ...waiting, look: pacer.pace.look });
  const stateOf = (service: RunService, inputs: Properties): State => {
    const { name, labels = {}, ...rest } = service;
    const said = isObject(inputs.labels) ? Object.keys(inputs.labels) : [];
    return {
      ...fromApi(SERVICE, rest, SPELLING),
      ...ownOf(inputs),
      name: shortName(name),
      labels: Object.fromEntries(Object.entries(labels).filter(([key]) => said.includes(key))),
      effectiveLabels: labels,
      pulumiLabels: labels,
      effectiveAnnotations: service.annotations ?? {},
    };
  };
  /** As the provider begins with what it imports: protected until the program says otherwise, of the labels none the program's. */
  const imported = (id: string): Properties => {
    const [, project = '', location = '', name = ''] = /^projects\/([^/]+)\/locations\/([^/]+)\/services\/([^/]+)$/.exec(id) ?? [];
    return { project, location, name, deletionProtection: true };
  };
  const nameOf = ({ project, location, name }: z.infer<typeof OWN>): string => `projects/${project}/locations/${location}/services/${name}`;
  return {
    check(inputs) {
      const own = OWN.safeParse(Object.fromEntries(OWN_KEYS.flatMap((key) => (key in inputs ? [[key, inputs[key]]] : []))));
      const wrong = own.success ? [] : own.error.issues.map(({ path, message }): Problem => ({ path: path.join('.'), reason: message }));
      const { json, problems } = toApi(SERVICE, withoutOwn(inputs), SPELLING);
      return [...wrong, ...problems, ...problemsIn(protos, SERVICE, json)];
    },
    isReplacing: (input) => ['name', 'location', 'project'].includes(input),
    async create(inputs, waiting) {
      const { project, location, name } = ownOf(inputs);
      const parent = `projects/${project}/locations/${location}`;
      const operation = await call(() => run.create(parent, name, toWish(inputs)), waiting).catch((error: unknown) => {
        throw new Error(plural(`Error creating Service: ${spoken(error)}`));
      });
      const id = `${parent}/services/${name}`;
      const failure = await waitForEnd(operation, 'Creating Service', waiting);
      if (failure === undefined) return { id, state: stateOf(await call(() => run.get(id), waiting), inputs) };
      const text = `Error waiting to create Service: ${failure}`;
      if (failedCreates === 'out-of-state') throw new Error(plural(text));
      throw new InitFailed(plural(text), { id, state: stateOf(run.get(id), inputs) });
    },
    async read(id, state, waiting) {
      try {
        return stateOf(await call(() => run.get(id), waiting), 'name' in state ? state : imported(id));
      } catch (error) {
        if (error instanceof GoogleError && error.status === 'NOT_FOUND') return undefined;
        throw new Error(plural(`Error when reading or editing CloudRunV2Service "${id}": ${spoken(error)}`));
      }
    },
    inputsOf(state) {
      const said = sayable(protos, SERVICE, toApi(SERVICE, withoutOwn(state), SPELLING).json);
      return { ...(isObject(said) ? fromApi(SERVICE, said, SPELLING) : {}), ...ownOf(state) };
    },
    async update(id, inputs, waiting) {
      if (nameOf(ownOf(inputs)) !== id) throw new Error(`an update of ${id} with another name`);
      const operation = await call(() => run.update(id, toWish(inputs)), waiting).catch((error: unknown) => {
        throw new Error(plural(`Error updating Service "${id}": ${spoken(error)}`));
      });
      const failure = await waitForEnd(operation, 'Updating Service', waiting);
      // The provider has written down by then what it was to do.
      if (failure !== undefined) throw new InitFailed(plural(failure), { id, state: stateOf(run.get(id), inputs) });
      return stateOf(await call(() => run.get(id), waiting), inputs);
    },
    async remove(id, state, waiting) {
      if (ownOf(state).deletionProtection) {
        throw new Error(plural('cannot destroy service without setting deletion_protection=false and running `pulumi up`'));
      }
      try {
        const failure = await waitForEnd(await call(() => run.remove(id), waiting), 'Deleting Service', waiting);
        if (failure !== undefined) throw new Error(failure);
      } catch (error) {
        // Gone is what was wanted.
        if (error instanceof GoogleError && error.status === 'NOT_FOUND') return;
        throw new Error(
          plural(error instanceof GoogleError ? `Error when reading or editing Service "${id}": ${spoken(error)}` : spoken(error)),
        );
      }
    },
  };
}

/** As the bridge between Terraform's providers and Pulumi prints them. */
const plural = (text: string): string => `1 error occurred:\n\t* ${text}\n\n`;

const membership = z.strictObject({
  name: z.string().min(1),
  location: z.string().min(1),
  project: z.string().min(1),
  role: z.string().regex(/^(?:roles|projects\/[^/]+\/roles|organizations\/[^/]+\/roles)\/[A-Za-z0-9_.]+$/),
  member: z.string().regex(/^(?:allUsers|allAuthenticatedUsers|(?:user|group|serviceAccount|domain|principal|principalSet):.+)$/),
});

function iamMemberKind(run: Run, pacer: Pacer): Kind {
  const call = calling(pacer);
  const { call: callMs, reread } = pacer.pace;
  const stateOf = (inputs: z.infer<typeof membership>, etag: string): State => ({ ...inputs, etag });
  const serviceOf = ({ project, location, name }: z.infer<typeof membership>): string =>
    `projects/${project}/locations/${location}/services/${name}`;
  const parse = ({ etag: _, ...inputs }: Properties) => membership.parse(inputs);
  /** Reads, changes, writes, and again when somebody was quicker. */
  const change = (service: string, alter: (bindings: Policy['bindings']) => Policy['bindings']): Policy => {
    for (let round = 1; ; round += 1) {
      try {
        const { bindings, etag } = run.getPolicy(service);
        return run.setPolicy(service, alter(bindings), etag);
      } catch (error) {
        if (!(error instanceof GoogleError && error.status === 'ABORTED') || round > 5) throw error;
      }
    }
  };
  return {
    check(inputs) {
      const parsed = membership.safeParse(inputs);
      return parsed.success ? [] : parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), reason: message }));
    },
    isReplacing: () => true,
    async create(inputs, waiting) {
      const wish = parse(inputs);
      const service = serviceOf(wish);
      try {
        // Read and written, read three times more to see that it lasts, and once for the state.
        const least = 2 * callMs + 3 * (reread + callMs) + callMs;
        const add = () => insist(() => change(service, (bindings) => withMember(bindings, wish)), waiting);
        const { etag } = await pacer.during('the provider’s grant', least, add);
        return { id: `${service}/${wish.role}/${wish.member}`, state: stateOf(wish, etag) };
      } catch (error) {
        const what = `Error applying IAM policy for cloudrunv2 service "${service}"`;
        throw new Error(plural(`${what}: Error setting IAM policy for cloudrunv2 service "${service}": ${spoken(error)}`));
      }
    },
    async read(_, state, waiting) {
      const wish = parse(state);
      try {
        const { bindings, etag } = await call(() => run.getPolicy(serviceOf(wish)), waiting);
        return bindings.some(({ role, members }) => role === wish.role && members.includes(wish.member)) ? stateOf(wish, etag) : undefined;
      } catch (error) {
        if (error instanceof GoogleError && error.status === 'NOT_FOUND') return undefined;
        throw new Error(plural(`Error when reading or editing Resource "cloudrunv2 service": ${spoken(error)}`));
      }
    },
    update: () => Promise.reject(new Error('a ServiceIamMember is never updated')),
    async remove(_, state, waiting) {
      const wish = parse(state);
      try {
        await call(() => change(serviceOf(wish), (bindings) => withoutMember(bindings, wish)), waiting);
      } catch (error) {
        if (error instanceof GoogleError && error.status === 'NOT_FOUND') return;
        throw new Error(plural(`Error when reading or editing Resource "cloudrunv2 service": ${spoken(error)}`));
      }
    },
  };
}

type Wish = { readonly role: string; readonly member: string };
const withMember = (bindings: Policy['bindings'], { role, member }: Wish): Policy['bindings'] => {
  const others = bindings.filter((one) => one.role !== role);
  const members = bindings.find((one) => one.role === role)?.members ?? [];
  return [...others, { role, members: [...new Set([...members, member])] }];
};
const withoutMember = (bindings: Policy['bindings'], { role, member }: Wish): Policy['bindings'] =>
  bindings.flatMap((one) => {
    const members = one.role === role ? one.members.filter((it) => it !== member) : one.members;
    return members.length === 0 ? [] : [{ role: one.role, members }];
  });
