import * as gcp from '@pulumi/gcp';
import { interpolate, type Output, type Resource } from '@pulumi/pulumi';
import type { Ground } from './ground.ts';
import type { Identities } from './identities.ts';
import type { RegionStores } from './regions.ts';
import { GRANTS, type Grant } from './roles.ts';

/** Grants everything in the table, apart from the secrets, which know best who reads them. */
export function declareAccess(ground: Ground, identities: Identities, regions: readonly RegionStores[]): readonly Resource[] {
  return GRANTS.flatMap((grant) => declareGrant(ground, { identities, regions, grant }));
}

type Granting = { readonly identities: Identities; readonly regions: readonly RegionStores[]; readonly grant: Grant };

/** The last part of a role's name, for the name of a resource. */
const short = (role: string): string => role.slice(role.lastIndexOf('/') + 1);

function declareGrant({ plan, after }: Ground, { identities, regions, grant }: Granting): readonly Resource[] {
  const { project } = plan;
  const { to, scope } = grant;
  const account = identities.accounts[to];
  const role: string | Output<string> = grant.role === 'sites' ? identities.sitesRole.name : grant.role;
  const common = { role, member: account.member };
  const id = `${to}-${short(grant.role)}`;
  switch (scope.on) {
    case 'project':
      return [new gcp.projects.IAMMember(`${id}-project`, { ...common, project }, after())];
    case 'secrets':
      return [];
    case 'buckets':
      return regions.map(({ region, bucket }) => {
        const condition = scope.below === '' ? {} : { condition: objectsBelow(bucket, scope.below) };
        return new gcp.storage.BucketIAMMember(`${id}-bucket-${region}`, { ...common, ...condition, bucket: bucket.name }, after());
      });
    case 'repositories':
      return regions.flatMap((stores) =>
        scope.kinds.flatMap((kind) =>
          scope.trusts.map((trust) => {
            const { region } = stores;
            const props = { ...common, project, location: region, repository: stores[kind][trust].repositoryId };
            return new gcp.artifactregistry.RepositoryIamMember(`${id}-${kind}-${trust}-${region}`, props, after());
          }),
        ),
      );
    case 'accounts':
      return scope.accounts.map((other) => {
        const serviceAccountId = identities.accounts[other].name;
        return new gcp.serviceaccount.IAMMember(`${id}-${other}`, { ...common, serviceAccountId }, after());
      });
    default:
      return scope satisfies never;
  }
}

/** A person's repository of secrets must not be read by the build of a stranger's commit: both archives are in one bucket. */
const objectsBelow = (bucket: gcp.storage.Bucket, prefix: string) => ({
  title: 'own-trust',
  description: `objects below ${prefix}`,
  expression: interpolate`resource.name.startsWith("projects/_/buckets/${bucket.name}/objects/${prefix}")`,
});
