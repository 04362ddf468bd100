import { type Api, errorBody } from './asked.ts';
import type { GoogleCloud } from './cloud.ts';

/** What nobody may, and what answers as if its API had never been enabled. */
export type Iam = { readonly lacking: Set<string>; readonly disabled: Set<string>; readonly api: Api };

const PROJECT = /^\/v3\/projects\/([^/:]+):testIamPermissions$/;
const ACCOUNT = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):testIamPermissions$/;
const REPOSITORY = /^\/v1\/(projects\/[^/]+\/locations\/[^/]+\/repositories\/[^/:]+):testIamPermissions$/;
const BUCKET = /^\/storage\/v1\/b\/([^/]+)\/iam\/testPermissions$/;

/** The question that every API of Google's answers, what the caller may do, asked of projects, accounts, repositories and buckets. */
export function openIam(cloud: GoogleCloud): Iam {
  const lacking = new Set<string>();
  const disabled = new Set<string>();
  const there: readonly (readonly [RegExp, string, (name: string) => boolean])[] = [
    [PROJECT, 'cloudresourcemanager.googleapis.com', (name) => name === cloud.project],
    [ACCOUNT, 'iam.googleapis.com', (name) => cloud.accounts.has(name)],
    [REPOSITORY, 'artifactregistry.googleapis.com', (name) => cloud.repositories.has(name)],
    [BUCKET, 'storage.googleapis.com', (name) => cloud.buckets.has(name)],
  ];
  const api: Api = (asked) => {
    for (const [pattern, host, isThere] of there) {
      const name = pattern.exec(asked.path)?.[1];
      if (name === undefined || asked.method !== (pattern === BUCKET ? 'GET' : 'POST')) continue;
      if (disabled.has(host)) {
        const message = `${host} API has not been used in project ${cloud.projectNumber} before or it is disabled.`;
        return Promise.resolve({ status: 403, body: errorBody('PERMISSION_DENIED', message) });
      }
      if (!isThere(decodeURIComponent(name))) {
        const isHidden = pattern === PROJECT;
        const body = errorBody(
          isHidden ? 'PERMISSION_DENIED' : 'NOT_FOUND',
          isHidden ? 'The caller does not have permission' : 'Not found',
        );
        return Promise.resolve({ status: isHidden ? 403 : 404, body });
      }
      const wished: readonly string[] =
        pattern === BUCKET ? asked.query.getAll('permissions') : JSON.parse(asked.body.toString('utf8')).permissions;
      const permissions = wished.filter((permission) => !lacking.has(permission));
      // Google leaves a list out that would be empty.
      return Promise.resolve({ status: 200, body: permissions.length === 0 ? {} : { permissions } });
    }
    return undefined;
  };
  return { lacking, disabled, api };
}
