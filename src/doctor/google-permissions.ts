/** What the worker does on the project itself, by the role that allows it: infra/platform/roles.ts has them all. `sites` is Mayfly's own. */
export const PROJECT_PERMISSIONS = {
  sites: [
    'run.services.create',
    'run.services.get',
    'run.services.list',
    'run.services.update',
    'run.services.delete',
    'run.services.setIamPolicy',
    'run.operations.get',
    'run.revisions.list',
  ],
  'roles/cloudbuild.builds.editor': ['cloudbuild.builds.create', 'cloudbuild.builds.get', 'cloudbuild.builds.update'],
  'roles/logging.viewer': ['logging.logEntries.list'],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export const BUCKET_PERMISSIONS = ['storage.objects.create', 'storage.objects.get', 'storage.objects.list', 'storage.objects.delete'];
export const REPOSITORY_PERMISSIONS = [
  'artifactregistry.repositories.downloadArtifacts',
  'artifactregistry.packages.delete',
  'artifactregistry.packages.list',
  'artifactregistry.tags.get',
];

/** On what somebody may do something. */
export type Resource =
  | { readonly kind: 'project'; readonly project: string }
  | { readonly kind: 'account'; readonly email: string }
  | { readonly kind: 'bucket'; readonly bucket: string }
  | { readonly kind: 'repository'; readonly project: string; readonly region: string; readonly repository: string };

type Question = { readonly host: string; readonly method: 'GET' | 'POST'; readonly path: string };

/** Where one asks what one may do on it. */
export function resourcePath(resource: Resource, permissions: readonly string[]): Question {
  switch (resource.kind) {
    case 'project':
      return post('cloudresourcemanager.googleapis.com', `/v3/projects/${encodeURIComponent(resource.project)}`);
    case 'account':
      return post('iam.googleapis.com', `/v1/projects/-/serviceAccounts/${encodeURIComponent(resource.email)}`);
    case 'bucket': {
      const query = permissions.map((permission) => `permissions=${encodeURIComponent(permission)}`).join('&');
      const path = `/storage/v1/b/${encodeURIComponent(resource.bucket)}/iam/testPermissions?${query}`;
      return { host: 'storage.googleapis.com', method: 'GET', path };
    }
    case 'repository': {
      const { project, region, repository } = resource;
      return post('artifactregistry.googleapis.com', `/v1/projects/${project}/locations/${region}/repositories/${repository}`);
    }
    default:
      return resource satisfies never;
  }
}

const post = (host: string, path: string): Question => ({ host, method: 'POST', path: `${path}:testIamPermissions` });
