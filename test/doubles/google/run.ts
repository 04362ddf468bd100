// Cloud Run's Admin API v2 over the shared state: what the Pulumi provider and the HTTP stand-in both call.
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { type GoogleCloud, regionOf, shortName } from './cloud.ts';
import { CODES, GoogleError, type GoogleFault } from './faults.ts';
import { whatIsWrong } from './run-rules.ts';
import {
  type Condition,
  type Operation,
  type Policy,
  type Revision,
  RevisionFailure,
  type RunService,
  type ServiceWish,
} from './run-types.ts';

export interface Run {
  /** Takes the wish and answers at once; the operation ends when the first revision is ready or has failed. The service stays either way. */
  create(parent: string, serviceId: string, wish: ServiceWish): Promise<Operation>;
  /** A changed template is a new revision. While it is not ready the old one serves, for good if it fails. */
  update(name: string, wish: ServiceWish): Promise<Operation>;
  /** While the operation runs the name is taken. */
  remove(name: string): Promise<Operation>;
  get(name: string): RunService;
  list(parent: string): readonly RunService[];
  revisionsOf(service: string): readonly Revision[];
  getPolicy(name: string): Policy;
  setPolicy(name: string, bindings: Policy['bindings'], etag?: string): Policy;
  operation(name: string): Operation;
}

