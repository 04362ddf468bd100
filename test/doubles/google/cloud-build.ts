import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { type Api, pageOf, unknownTo } from './asked.ts';
import type { BuildFloor } from './build-floor.ts';
import type { GoogleCloud } from './cloud.ts';
import { GoogleError } from './faults.ts';
import { parseFilter, type Read } from './filter.ts';
import { Step } from './machine.ts';
import { operationJson } from './operations.ts';
import { type Call, openRest } from './rest.ts';
import type { Json, Operation } from './run-types.ts';

/** What is known here of a build that is asked for; more is a mistake, or something for the stand-in to learn. */
const Wish = z.strictObject({
  source: z.strictObject({ storageSource: z.strictObject({ bucket: z.string(), object: z.string(), generation: z.string().optional() }) }),
  steps: z.array(Step).min(1).max(300),
  timeout: z.string().default('3600s'),
  queueTtl: z.string().default('3600s'),
  serviceAccount: z.string(),
  options: z.strictObject({ logging: z.enum(['CLOUD_LOGGING_ONLY', 'NONE']).optional() }).default({}),
  tags: z.array(z.string()).max(64).default([]),
  substitutions: z.record(z.string(), z.string()).default({}),
});
export type Wish = z.infer<typeof Wish>;
const Create = z.strictObject({ parent: z.string(), build: z.unknown() });
const Named = z.strictObject({ name: z.string() });
const List = z.strictObject({
  parent: z.string(),
  pageSize: z.coerce.number().int().optional(),
  pageToken: z.string().optional(),
  filter: z.string().optional(),
});

export type BuildStatus = 'QUEUED' | 'WORKING' | 'SUCCESS' | 'FAILURE' | 'INTERNAL_ERROR' | 'TIMEOUT' | 'CANCELLED' | 'EXPIRED';
export type StepNow = Step & { readonly status?: BuildStatus; readonly exitCode?: number };
/** `google.devtools.cloudbuild.v1.Build`. */
export type BuildNow = Omit<Wish, 'steps'> & {
  readonly name: string;
  readonly id: string;
  readonly projectId: string;
  readonly status: BuildStatus;
  readonly statusDetail?: string;
  readonly failureInfo?: { readonly type: string; readonly detail: string };
  readonly createTime: string;
  readonly startTime?: string;
  readonly finishTime?: string;
  readonly steps: readonly StepNow[];
  readonly results?: Json;
  readonly logUrl: string;
};
export const isOver = ({ status }: BuildNow): boolean => status !== 'QUEUED' && status !== 'WORKING';

const USUAL = 20;
const MOST = 1000;
const BUILTIN = ['PROJECT_ID', 'PROJECT_NUMBER', 'BUILD_ID', 'LOCATION', 'SERVICE_ACCOUNT', 'SERVICE_ACCOUNT_EMAIL'];

export type CloudBuildOptions = {
  readonly cloud: GoogleCloud;
  readonly floor: BuildFloor;
  /** Regions in which this project may not build. */
  readonly restricted: ReadonlySet<string>;
};

/** Cloud Build: takes builds, and has them really done. */
export function openCloudBuild({ cloud, floor, restricted }: CloudBuildOptions): Api {
  /** In the state they are under the project's id, whichever of its two names was used. */
  const keyOf = (name: string): string => name.replace(/^projects\/[^/]+/, `projects/${cloud.project}`);
  const buildAt = (name: string): BuildNow => {
    const found = floor.builds.get(keyOf(name));
    if (!found) throw new GoogleError('NOT_FOUND', 'Requested entity was not found.');
    return found;
  };
  const create = (request: Json, call: Call): Json => {
    const { parent, build } = Create.parse(request);
    const wish = Wish.safeParse(build);
    if (!wish.success) throw unknownTo(cloud, `a build with ${wish.error.message}`);
    const region = parent.split('/')[3] ?? '';
    refuse(cloud, wish.data, restricted.has(region));
    const id = randomUUID();
    const { steps, ...own } = wish.data;
    const now: BuildNow = {
      ...own,
      steps: steps.map((step) =>
        withSubstitutions(step, { ...wish.data.substitutions, BUILD_ID: id, PROJECT_ID: cloud.project, LOCATION: region }),
      ),
      name: `projects/${cloud.projectNumber}/locations/${region}/builds/${id}`,
      id,
      projectId: cloud.project,
      status: 'QUEUED',
      createTime: cloud.now().toISOString(),
      logUrl: `https://console.cloud.google.com/cloud-build/builds;region=${region}/${id}?project=${cloud.projectNumber}`,
    };
    return operationJson(operationOf(cloud, floor, floor.take(now, call.later)));
  };
  return openRest({
    cloud,
    library: '@google-cloud/cloudbuild',
    service: 'google.devtools.cloudbuild.v1.CloudBuild',
    host: 'cloudbuild.googleapis.com',
    denied: () => 'The caller does not have permission',
    verbs: {
      CreateBuild: { permission: 'cloudbuild.builds.create', answer: create },
      GetBuild: { permission: 'cloudbuild.builds.get', answer: (request) => buildJson(buildAt(Named.parse(request).name)) },
      ListBuilds: {
        permission: 'cloudbuild.builds.list',
        answer(request) {
          const asked = List.parse(request);
          const isWanted = parseFilter(asked.filter ?? '', buildField);
          // The newest first.
          const all = [...floor.builds].filter(([key, build]) => key.startsWith(`${keyOf(asked.parent)}/builds/`) && isWanted(build));
          const { items, next } = pageOf(
            all.map(([, build]) => buildJson(build)).reverse(),
            { size: asked.pageSize ?? USUAL, token: asked.pageToken },
            MOST,
          );
          return { builds: items, ...next };
        },
      },
      CancelBuild: {
        permission: 'cloudbuild.builds.update',
        answer(request) {
          const build = buildAt(Named.parse(request).name);
          if (isOver(build)) throw new GoogleError('FAILED_PRECONDITION', 'Build cannot be cancelled: it is already finished');
          return buildJson(floor.cancel(build.id));
        },
      },
    },
  });
}

