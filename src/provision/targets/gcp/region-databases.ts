import type { Logger } from 'pino';
import { openSiteDatabases, type SiteDatabases } from '../databases.ts';

/** The sites' databases of each region, on its own server. */
export interface RegionDatabases extends AsyncDisposable {
  /** Opened when first asked for; one that cannot be reached is tried again the next time. */
  of(region: string): Promise<SiteDatabases>;
}

export type RegionDatabasesOptions = {
  /** An administrator's address; its host is another in each region. Null: there are no databases. */
  readonly adminUrl: string | null;
  /** `host:port` of a region's server; null: where `adminUrl` says. */
  readonly server: (region: string) => string | null;
  readonly instance: string;
  readonly passwordKey: Buffer;
  readonly log: Logger;
};

/** The administrator's address of a region's own server. */
export function addressIn(adminUrl: string, server: string | null): URL {
  const url = new URL(adminUrl);
  if (server !== null) url.host = server;
  return url;
}

export function openRegionDatabases({ adminUrl, server, ...options }: RegionDatabasesOptions): RegionDatabases {
  const opened = new Map<string, Promise<SiteDatabases>>();
  return {
    async of(region) {
      if (adminUrl === null) return NONE;
      const url = addressIn(adminUrl, server(region));
      // Regions without a server of their own share one.
      const known = opened.get(url.href);
      if (known) return known;
      const opening = openSiteDatabases({ ...options, adminUrl: url.href, seenAt: `${url.hostname}:${url.port || '5432'}` });
      opened.set(url.href, opening);
      opening.catch(() => opened.delete(url.href));
      return opening;
    },
    async [Symbol.asyncDispose]() {
      for (const opening of opened.values()) await (await opening.catch(() => undefined))?.[Symbol.asyncDispose]();
    },
  };
}

const NONE: SiteDatabases = {
  ensure: async () => {
    throw new Error('A site wants a database: set MAYFLY_PREVIEW_DATABASE_URL to where sites’ databases may be made');
  },
  exists: async () => false,
  drop: async () => undefined,
  list: async () => [],
  [Symbol.asyncDispose]: async () => undefined,
};
