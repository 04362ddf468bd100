import { randomBytes } from 'node:crypto';
import { type Faults, openFaults } from './faults.ts';
import { AT_ONCE, openPacer, type Pace, type Pacer } from './pace.ts';
import type { Json, Operation, Policy, Revision, RunService } from './run-types.ts';

/** What Artifact Registry holds, by `REGION-docker.pkg.dev/PROJECT/REPOSITORY/PACKAGE@sha256:…`. */
export type StoredImage = {
  /** What was built, and how it is run: the stand-in has no layers. */
  readonly folder: string;
  readonly cwd: string;
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  readonly detected: string;
  readonly tags: Set<string>;
  readonly uploadedAt: Date;
};

export type StoredObject = {
  readonly bytes: Buffer;
  readonly contentType: string;
  /** Rises with each write. */
  readonly generation: bigint;
  readonly metadata: Readonly<Record<string, string>>;
  readonly updatedAt: Date;
};
/** `location` in the API's upper case. */
export type Bucket = {
  readonly name: string;
  readonly location: string;
  readonly objects: Map<string, StoredObject>;
  /** What else the API tells of it: labels, lifecycle, softDeletePolicy. */
  readonly resource?: Json;
};

/** A repository of Docker images in Artifact Registry. */
export type Repository = {
  /** `projects/P/locations/R/repositories/ID`. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Emails of the accounts that may push to it. */
  readonly writers: Set<string>;
  readonly madeAt: Date;
};

/** A line in Cloud Logging, in the API's words (`google.logging.v2.LogEntry`). */
export type LogEntry = {
  readonly logName: string;
  readonly resource: { readonly type: string; readonly labels: Readonly<Record<string, string>> };
  readonly timestamp: string;
  readonly severity: string;
  readonly textPayload?: string;
  readonly jsonPayload?: Readonly<Record<string, unknown>>;
  readonly insertId: string;
  readonly labels: Readonly<Record<string, string>>;
};

export interface Logs {
  append(entry: Omit<LogEntry, 'insertId' | 'timestamp'> & { readonly timestamp?: string }): LogEntry;
  /** Oldest first. */
  list(isWanted: (entry: LogEntry) => boolean): readonly LogEntry[];
}

/** Whoever runs the images. Without one every revision is ready at once and answers nobody. */
export interface Runner {
  /** Where the service answers, asked once when it is made: its `uri`. */
  address(service: RunService): Promise<string>;
  /**
   * Starts the revision beside the one that serves: resolves when its start probe answers. Rejects with `RevisionFailure` when it never
   * does. Who serves is `service.latestReadyRevision`, which moves after this.
   */
  onRevision(service: RunService, revision: Revision): Promise<void>;
  /** The service is gone with all of its revisions. */
  onDelete(service: RunService): Promise<void>;
}

/** All that Google has of one project. Every stand-in works on it, tests look into it and put into it. */
export type GoogleCloud = {
  readonly project: string;
  /** The number that Google gave the project: it stands in some names. */
  readonly projectNumber: string;
  readonly now: () => Date;
  /** By `projects/P/locations/R/services/S`. */
  readonly services: Map<string, RunService>;
  /** By `projects/P/locations/R/services/S/revisions/V`, in the order in which they were made. */
  readonly revisions: Map<string, Revision>;
  /** By the full name of what they are about. */
  readonly policies: Map<string, Policy>;
  /** By full name. */
  readonly operations: Map<string, Operation>;
  readonly images: Map<string, StoredImage>;
  /** By `projects/P/locations/R/repositories/ID`. */
  readonly repositories: Map<string, Repository>;
  readonly buckets: Map<string, Bucket>;
  /** By `projects/P/locations/R/builds/ID`; their shape is the stand-in's of Cloud Build. */
  readonly builds: Map<string, Record<string, unknown>>;
  readonly logs: Logs;
  /** Emails of the service accounts that there are: others may be neither used nor granted anything. */
  readonly accounts: Set<string>;
  readonly quotas: { servicesPerRegion: number };
  readonly faults: Faults;
  readonly pacer: Pacer;
  /** What was asked that no stand-in knows. A test fails when there is anything in it. */
  readonly unknown: string[];
  runner: Runner;
};

export type CloudOptions = {
  readonly project?: string;
  readonly now?: () => Date;
  readonly accounts?: readonly string[];
  /** At once unless given. */
  readonly pace?: Pace;
};

/** An empty project. */
export function openGoogleCloud(options: CloudOptions = {}): GoogleCloud {
  const { project = 'mayfly-test', now = () => new Date(), accounts = [], pace = AT_ONCE } = options;
  const entries: LogEntry[] = [];
  return {
    project,
    projectNumber: '123456789012',
    now,
    services: new Map(),
    revisions: new Map(),
    policies: new Map(),
    operations: new Map(),
    images: new Map(),
    repositories: new Map(),
    buckets: new Map(),
    builds: new Map(),
    logs: {
      append(entry) {
        const whole = { timestamp: now().toISOString(), ...entry, insertId: randomBytes(8).toString('hex') };
        entries.push(whole);
        return whole;
      },
      list: (isWanted) => entries.filter(isWanted),
    },
    accounts: new Set(accounts),
    quotas: { servicesPerRegion: 1000 },
    faults: openFaults(),
    pacer: openPacer(pace),
    unknown: [],
    runner: {
      address: async ({ name }) => `https://${shortName(name)}-${randomBytes(5).toString('hex')}.a.run.app`,
      onRevision: async () => undefined,
      onDelete: async () => undefined,
    },
  };
}

/** The last part of a full name. */
export const shortName = (name: string): string => name.slice(name.lastIndexOf('/') + 1);
/** `R` of `projects/P/locations/R/…`. */
export const regionOf = (name: string): string => name.split('/')[3] ?? '';

/** Throws when a stand-in was asked something that it does not know: for the end of every test. */
export function expectNothingUnknown({ unknown }: GoogleCloud): void {
  if (unknown.length > 0) throw new Error(`Google Cloud was asked what its stand-ins do not know:\n${unknown.join('\n')}`);
}
