import pg from 'pg';
import { z } from 'zod';
import { GCP_TYPES } from '../../../../infra/preview-gcp.ts';
import { faultPoint } from '../../../fault-points.ts';
import { toSiteId } from '../../../site/identity.ts';
import type { Artefact } from '../../../site/ports.ts';
import { Fault } from '../../../site/problem.ts';
import { regionLabel } from '../../../site/region.ts';
import type { Properties, ResourceKind } from '../provider.ts';
import type { RegionDatabases } from './region-databases.ts';

/** What the resources act on, for one operation. */
export type Means = {
  readonly databases: RegionDatabases;
  /** The order's, once however often it is asked for; where nothing is built nobody asks. */
  readonly build: () => Promise<Artefact>;
  readonly signal: AbortSignal;
};

const site = z.string().transform(toSiteId);
const imageInputs = z.object({ site, region: z.string(), revision: z.string() });
const databaseInputs = z.object({
  site,
  region: z.string(),
  content: z.string(),
  seedName: z.string().nullish(),
  seedFile: z.string().nullish(),
});

/**
 * Mayfly's own resources of a site on Google Cloud, by type; the others are Google's own provider's. Visitors have what rests on them until
 * a launch is over, and their region may be down: they go by their names, with their region's stock.
 */
export const resourceKinds = (means: Means): Readonly<Record<string, ResourceKind>> => ({
  [GCP_TYPES.image]: imageKind(means),
  [GCP_TYPES.database]: databaseKind(means),
});

/** What the service waits for, while all else is made. Images are the builder's, and go with their site. */
function imageKind({ build }: Means): ResourceKind {
  const ensure = async (inputs: Properties): Promise<Properties> => {
    const artefact = await build();
    if (!('image' in artefact)) throw new Error('A folder does not run on Cloud Run');
    return { ...inputs, image: artefact.image };
  };
  return {
    create: async (inputs) => ({ id: imageInputs.parse(inputs).site.toLowerCase(), outputs: await ensure(inputs) }),
    update: ensure,
    // Every launch has its own: whether it is there, Cloud Run finds out.
    exists: async () => true,
  };
}

/** PostgreSQL's word for a server, a database or a role with as many connections as it may have. */
const TOO_MANY_CONNECTIONS = '53300';
/** Where in PostgreSQL a role's own limit is refused, and a database's: nothing else in the error tells them apart in every language. */
const OWN_LIMITS = ['InitializeSessionUserId', 'CheckMyDatabase'];

const isFull = (error: unknown): boolean =>
  error instanceof pg.DatabaseError && error.code === TOO_MANY_CONNECTIONS && !OWN_LIMITS.includes(error.routine ?? '');

/** A server of databases without room is as full as a region whose quota is used up: the site may go to the next one. */
async function inRoom<Result>(region: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!isFull(error)) throw error;
    throw new Fault('google-limited', { details: { action: 'make a database', region: regionLabel(region) }, cause: error });
  }
}

function databaseKind({ databases, signal }: Means): ResourceKind {
  const ensure = async (inputs: Properties): Promise<{ id: string; outputs: Properties }> => {
    const { content, seedName, seedFile, region, ...wish } = databaseInputs.parse(inputs);
    const seed = seedFile ? { name: seedName ?? seedFile, file: seedFile, sha256: content } : null;
    const { name, url } = await inRoom(region, async () => (await databases.of(region)).ensure(wish.site, seed, signal));
    await faultPoint('database-made');
    return { id: name, outputs: { ...inputs, url } };
  };
  const of = (state: Properties) => databases.of(databaseInputs.pick({ region: true }).parse(state).region);
  return {
    create: ensure,
    update: async (inputs) => (await ensure(inputs)).outputs,
    exists: async (id, state) => (await of(state)).exists(id),
  };
}
