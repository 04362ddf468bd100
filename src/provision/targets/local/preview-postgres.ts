import { join } from 'node:path';
import type { Logger } from 'pino';
import { openEmbeddedPostgres } from '../../../store/embedded.ts';
import { openPostgresDoor } from './postgres-door.ts';

export type PreviewPostgresOptions = {
  /** Mayfly's data dir. */
  readonly dataDir: string;
  /** Folder with a short path, for sockets. */
  readonly runFolder: string;
  /** PostgreSQL for the sites' databases; null starts an embedded one. */
  readonly previewDatabaseUrl: string | null;
  readonly log: Logger;
};

/** The server of the sites' databases: its administrator's address, and the unix socket that sandboxes get. */
export type PreviewPostgres = AsyncDisposable & { readonly adminUrl: string; readonly socket: string };

export async function openPreviewPostgres({
  dataDir,
  runFolder,
  previewDatabaseUrl,
  log,
}: PreviewPostgresOptions): Promise<PreviewPostgres> {
  if (previewDatabaseUrl !== null) {
    const door = await openPostgresDoor(previewDatabaseUrl, join(runFolder, 'postgres.sock'), log);
    return { adminUrl: previewDatabaseUrl, socket: door.socket, [Symbol.asyncDispose]: () => door[Symbol.asyncDispose]() };
  }
  const cluster = await openEmbeddedPostgres({ folder: join(dataDir, 'postgres-sites'), name: 'sites', log });
  return {
    adminUrl: cluster.url('postgres'),
    socket: join(cluster.socketFolder, `.s.PGSQL.${cluster.port}`),
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}
