import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { type Answer, type Api, type Asked, befall, errorAnswer, type Later, unknownTo } from './asked.ts';
import type { GoogleCloud } from './cloud.ts';
import { CODES, GoogleError } from './faults.ts';
import type { Json, Operation } from './run-types.ts';

/**
 * Starts a long-running operation that ends as `work` does. Its answer is a message of the type `type`, as
 * `google.cloud.run.v2.Service`; what a test wants it to come to goes first.
 */
export function startOperation(
  cloud: GoogleCloud,
  parent: string,
  {
    metadata,
    type,
    later,
    work,
  }: { readonly metadata: Json; readonly type: string; readonly later: Later; readonly work: () => Promise<Json> },
): Operation {
  const over = Promise.withResolvers<void>();
  const operation: Operation = { name: `${parent}/operations/${randomUUID()}`, metadata, done: false, ended: over.promise };
  cloud.operations.set(operation.name, operation);
  if (later?.kind === 'hang') return operation;
  const end = async (): Promise<void> => {
    try {
      if (later?.kind === 'fail') throw new GoogleError(later.status, later.message);
      operation.response = { '@type': `type.googleapis.com/${type}`, ...(await work()) };
    } catch (error) {
      if (!(error instanceof GoogleError)) cloud.unknown.push(`an operation failed: ${error instanceof Error ? error.stack : error}`);
      const message = error instanceof Error ? error.message : String(error);
      operation.error = { code: error instanceof GoogleError ? error.code : CODES.INTERNAL.code, message };
    }
    operation.done = true;
    over.resolve();
  };
  void end();
  return operation;
}

/** `google.longrunning.Operation` in JSON. */
export const operationJson = ({ name, metadata, done, response, error }: Operation): Json => ({
  name,
  metadata,
  ...(done ? { done } : {}),
  ...(response ? { response } : {}),
  ...(error ? { error } : {}),
});

const PATH = /^\/v[12]\/(projects\/[^/]+\/locations\/([^/]+)\/operations\/[^/:]+)(:wait)?$/;
const WAIT = z.strictObject({ timeout: z.string().regex(/^\d+s$/) });

/** Operations of every API here are looked at in the same way. */
export function openOperations(cloud: GoogleCloud): Api {
  /** Not before the operation is over or the wait is: https://cloud.google.com/run/docs/reference/rest/v2/projects.locations.operations/wait */
  const wait = async (name: string, { body }: Asked): Promise<void> => {
    const { timeout } = WAIT.parse(JSON.parse(body.toString()));
    const over = new AbortController();
    const time = delay(Number.parseInt(timeout, 10) * 1_000, undefined, { signal: over.signal }).catch(() => undefined);
    await Promise.race([cloud.operations.get(name)?.ended, time]);
    over.abort();
    // Until whoever waits hears of it.
    await delay(cloud.pacer.pace.call / 2);
  };
  const get = (name: string, region: string): Answer => {
    try {
      befall(cloud, 'longrunning.operations.get', region);
      const operation = cloud.operations.get(name);
      if (!operation) throw new GoogleError('NOT_FOUND', `Requested entity was not found: ${name}`);
      return { status: 200, body: operationJson(operation) };
    } catch (error) {
      if (error instanceof GoogleError) return errorAnswer(error);
      throw error;
    }
  };
  return (asked) => {
    const [, path, region = '', waits] = PATH.exec(asked.path) ?? [];
    if (path === undefined) return undefined;
    const name = decodeURIComponent(path);
    if (waits && asked.method === 'POST') return wait(name, asked).then(() => get(name, region));
    if (waits || asked.method !== 'GET') return Promise.reject(unknownTo(cloud, `${asked.method} ${asked.path}`));
    return Promise.resolve(get(name, region));
  };
}
