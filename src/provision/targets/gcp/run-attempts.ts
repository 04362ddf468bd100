import type { Attempt } from './api-error.ts';

/** Who asks Google, and for which project. */
export type Asking = Pick<Attempt, 'project' | 'account'>;
/** What is asked for. */
export type Asked = Pick<Attempt, 'action' | 'region'>;

/** Full name of the role that `npm run platform` makes for the worker on Cloud Run, unless its settings choose another. */
export const sitesRoleIn = (project: string): string => `projects/${project}/roles/mayfly.sites`;

/** Of Cloud Run: none of Google's own roles has so little. */
export const askingRun = (asking: Asking, asked: Asked): Attempt => ({
  ...onProject(asking, asked),
  api: 'run.googleapis.com',
  role: sitesRoleIn(asking.project),
});

export const askingObjects = (asking: Asking, asked: Asked): Attempt => ({
  ...onProject(asking, asked),
  api: 'storage.googleapis.com',
  role: 'roles/storage.objectUser',
});

export const askingLogs = (asking: Asking, asked: Asked): Attempt => ({
  ...onProject(asking, asked),
  api: 'logging.googleapis.com',
  role: 'roles/logging.viewer',
});

/** To start something as another account. */
export const askingToActAs = (asking: Asking, { as, ...asked }: Asked & { readonly as: string }): Attempt => ({
  ...onProject(asking, asked),
  api: 'iam.googleapis.com',
  role: 'roles/iam.serviceAccountUser',
  grant: `gcloud iam service-accounts add-iam-policy-binding ${as} --project=${asking.project}`,
});

const onProject = ({ project, account }: Asking, { action, region }: Asked) => ({
  action,
  region,
  project,
  account,
  grant: `gcloud projects add-iam-policy-binding ${project}`,
});
