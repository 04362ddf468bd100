import { createHash } from 'node:crypto';
import { packageOfRef, untag } from './artifact-registry.ts';
import type { GoogleCloud } from './cloud.ts';
import { tool } from './workshop.ts';

export type Pushing = {
  /** `REGION-docker.pkg.dev/PROJECT/REPOSITORY/PACKAGE:TAG`. */
  readonly ref: string;
  /** Email of the account that the build runs as. */
  readonly account: string;
  readonly folder: string;
  /** Stands for what is in the folder. */
  readonly content: string;
  readonly cwd: string;
  readonly command: string;
  readonly env: Readonly<Record<string, string>>;
  readonly detected: string;
};

/** Why a push or a pull was refused, as a client of Docker says it. */
export class RegistryRefusal extends Error {}

/** @throws RegistryRefusal where the account may not, or the repository is not there */
export function mayWrite(cloud: GoogleCloud, account: string, ref: string): void {
  const name = packageOfRef(ref).split('/packages/')[0] ?? '';
  if (cloud.repositories.get(name)?.writers.has(account)) return;
  throw new RegistryRefusal(
    `failed to push ${ref}: failed to authorize: failed to fetch oauth token: denied: Permission "artifactregistry.repositories.uploadArtifacts" denied on resource "${name}" (or it may not exist)`,
  );
}

/** Puts an image into the registry under its tag, which leaves whatever had it. @returns the digest */
export async function pushImage(cloud: GoogleCloud, pushing: Pushing): Promise<string> {
  const { ref, account, folder, content, cwd, command, env, detected } = pushing;
  mayWrite(cloud, account, ref);
  const [, path = '', tag = 'latest'] = /^(.+?)(?::([\w.-]+))?$/.exec(ref) ?? [];
  const digest = `sha256:${createHash('sha256')
    .update(JSON.stringify([content, cwd, command, env]))
    .digest('hex')}`;
  // In a container everybody is root; here each has a user id of its own.
  await tool('chmod', ['-R', 'a+rwX', '--', folder]);
  untag(cloud, packageOfRef(path), tag);
  const known = cloud.images.get(`${path}@${digest}`);
  const tags = new Set([...(known?.tags ?? []), tag]);
  cloud.images.set(`${path}@${digest}`, { folder, cwd, command, env, detected, tags, uploadedAt: cloud.now() });
  return digest;
}
