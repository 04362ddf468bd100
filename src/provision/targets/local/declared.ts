import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import { hashed } from '../../../../infra/labels.ts';
import { toSiteId } from '../../../site/identity.ts';
import type { ServiceSpec } from '../../../site/ports.ts';
import { namesIn } from '../../names-in.ts';

export const serviceSpec = z.strictObject({
  name: z.string(),
  site: z.string().transform(toSiteId),
  folder: z.string(),
  cwd: z.string(),
  command: z.string(),
  env: z.record(z.string(), z.string()),
  port: z.number().int(),
  health: z.string(),
  idleMs: z.number(),
  database: z.enum(['none', 'postgres']),
});

/** What should run, on disk: after a restart of Mayfly every site is asleep, and its first visitor finds it here. */
export interface Declared {
  all(): Promise<readonly ServiceSpec[]>;
  /** Names of files that hold no service, so that nobody can tell whose they are. */
  unreadable(): Promise<readonly string[]>;
  save(spec: ServiceSpec): Promise<void>;
  forget(name: string): Promise<void>;
}

/** One file a service, mode 0600: its environment holds its database's password. */
export async function openDeclared(folder: string, log: Logger): Promise<Declared> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const pathOf = (name: string): string => join(folder, `${hashed(name, 32)}.json`);
  return {
    async all() {
      const { specs, unreadable } = await readDeclared(folder);
      // One file that cannot be read must not keep all other sites down; the site's next launch writes it anew.
      for (const { file, error } of unreadable) log.error({ file, error: String(error) }, 'a declared service cannot be read');
      return specs;
    },
    unreadable: async () => (await readDeclared(folder)).unreadable.map(({ file }) => file),
    async save(spec) {
      const path = pathOf(spec.name);
      await writeFile(`${path}.new`, JSON.stringify(spec), { mode: 0o600 });
      await rename(`${path}.new`, path);
    },
    forget: (name) => rm(pathOf(name), { force: true }),
  };
}

type Read = { readonly specs: readonly ServiceSpec[]; readonly unreadable: readonly { readonly file: string; readonly error: unknown }[] };

/** What is declared in a folder, whoever has it open. A folder that is not there holds nothing. */
export async function readDeclared(folder: string): Promise<Read> {
  const specs: ServiceSpec[] = [];
  const unreadable: { file: string; error: unknown }[] = [];
  for (const file of await namesIn(folder)) {
    if (!file.endsWith('.json')) continue;
    try {
      specs.push(serviceSpec.parse(JSON.parse(await readFile(join(folder, file), 'utf8'))));
    } catch (error) {
      // Forgotten since the folder was read.
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') continue;
      unreadable.push({ file, error });
    }
  }
  return { specs, unreadable };
}
