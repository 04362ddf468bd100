import type { ArtifactRegistryClient } from '@google-cloud/artifact-registry';
import type { CloudBuildClient } from '@google-cloud/cloudbuild';
import type { v2 as logging } from '@google-cloud/logging';
import type { RevisionsClient, ServicesClient } from '@google-cloud/run';
import type { Storage } from '@google-cloud/storage';
import { GoogleAuth } from 'google-auth-library';
import { z } from 'zod';

export type GoogleOptions = {
  /** The project's id. */
  readonly project: string;
  /** Tests only: the one http address that everything goes to, in place of each API's own. */
  readonly endpoint?: URL | null;
  /** Application Default Credentials unless given: never a key's file of our own. */
  readonly auth?: GoogleAuth;
};

/**
 * Google's clients, each loaded when it is first asked for. Measured, one after the other: 0.2 to 0.9 s of import time and 1 to 16 MiB each,
 * 47 MiB together, of which a process that only serves the web needs none.
 */
export interface Google extends AsyncDisposable {
  readonly project: string;
  readonly auth: GoogleAuth;
  /** The email of our own identity; null where there is none, or nobody who tells. */
  account(): Promise<string | null>;
  builds(): Promise<CloudBuildClient>;
  images(): Promise<ArtifactRegistryClient>;
  logs(): Promise<InstanceType<typeof logging.LoggingServiceV2Client>>;
  objects(): Promise<Storage>;
  services(): Promise<ServicesClient>;
  revisions(): Promise<RevisionsClient>;
  /**
   * Whether this operation of Cloud Run, by its full name, has done what it was for, which Google is waited for to tell. False as well
   * where Google tells sooner, or nothing.
   */
  hasDone(operation: string, signal: AbortSignal): Promise<boolean>;
}

const DONE = z.object({ done: z.literal(true), error: z.never().optional() });
const SCOPES = 'https://www.googleapis.com/auth/cloud-platform';

/** A token that is refused before its time is asked for anew, once. */
const ours = (projectId: string) => ({ scopes: SCOPES, projectId, clientOptions: { forceRefreshOnFailure: true } });

/** Opens nothing yet: each client connects at its first call. All of them speak REST, which goes through every proxy and is what Google answers errors with in full. */
export function openGoogle({ project, endpoint = null, auth = new GoogleAuth(ours(project)) }: GoogleOptions): Google {
  const closers: (() => Promise<unknown>)[] = [];
  const options = { fallback: true, auth, projectId: project, ...(endpoint ? addressOf(endpoint) : {}) } as const;
  const once = <T>(open: () => Promise<T>): (() => Promise<T>) => {
    let opened: Promise<T> | undefined;
    return () => {
      opened ??= open().catch((error: unknown) => {
        // Credentials that are missing now may be there later.
        opened = undefined;
        throw error;
      });
      return opened;
    };
  };
  /**
   * A client that is closed with us. Made ready before it is used: when that fails in the middle of a call, the library throws it once
   * more where nobody can catch it, which ends the process.
   */
  const ready = async <T extends { initialize(): Promise<unknown>; close(): Promise<unknown> }>(client: T): Promise<T> => {
    await client.initialize();
    closers.push(() => client.close());
    return client;
  };
  return {
    project,
    auth,
    account: once(() =>
      auth.getCredentials().then(
        ({ client_email }) => client_email ?? null,
        // A person's own credentials have no email, and where there are none at all that is told by what failed for it.
        () => null,
      ),
    ),
    builds: once(async () => ready(new (await import('@google-cloud/cloudbuild')).CloudBuildClient(options))),
    images: once(async () => ready(new (await import('@google-cloud/artifact-registry')).ArtifactRegistryClient(options))),
    logs: once(async () => ready(new (await import('@google-cloud/logging')).v2.LoggingServiceV2Client(options))),
    services: once(async () => ready(new (await import('@google-cloud/run')).ServicesClient(options))),
    revisions: once(async () => ready(new (await import('@google-cloud/run')).RevisionsClient(options))),
    // The library would look again and again instead.
    async hasDone(operation, signal) {
      const url = new URL(`/v2/${operation}:wait`, endpoint ?? 'https://run.googleapis.com');
      const request = { url, method: 'POST', data: { timeout: '10s' }, signal, timeout: 30_000, retry: false } as const;
      return auth.request<unknown>(request).then(
        ({ data }) => DONE.safeParse(data).success,
        () => false,
      );
    },
    objects: once(async () => {
      const { Storage } = await import('@google-cloud/storage');
      const at = endpoint ? { apiEndpoint: endpoint.origin, useAuthWithCustomEndpoint: true } : {};
      // What is worth more tries is tried again by whoever asks.
      return new Storage({ projectId: project, authClient: auth, retryOptions: { maxRetries: 2, totalTimeout: 60 }, ...at });
    }),
    async [Symbol.asyncDispose]() {
      await Promise.all(closers.map((close) => close()));
    },
  };
}

const addressOf = ({ protocol, hostname, port }: URL) => ({
  apiEndpoint: hostname,
  port: Number(port),
  protocol: protocol.replace(':', ''),
});
