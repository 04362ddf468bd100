import * as gcp from '@pulumi/gcp';
import type { CustomResourceOptions } from '@pulumi/pulumi';
import type { PlatformPlan } from './plan.ts';

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

/** Switches on what is used. Switching off again could break what others have in the project, so leaving does not. */
export function declareApis({ project, stores, watch }: PlatformPlan, options: CustomResourceOptions): readonly gcp.projects.Service[] {
  const wanted = [
    ...Object.keys(APIS),
    ...(stores.redisGb === null ? [] : ['redis']),
    ...(watch.budget === null ? [] : ['billingbudgets']),
  ];
  return wanted.map(
    (api) => new gcp.projects.Service(`api-${api}`, { project, service: `${api}.googleapis.com`, disableOnDestroy: false }, options),
  );
}