export const buildJson = (build: BuildNow): Json => ({ ...build });

function buildField(field: string): Read<BuildNow> | undefined {
  if (field === 'tags') return { of: ({ tags }) => tags, as: 'text' };
  if (field === 'status') return { of: ({ status }) => [status], as: 'text' };
  if (field === 'build_id' || field === 'id') return { of: ({ id }) => [id], as: 'text' };
  return field === 'create_time' ? { of: ({ createTime }) => [createTime], as: 'time' } : undefined;
}

/** What Cloud Build refuses before it takes a build. */
function refuse(cloud: GoogleCloud, wish: Wish, isRestricted: boolean): void {
  const email = wish.serviceAccount.split('/').at(-1) ?? '';
  if (!/^projects\/[^/]+\/serviceAccounts\/[^/]+$/.test(wish.serviceAccount))
    throw new GoogleError('INVALID_ARGUMENT', `invalid value for 'build.service_account': ${wish.serviceAccount}`);
  if (!cloud.accounts.has(email) || cloud.faults.isWithheld('iam.serviceaccounts.actAs'))
    throw new GoogleError('PERMISSION_DENIED', `caller does not have permission to act as service account ${wish.serviceAccount}`);
  if (isRestricted)
    throw new GoogleError(
      'FAILED_PRECONDITION',
      'failed precondition: due to quota restrictions, cannot run builds in this region. Please contact support',
    );
  if (wish.options.logging === undefined)
    throw new GoogleError(
      'INVALID_ARGUMENT',
      "if 'build.service_account' is specified, the build must either (a) specify 'build.logs_bucket', (b) use the REGIONAL_USER_OWNED_BUCKET build.options.default_logs_bucket_behavior option, or (c) use either CLOUD_LOGGING_ONLY / NONE logging options",
    );
  for (const tag of wish.tags)
    if (!/^\w[\w.-]{0,127}$/.test(tag))
      throw new GoogleError('INVALID_ARGUMENT', `invalid value for 'build.tags': tag "${tag}" is invalid`);
  for (const time of [wish.timeout, wish.queueTtl])
    if (Number(time.slice(0, -1)) <= 0 || Number(time.slice(0, -1)) > 86_400)
      throw new GoogleError('INVALID_ARGUMENT', `invalid duration ${time}`);
}

/** `$NAME` in arguments by its value; `$$` is a dollar. */
function withSubstitutions(step: Step, values: Readonly<Record<string, string>>): Step {
  const one = (text: string): string =>
    text.replace(/\$\$|\$(\w+)|\$\{(\w+)\}/g, (all, plain?: string, braced?: string) => {
      if (all === '$$') return '$';
      const name = plain ?? braced ?? '';
      if (values[name] === undefined && !BUILTIN.includes(name))
        throw new GoogleError(
          'INVALID_ARGUMENT',
          `invalid value for 'build.substitutions': key in the template "${name}" is not a valid built-in substitution`,
        );
      return values[name] ?? '';
    });
  return { ...step, ...(step.args ? { args: step.args.map(one) } : {}), ...(step.env ? { env: step.env.map(one) } : {}) };
}

/** The operation that stands for a build; its metadata is the build as it is. */
function operationOf(cloud: GoogleCloud, floor: BuildFloor, build: BuildNow): Operation {
  const region = build.name.split('/')[3] ?? '';
  const now = (): BuildNow => floor.builds.get(`projects/${cloud.project}/locations/${region}/builds/${build.id}`) ?? build;
  const operation: Operation = {
    name: `projects/${cloud.project}/locations/${region}/operations/${build.id}`,
    get metadata() {
      return { '@type': 'type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata', build: buildJson(now()) };
    },
    done: false,
    ended: floor.ended(build.id),
  };
  cloud.operations.set(operation.name, operation);
  void operation.ended.then(() => {
    operation.done = true;
    const { status, failureInfo } = now();
    if (status === 'SUCCESS') operation.response = { '@type': 'type.googleapis.com/google.devtools.cloudbuild.v1.Build', ...now() };
    else
      operation.error = {
        code: status === 'CANCELLED' ? 1 : 2,
        message: failureInfo?.detail ?? 'Build failed; check build logs for details',
      };
  });
  return operation;
}
