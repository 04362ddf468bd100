/** A JSON object as Google's REST APIs take and give it; its fields are checked against the API's description where it comes in. */
export type Json = { readonly [key: string]: unknown };

/** `google.cloud.run.v2.Condition`. */
export type Condition = {
  readonly type: string;
  readonly state: 'CONDITION_PENDING' | 'CONDITION_RECONCILING' | 'CONDITION_FAILED' | 'CONDITION_SUCCEEDED';
  readonly message?: string;
  readonly lastTransitionTime: string;
  readonly severity?: 'ERROR';
  readonly reason?: string;
  readonly revisionReason?: string;
};

/** The parts of `google.cloud.run.v2.Container` that a runner reads; the rest is there too. */
export type Container = Json & {
  readonly image: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly resources?: {
    readonly limits?: Readonly<Record<string, string>>;
    readonly cpuIdle?: boolean;
    readonly startupCpuBoost?: boolean;
  };
};
/** Google fills in what was left out; times are in seconds. */
export type Probe = {
  readonly initialDelaySeconds?: number;
  readonly timeoutSeconds?: number;
  readonly periodSeconds?: number;
  readonly failureThreshold?: number;
  readonly httpGet?: { readonly path?: string; readonly port?: number };
  readonly tcpSocket?: { readonly port?: number };
};
/** The same of `google.cloud.run.v2.RevisionTemplate`. */
export type Template = Json & {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
  readonly timeout?: string;
  readonly scaling?: { readonly minInstanceCount?: number; readonly maxInstanceCount?: number };
  readonly containers: readonly Container[];
};

/** What a caller may say of a service: `google.cloud.run.v2.Service` without what is output only. */
export type ServiceWish = Json & {
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ingress?: string;
  readonly invokerIamDisabled?: boolean;
  readonly template: Template;
};

/** `google.cloud.run.v2.Service`, as the API gives it. int64 are texts. */
export type RunService = ServiceWish & {
  /** `projects/P/locations/R/services/S`. */
  readonly name: string;
  readonly uid: string;
  readonly generation: string;
  readonly observedGeneration: string;
  readonly createTime: string;
  readonly updateTime: string;
  /** While it is being deleted. */
  readonly deleteTime?: string;
  readonly creator: string;
  readonly lastModifier: string;
  readonly uri: string;
  readonly urls: readonly string[];
  readonly terminalCondition: Condition;
  readonly conditions: readonly Condition[];
  /** Full names; `latestReadyRevision` is the one that serves, absent while none ever was ready. */
  readonly latestReadyRevision?: string;
  readonly latestCreatedRevision: string;
  readonly trafficStatuses: readonly Json[];
  readonly reconciling: boolean;
  readonly etag: string;
};

/** `google.cloud.run.v2.Revision`, as far as anybody here asks for it. */
export type Revision = {
  /** `projects/P/locations/R/services/S/revisions/V`. */
  readonly name: string;
  readonly uid: string;
  readonly generation: string;
  readonly createTime: string;
  /** Short. */
  readonly service: string;
  /** What it runs is the template as it was. */
  readonly template: Template;
  readonly conditions: readonly Condition[];
};

/** `google.iam.v1.Policy`. */
export type Policy = {
  readonly version: number;
  readonly bindings: readonly { readonly role: string; readonly members: readonly string[] }[];
  readonly etag: string;
};

/** `google.longrunning.Operation`, and for those in this process a promise of its end. */
export type Operation = {
  readonly name: string;
  readonly metadata: Json;
  done: boolean;
  response?: Json;
  error?: { readonly code: number; readonly message: string };
  /** Resolves when `done`; it never rejects. */
  readonly ended: Promise<void>;
};

/** Why a revision is not ready, in Google's own words and codes. */
export class RevisionFailure extends Error {
  /** `google.rpc.Code` of the operation. */
  readonly code: number;
  readonly reason: string;
  /** @param message without "Revision '…' is not ready and cannot serve traffic." */
  constructor(message: string, { code = 13, reason = 'HEALTH_CHECK_CONTAINER_ERROR' }: { code?: number; reason?: string } = {}) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

/** What Google says when a configured start probe was never answered. */
export const PROBE_FAILED =
  'The user-provided container failed the configured startup probe checks. Logs for this revision might contain more information.';
/** The same without a configured probe: nobody listened. */
export const NOBODY_LISTENS = (port: number): string =>
  `The user-provided container failed to start and listen on the port defined provided by the PORT=${port} environment variable within the allocated timeout. This can happen when the container port is misconfigured or if the timeout is too short. The health check timeout can be extended. Logs for this revision might contain more information.`;