/** Cloud Run of the project. Every verb throws GoogleError as the API refuses. */
export function openRun(cloud: GoogleCloud): Run {
  const { services, policies, operations, faults, pacer } = cloud;
  const creator = `mayfly@${cloud.project}.iam.gserviceaccount.com`;

  const admit = (permission: string, name: string): GoogleFault | undefined => {
    const region = regionOf(name);
    faults.check(region);
    if (faults.isWithheld(permission)) {
      throw new GoogleError('PERMISSION_DENIED', `Permission '${permission}' denied on resource '${name}' (or resource may not exist).`);
    }
    const fault = faults.take(permission);
    if (fault?.kind === 'refuse') throw new GoogleError(fault.status, fault.message ?? fault.status);
    return fault;
  };
  const find = (name: string): RunService => {
    const service = services.get(name);
    if (service) return service;
    throw new GoogleError(
      'NOT_FOUND',
      `Resource '${shortName(name)}' of kind 'SERVICE' in region '${regionOf(name)}' in project '${cloud.project}' does not exist.`,
    );
  };
  const put = (service: RunService): RunService => {
    services.set(service.name, service);
    return service;
  };

  const deleting = new Map<string, Operation>();

  /** Starts what the operation waits for; it ends by itself. */
  const operate = (name: string, fault: GoogleFault | undefined, deed: () => Promise<void>): Operation => {
    const ended = Promise.withResolvers<void>();
    const operation: Operation = {
      name: `projects/${cloud.project}/locations/${regionOf(name)}/operations/${randomUUID()}`,
      metadata: { '@type': 'type.googleapis.com/google.cloud.run.v2.Service', ...services.get(name) },
      done: false,
      ended: ended.promise,
    };
    operations.set(operation.name, operation);
    if (fault?.kind === 'hang') return operation;
    const work = async (): Promise<void> => {
      await deed();
      if (fault?.kind === 'fail') throw new RevisionFailure(fault.message, { code: CODES[fault.status].code });
    };
    void work()
      .then(
        () => {
          operation.response = { '@type': 'type.googleapis.com/google.cloud.run.v2.Service', ...services.get(name) };
        },
        (error: unknown) => {
          operation.error = {
            code: error instanceof RevisionFailure ? error.code : CODES.INTERNAL.code,
            message: error instanceof Error ? error.message : String(error),
          };
        },
      )
      .finally(() => {
        operation.done = true;
        ended.resolve();
      });
    return operation;
  };

  /** The revision's service, unless a later one is under way by now or the service is gone. */
  const newest = ({ name }: Revision): RunService | undefined => {
    const service = services.get(name.slice(0, name.indexOf('/revisions/')));
    return service?.latestCreatedRevision === name ? service : undefined;
  };

  /** Makes a revision of the service's template, and moves the traffic to it once it is ready. */
  const roll = async (name: string, number: number): Promise<void> => {
    const revision = makeRevision(cloud, find(name), number);
    put({ ...find(name), latestCreatedRevision: revision.name, reconciling: true });
    try {
      if (revision.template.containers[0] && !isKnown(cloud, revision.template.containers[0].image)) {
        throw new RevisionFailure(`Image '${revision.template.containers[0].image}' not found.`, { code: 5, reason: 'CONTAINER_MISSING' });
      }
      await pacer.during('revision', 0, async () => {
        await delay(pacer.pace.revision);
        await cloud.runner.onRevision(find(name), revision);
      });
    } catch (error) {
      const { message, reason, code } =
        error instanceof RevisionFailure ? error : new RevisionFailure(String(error), { reason: 'INTERNAL', code: 13 });
      const whole = `Revision '${shortName(revision.name)}' is not ready and cannot serve traffic. ${message}`;
      settle(revision, failed(cloud, 'Ready', whole, reason));
      const service = newest(revision);
      if (service) put(conclude(service, failed(cloud, 'Ready', whole, 'REVISION_FAILED'), service.latestReadyRevision));
      throw new RevisionFailure(whole, { code, reason });
    }
    settle(revision, succeeded(cloud, 'Ready'));
    const service = newest(revision);
    if (service) put(conclude(service, succeeded(cloud, 'Ready'), revision.name));
  };
  const settle = (revision: Revision, condition: Condition): void => {
    cloud.revisions.set(revision.name, { ...revision, conditions: [condition] });
  };

  return {
    async create(parent, serviceId, wish) {
      const name = `${parent}/services/${serviceId}`;
      const fault = admit('run.services.create', name);
      if (services.has(name)) throw new GoogleError('ALREADY_EXISTS', `Resource '${serviceId}' already exists.`);
      const there = [...services.keys()].filter((one) => regionOf(one) === regionOf(name)).length;
      if (there >= cloud.quotas.servicesPerRegion) {
        throw new GoogleError(
          'RESOURCE_EXHAUSTED',
          `Quota exceeded for total allowable count of Services per project per region, limit ${cloud.quotas.servicesPerRegion}.`,
        );
      }
      refuseWrong(serviceId, wish);
      mayActAs(cloud, wish);
      const at = cloud.now().toISOString();
      const pending: Condition = { type: 'Ready', state: 'CONDITION_RECONCILING', lastTransitionTime: at };
      const made: RunService = {
        ...withDefaults(wish),
        name,
        uid: randomUUID(),
        generation: '1',
        observedGeneration: '1',
        createTime: at,
        updateTime: at,
        creator,
        lastModifier: creator,
        uri: '',
        urls: [],
        terminalCondition: pending,
        conditions: [pending],
        latestCreatedRevision: '',
        trafficStatuses: [],
        reconciling: true,
        etag: newEtag(),
      };
      put(made);
      const uri = await cloud.runner.address(made);
      put({ ...made, uri, urls: [uri] });
      return answered(
        fault,
        operate(name, fault, () => roll(name, 1)),
      );
    },
    async update(name, wish) {
      const fault = admit('run.services.update', name);
      const before = find(name);
      if (before.deleteTime) throw new GoogleError('FAILED_PRECONDITION', `Resource '${shortName(name)}' is being deleted.`);
      if (typeof wish.etag === 'string' && wish.etag !== before.etag) {
        throw new GoogleError(
          'ABORTED',
          `Conflict for resource '${shortName(name)}': version '${wish.etag}' was specified but current version is '${before.etag}'.`,
        );
      }
      refuseWrong(shortName(name), wish);
      mayActAs(cloud, wish);
      const generation = String(Number(before.generation) + 1);
      const { etag: _, ...said } = withDefaults(wish);
      const { uid, createTime, creator: maker, uri, urls, terminalCondition, conditions, latestReadyRevision } = before;
      put({
        // Whatever an update does not say is as if it had never been said.
        ...said,
        ...{ name, uid, createTime, creator: maker, uri, urls, terminalCondition, conditions },
        ...(latestReadyRevision === undefined ? {} : { latestReadyRevision }),
        latestCreatedRevision: before.latestCreatedRevision,
        trafficStatuses: before.trafficStatuses,
        generation,
        observedGeneration: generation,
        updateTime: cloud.now().toISOString(),
        lastModifier: creator,
        etag: newEtag(),
        reconciling: true,
      });
      const isSameTemplate = isDeepStrictEqual(before.template, said.template);
      const number = revisionsOf(cloud, name).length + 1;
      const deed = isSameTemplate
        ? async () => void put(conclude(find(name), before.terminalCondition, before.latestReadyRevision))
        : () => roll(name, number);
      return answered(fault, operate(name, fault, deed));
    },
    async remove(name) {
      const fault = admit('run.services.delete', name);
      const running = find(name).deleteTime === undefined ? undefined : deleting.get(name);
      if (running) return answered(fault, running);
      const service = put({ ...find(name), deleteTime: cloud.now().toISOString(), reconciling: true });
      const deed = async (): Promise<void> => {
        await pacer.during('removal', pacer.pace.removal, () => cloud.runner.onDelete(service));
        services.delete(name);
        policies.delete(name);
        for (const { name: revision } of revisionsOf(cloud, name)) cloud.revisions.delete(revision);
      };
      const operation = operate(name, fault, deed);
      if (fault?.kind !== 'hang') deleting.set(name, operation);
      return answered(fault, operation);
    },
    get(name) {
      admit('run.services.get', name);
      return find(name);
    },
    list(parent) {
      admit('run.services.list', `${parent}/services/-`);
      return [...services.values()].filter((one) => parent.endsWith('/-') || one.name.startsWith(`${parent}/`));
    },
    revisionsOf(service) {
      admit('run.revisions.list', service);
      return revisionsOf(cloud, service);
    },
    getPolicy(name) {
      admit('run.services.getIamPolicy', name);
      find(name);
      return policies.get(name) ?? { version: 1, bindings: [], etag: 'BwAAAAAAAAA=' };
    },
    setPolicy(name, bindings, etag) {
      admit('run.services.setIamPolicy', name);
      find(name);
      const before = policies.get(name);
      if (etag !== undefined && before && before.etag !== etag) {
        throw new GoogleError(
          'ABORTED',
          'There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff.',
        );
      }
      for (const member of bindings.flatMap(({ members }) => members)) mayBeGranted(cloud, member);
      const policy = { version: 1, bindings, etag: randomBytes(8).toString('base64') };
      policies.set(name, policy);
      return policy;
    },
    operation(name) {
      const operation = operations.get(name);
      if (!operation) throw new GoogleError('NOT_FOUND', `Operation '${name}' not found.`);
      return operation;
    },
  };
}

