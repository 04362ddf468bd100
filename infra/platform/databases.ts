import * as gcp from '@pulumi/gcp';
import { interpolate, type Output, secret } from '@pulumi/pulumi';
import type { Ground } from './ground.ts';
import type { Network } from './network.ts';
import type { PlannedServer } from './plan.ts';

const USER = 'mayfly';
/** Made by web and worker, not by Google: whom Cloud SQL makes may make databases and roles. */
const GATE_USER = `${USER}_gate`;
const PORT = 5432;
/** For sites, which have few connections each and are many. */
const PREVIEW_CONNECTIONS = '200';

export type Databases = {
  /** `DATABASE_URL`, a secret. */
  readonly url: Output<string>;
  /** The same for the gate by itself, a secret: its role may do little. */
  readonly gateUrl: Output<string>;
  /** `MAYFLY_PREVIEW_DATABASE_URL`, a secret: of the default region, with the user and the password that are the same everywhere. */
  readonly previewUrl: Output<string>;
  /** `host:port`, by region. */
  readonly hosts: ReadonlyMap<string, Output<string>>;
  /** Ready to be connected to. */
  readonly users: readonly gcp.sql.User[];
};

/** Mayfly's own PostgreSQL at home, and one for previews in each region: hostile SQL never shares a server with Mayfly's rows. */
export function declareDatabases(ground: Ground, network: Network): Databases {
  const { plan, name, after } = ground;
  const { project, places, stores, kept } = plan;
  const own = declareServer(ground, network, {
    id: 'database',
    name: name('database'),
    region: places.home,
    range: network.homeRange.name,
    backups: 'kept',
    flags: [],
    wish: stores.database,
  });
  // It goes with its server: by itself it could not go while anybody is connected.
  const database = new gcp.sql.Database('database-mayfly', { project, instance: own.name, name: USER, deletionPolicy: 'ABANDON' }, after());
  const user = declareUser(ground, 'database-user', own, kept.databasePassword);
  const previews = places.regions.map((region) => {
    const server = declareServer(ground, network, {
      id: `preview-database-${region}`,
      name: name('preview-database', region),
      region,
      range: network.sitesRange.name,
      backups: 'none',
      flags: [{ name: 'max_connections', value: PREVIEW_CONNECTIONS }],
      wish: stores.previews,
    });
    return { region, server, user: declareUser(ground, `preview-database-user-${region}`, server, kept.previewPassword) };
  });
  const [first] = previews;
  if (first === undefined) throw new Error('a platform without a region');
  const as = (name: string, password: string) =>
    interpolate`postgres://${name}:${password}@${own.privateIpAddress}:${PORT}/${database.name}`;
  return {
    url: secret(as(USER, kept.databasePassword)),
    gateUrl: secret(as(GATE_USER, plan.gatePassword)),
    previewUrl: secret(interpolate`postgres://${USER}:${kept.previewPassword}@${first.server.privateIpAddress}:${PORT}/postgres`),
    hosts: new Map(previews.map(({ region, server }) => [region, interpolate`${server.privateIpAddress}:${PORT}`])),
    users: [user, ...previews.map((preview) => preview.user)],
  };
}

type Server = {
  readonly id: string;
  readonly name: string;
  readonly region: string;
  readonly range: Output<string>;
  readonly backups: 'kept' | 'none';
  readonly flags: readonly { readonly name: string; readonly value: string }[];
  readonly wish: PlannedServer;
};

function declareServer(ground: Ground, network: Network, server: Server): gcp.sql.DatabaseInstance {
  const { plan, after } = ground;
  return new gcp.sql.DatabaseInstance(
    server.id,
    {
      project: plan.project,
      name: server.name,
      region: server.region,
      databaseVersion: server.wish.version,
      deletionProtection: server.wish.guard === 'protected',
      settings: settingsOf(ground, network, server),
    },
    // Making one takes ten minutes, and more when Google is busy.
    { ...after(network.peering), customTimeouts: { create: '40m', update: '40m', delete: '40m' } },
  );
}

function settingsOf({ labels }: Ground, { network }: Network, { wish, backups, flags, range }: Server) {
  const isKept = backups === 'kept';
  return {
    tier: wish.tier,
    edition: 'ENTERPRISE',
    availabilityType: wish.availability,
    diskSize: wish.diskGb,
    diskType: 'PD_SSD',
    diskAutoresize: true,
    deletionProtectionEnabled: wish.guard === 'protected',
    backupConfiguration: { enabled: isKept, pointInTimeRecoveryEnabled: isKept },
    databaseFlags: [...flags],
    ipConfiguration: {
      ipv4Enabled: false,
      privateNetwork: network.id,
      allocatedIpRange: range,
      // Inside the network nobody else can listen; Pulumi and Mayfly both know the plain protocol.
      sslMode: 'ALLOW_UNENCRYPTED_AND_ENCRYPTED',
    },
    userLabels: labels,
  };
}

function declareUser({ plan, after }: Ground, id: string, server: gcp.sql.DatabaseInstance, password: string): gcp.sql.User {
  // What the user made is in the way of its removal, and goes with the server.
  const props = { project: plan.project, instance: server.name, name: USER, password: secret(password), deletionPolicy: 'ABANDON' };
  return new gcp.sql.User(id, props, after());
}
