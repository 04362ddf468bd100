import * as gcp from '@pulumi/gcp';
import type { Ground } from './ground.ts';

const APIS = {
  artifactregistry: 'images and caches',
  certificatemanager: 'the wildcard certificate',
  cloudbuild: 'builds',
  cloudkms: 'the key of the secrets',
  cloudresourcemanager: 'roles',
  compute: 'network and load balancer',
  dns: 'records',
  iam: 'service accounts',
  logging: 'logs',
  run: 'Mayfly and the sites',
  secretmanager: 'Mayfly’s own settings',
  servicenetworking: 'private addresses of the databases',
  sqladmin: 'databases',
  storage: 'source archives',
} as const;

export type Apis = readonly gcp.projects.Service[];

/** Switches on what is used. Switching off again could break what others have in the project, so leaving does not. */
export function declareApis({ plan, after }: Ground): Apis {
  const { stores, watch, project } = plan;
  const wanted = [
    ...Object.keys(APIS),
    ...(stores.redisGb === null ? [] : ['redis']),
    ...(watch.budget === null ? [] : ['billingbudgets']),
  ];
  return wanted.map(
    (api) => new gcp.projects.Service(`api-${api}`, { project, service: `${api}.googleapis.com`, disableOnDestroy: false }, after()),
  );
}
