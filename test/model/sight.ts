import type { Snapshot } from '../../src/provision/snapshot.ts';
import type { PullRef, Sha } from '../../src/site/identity.ts';
import { mayRun } from '../../src/site/policy.ts';
import type { Facts, FolderArtefact, Permission, PullNow } from '../../src/site/ports.ts';
import type { Site } from '../../src/site/site.ts';
import type { ForgeDouble } from '../doubles/forge.ts';
import type { Step } from './steps.ts';

/** What one job was last told by the forge. */
export interface Sight {
  readonly pull: () => PullNow | undefined;
  readonly permissions: ReadonlyMap<number, Permission>;
  seeing(facts: Facts): Facts;
}

export function createSight(): Sight {
  let seen: PullNow | undefined;
  const permissions = new Map<number, Permission>();
  return {
    pull: () => seen,
    permissions,
    seeing: (facts) => ({
      ...facts,
      async pull(repository, number) {
        seen = await facts.pull(repository, number);
        return seen;
      },
      async permission(repository, user) {
        const permission = await facts.permission(repository, user);
        permissions.set(user.id, permission);
        return permission;
      },
    }),
  };
}

/**
 * Somebody wrote that a commit may be built: the one that is named, or else one that was there to be seen. (Which of several that was the
 * head at that moment the forge does not tell when the branch was pushed back since.)
 */
export type Allowing = { readonly pull: number; readonly by: number; readonly shas: readonly Sha[] };

type Watching = {
  readonly forge: ForgeDouble;
  readonly allowings: readonly Allowing[];
  readonly sight: Sight;
  readonly step: Step;
  readonly crimes: string[];
};

/** Fetches and builds in name only, and watches that it is the pull's own commit, and one of a fork's an approved one (I3). */
export function watchCommits({ sight, step, crimes, ...known }: Watching) {
  const look = (deed: string, site: Site, sha: Sha): void => {
    const why = objection({ ...known, sight }, site.pull, sha);
    if (why !== undefined) crimes.push(`${deed} of ${sha.slice(0, 7)} for #${site.pull.number}: ${why}`);
  };
  return {
    fetch: (site: Site, sha: Sha): Promise<Snapshot> =>
      step('fetch', async () => {
        look('fetch', site, sha);
        return {
          sha,
          tree: async () => undefined,
          read: async () => undefined,
          save: async () => undefined,
          checkout: async () => undefined,
        };
      }),
    build: (site: Site, sha: Sha): Promise<{ readonly artefact: FolderArtefact; readonly cache: 'none' }> =>
      step('build', async () => {
        look('build', site, sha);
        const artefact = {
          key: sha,
          folder: `/${sha}`,
          runtime: { kind: 'process', command: 'serve', cwd: '.' },
          detected: 'a server',
        } as const;
        return { artefact, cache: 'none' };
      }),
  };
}

function objection(
  { forge, allowings, sight }: Pick<Watching, 'forge' | 'allowings' | 'sight'>,
  { number }: PullRef,
  sha: Sha,
): string | undefined {
  const pull = forge.pulls.get(number);
  if (!pull?.shas.includes(sha)) return 'not a commit of the pull';
  if (!pull.isFork) return undefined;
  if (sight.pull()?.head.sha !== sha) return 'the forge was not asked whether that is still the head';
  const may = (id: number): boolean => mayRun('approve', sight.permissions.get(id) ?? 'none');
  const isAllowed = allowings.some((one) => one.pull === number && one.shas.includes(sha) && may(one.by));
  return isAllowed ? undefined : 'nobody who may has approved it';
}
