import { stat } from 'node:fs/promises';
import { z } from 'zod';
import { LOCAL_TYPES } from '../../../../infra/preview-local.ts';
import { faultPoint } from '../../../fault-points.ts';
import { toSiteId } from '../../../site/identity.ts';
import type { Supervisor, Watch } from '../../../site/ports.ts';
import type { SiteDatabases } from '../databases.ts';
import type { Properties, ResourceKind } from '../provider.ts';

/** What the resources act on, for one operation. `log` is told what the app says while it starts. */
export type Means = { readonly supervisor: Supervisor; readonly databases: SiteDatabases; readonly watch: Watch };

const site = z.string().transform(toSiteId);
const databaseInputs = z.object({ site, content: z.string(), seedName: z.string().nullish(), seedFile: z.string().nullish() });
const serviceInputs = z.object({
  site,
  name: z.string(),
  folder: z.string(),
  cwd: z.string(),
  command: z.string(),
  env: z.record(z.string(), z.string()),
  port: z.number(),
  health: z.string(),
  idleMs: z.number(),
  databaseUrl: z.string().nullish(),
});
const filesInputs = z.object({ site, name: z.string(), folder: z.string() });

/** The resources of a site on this machine, by type. */
export const resourceKinds = (means: Means): Readonly<Record<string, ResourceKind>> => ({
  [LOCAL_TYPES.database]: databaseKind(means),
  [LOCAL_TYPES.service]: serviceKind(means),
  [LOCAL_TYPES.files]: filesKind(),
});

function databaseKind({ databases, watch }: Means): ResourceKind {
  const ensure = async (inputs: Properties): Promise<{ id: string; outputs: Properties }> => {
    const { content, seedName, seedFile, ...wish } = databaseInputs.parse(inputs);
    const seed = seedFile ? { name: seedName ?? seedFile, file: seedFile, sha256: content } : null;
    const { name, url } = await databases.ensure(wish.site, seed, watch.signal);
    await faultPoint('database-made');
    return { id: name, outputs: { ...inputs, url } };
  };
  return {
    create: ensure,
    update: async (inputs) => (await ensure(inputs)).outputs,
    exists: (id) => databases.exists(id),
    remove: (id) => databases.drop(id),
  };
}

function serviceKind({ supervisor, watch }: Means): ResourceKind {
  const start = async (inputs: Properties): Promise<Properties> => {
    const { databaseUrl, env, ...service } = serviceInputs.parse(inputs);
    watch.entered('check');
    const spec = databaseUrl
      ? { ...service, env: { ...env, DATABASE_URL: databaseUrl }, database: 'postgres' as const }
      : { ...service, env, database: 'none' as const };
    await supervisor.start(spec, { signal: watch.signal, log: watch.log });
    await faultPoint('process-started');
    return inputs;
  };
  const named = (state: Properties): string => serviceInputs.pick({ name: true }).parse(state).name;
  return {
    create: async (inputs) => ({ id: serviceInputs.parse(inputs).site.toLowerCase(), outputs: await start(inputs) }),
    // The revision before goes on running: `settle` stops it once visitors get this one.
    update: start,
    exists: async (_, state) => (await supervisor.list()).some(({ name }) => name === named(state)),
    remove: (_, state) => supervisor.remove(named(state)),
  };
}

/** A static site: the gate serves the artefact's folder, which is kept or not with the artefact. */
function filesKind(): ResourceKind {
  const isFolder = async (state: Properties): Promise<boolean> => {
    try {
      return (await stat(filesInputs.parse(state).folder)).isDirectory();
    } catch (error) {
      if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return false;
      throw error;
    }
  };
  const check = async (inputs: Properties): Promise<Properties> => {
    if (!(await isFolder(inputs))) throw new Error(`There is no folder ${filesInputs.parse(inputs).folder}`);
    return inputs;
  };
  return {
    create: async (inputs) => ({ id: filesInputs.parse(inputs).site.toLowerCase(), outputs: await check(inputs) }),
    update: check,
    exists: (_, state) => isFolder(state),
    remove: async () => undefined,
  };
}
