import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Found } from '../../../site/ports.ts';
import { lookAtArtefacts } from '../../artefact-users.ts';
import { stackNames } from '../../stack-names.ts';
import { lookAtDatabases } from '../database-names.ts';
import { ourStacks } from '../our-stacks.ts';
import { readDeclared } from './declared.ts';
import { straySockets } from './sockets.ts';

export type LookOptions = {
  readonly instance: string;
  /** Mayfly's data dir, which another process may have. */
  readonly dataDir: string;
  readonly runFolder: string;
  /** `postgres://…` of Pulumi's state; null when there is none yet. */
  readonly pulumiUrl: string | null;
  /** PostgreSQL for the sites' databases; null when there is none yet. */
  readonly previewUrl: string | null;
  /** Whether a Mayfly has the data dir, and may be starting an app this moment. */
  readonly owner: 'nobody' | 'a Mayfly that runs';
  readonly log: Logger;
};

/** An app that is started for the first time is declared once it is healthy, for which it has two minutes; its socket is there before. */
const STARTING_MS = 180_000;

/**
 * What a survey of the target and of what was built would find, seen from outside: on disk and in the databases. Nothing is changed, and
 * the Mayfly that has the data dir may run meanwhile.
 */
export async function lookAtLocal(options: LookOptions): Promise<readonly Found[]> {
  const { instance, dataDir, runFolder, previewUrl } = options;
  const { specs, unreadable } = await readDeclared(join(dataDir, 'run', 'services'));
  const sockets = await oldEnough(
    options,
    join(runFolder, 's'),
    specs.map(({ name }) => name),
  );
  const databases = previewUrl === null ? [] : await lookAtDatabases(previewUrl, instance);
  return [
    ...ourStacks(await stackNames(options), 'local', instance),
    ...specs.map(({ name, site }): Found => ({ kind: 'process', name, site })),
    ...databases.map(({ name, site }): Found => ({ kind: 'database', name, site })),
    ...sockets.map((name): Found => ({ kind: 'socket', name, site: 'nobody' })),
    ...unreadable.map(({ file }): Found => ({ kind: 'process', name: file, site: null })),
    ...(await lookAtArtefacts(dataDir)),
  ];
}

async function oldEnough({ owner }: LookOptions, folder: string, services: readonly string[]): Promise<readonly string[]> {
  const strays = await straySockets(folder, services);
  if (owner === 'nobody') return strays;
  const before = Date.now() - STARTING_MS;
  const times = await Promise.all(strays.map((name) => madeAt(join(folder, name))));
  return strays.filter((_, index) => (times[index] ?? before) < before);
}

/** Undefined when it is gone by now. */
const madeAt = (path: string): Promise<number | undefined> =>
  lstat(path).then(
    ({ ctimeMs }) => ctimeMs,
    () => undefined,
  );