function refuseWrong(serviceId: string, wish: ServiceWish): void {
  const wrong = whatIsWrong(serviceId, wish);
  if (wrong.length > 0) throw new GoogleError('INVALID_ARGUMENT', `Violation in Service: ${wrong.join('; ')}`);
}

/** What the API adds to what was said. */
function withDefaults(wish: ServiceWish): ServiceWish {
  const { template } = wish;
  return {
    ingress: 'INGRESS_TRAFFIC_ALL',
    launchStage: 'GA',
    invokerIamDisabled: false,
    traffic: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }],
    ...wish,
    template: {
      timeout: '300s',
      maxInstanceRequestConcurrency: 80,
      ...template,
      containers: template.containers.map((container) => ({
        ...container,
        ports: (container.ports ?? [{ containerPort: 8080 }]).map((port) => ({ name: 'http1', ...port })),
        resources: { cpuIdle: true, ...container.resources, limits: { cpu: '1', memory: '512Mi', ...container.resources?.limits } },
        startupProbe: container.startupProbe ?? {
          timeoutSeconds: 240,
          periodSeconds: 240,
          failureThreshold: 1,
          tcpSocket: { port: container.ports?.[0]?.containerPort ?? 8080 },
        },
      })),
    },
  };
}

const newEtag = (): string => `"${randomBytes(9).toString('base64')}"`;

/** Done, but nobody hears of it. */
function answered(fault: GoogleFault | undefined, operation: Operation): Operation {
  if (fault?.kind === 'lose') throw new GoogleError('UNAVAILABLE', 'The connection was reset.');
  return operation;
}

const isKnown = (cloud: GoogleCloud, image: string): boolean => cloud.images.has(image);

const revisionsOf = ({ revisions }: GoogleCloud, service: string): readonly Revision[] =>
  [...revisions.values()].filter(({ name }) => name.startsWith(`${service}/revisions/`));

function makeRevision(cloud: GoogleCloud, service: RunService, number: number): Revision {
  const suffix = randomBytes(8)
    .toString('base64')
    .replaceAll(/[^a-z]/g, '')
    .padEnd(3, 'x')
    .slice(0, 3);
  const revision: Revision = {
    name: `${service.name}/revisions/${shortName(service.name)}-${String(number).padStart(5, '0')}-${suffix}`,
    uid: randomUUID(),
    generation: '1',
    createTime: cloud.now().toISOString(),
    service: shortName(service.name),
    template: service.template,
    conditions: [],
  };
  cloud.revisions.set(revision.name, revision);
  return revision;
}

const succeeded = (cloud: GoogleCloud, type: string): Condition => ({
  type,
  state: 'CONDITION_SUCCEEDED',
  lastTransitionTime: cloud.now().toISOString(),
});
const failed = (cloud: GoogleCloud, type: string, message: string, reason: string): Condition => ({
  type,
  state: 'CONDITION_FAILED',
  message,
  lastTransitionTime: cloud.now().toISOString(),
  severity: 'ERROR',
  ...(reason.startsWith('HEALTH_CHECK') ? { revisionReason: reason } : { reason }),
});

const conclude = (service: RunService, condition: Condition, ready: string | undefined): RunService => ({
  ...service,
  reconciling: false,
  terminalCondition: condition,
  conditions: [condition, { ...condition, type: 'RoutesReady' }, { ...condition, type: 'ConfigurationsReady' }],
  ...(ready === undefined
    ? {}
    : { latestReadyRevision: ready, trafficStatuses: [{ type: 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST', percent: 100 }] }),
});

/** Who deploys must be allowed to act as the account that the service runs as, which must be there. */
function mayActAs({ accounts, faults }: GoogleCloud, { template: { serviceAccount = '' } }: ServiceWish): void {
  if (accounts.has(serviceAccount) && !faults.isWithheld('iam.serviceaccounts.actAs')) return;
  throw new GoogleError(
    'PERMISSION_DENIED',
    `Permission 'iam.serviceaccounts.actAs' denied on service account ${serviceAccount} (or it may not exist).`,
  );
}

function mayBeGranted({ accounts }: GoogleCloud, member: string): void {
  if (['allUsers', 'allAuthenticatedUsers'].includes(member)) return;
  const [kind, email = ''] = member.split(':');
  if (kind !== 'serviceAccount' || !accounts.has(email)) {
    throw new GoogleError('INVALID_ARGUMENT', `Service account ${email} does not exist.`);
  }
}
