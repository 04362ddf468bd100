import * as gcp from '@pulumi/gcp';
import { interpolate, type Output, secret } from '@pulumi/pulumi';
import type { Ground } from './ground.ts';
import type { Network } from './network.ts';

export type Redis = {
  /** `REDIS_URL`, a secret. */
  readonly url: Output<string>;
};

/** A Redis for the queue, where PostgreSQL is not enough for it. */
export function declareRedis({ plan, labels, name, after }: Ground, { network, homeRange, peering }: Network): Redis | null {
  const { stores, places, project } = plan;
  if (stores.redisGb === null) return null;
  const redis = new gcp.redis.Instance(
    'redis',
    {
      project,
      name: name('redis'),
      region: places.home,
      tier: 'BASIC',
      memorySizeGb: stores.redisGb,
      redisVersion: 'REDIS_7_2',
      connectMode: 'PRIVATE_SERVICE_ACCESS',
      authorizedNetwork: network.id,
      reservedIpRange: homeRange.name,
      authEnabled: true,
      // A queue that is thinned out to make room would lose work.
      redisConfigs: { 'maxmemory-policy': 'noeviction' },
      deletionProtection: false,
      labels,
    },
    after(peering),
  );
  return { url: secret(interpolate`redis://:${redis.authString}@${redis.host}:${redis.port}`) };
}
