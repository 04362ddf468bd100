import * as gcp from '@pulumi/gcp';
import type { Ground } from './ground.ts';
import { IDENTITIES, type Identity, SITES_PERMISSIONS, WHO } from './roles.ts';

export type Identities = {
  readonly accounts: Readonly<Record<Identity, gcp.serviceaccount.Account>>;
  /** The name of the role that is called `sites` in the table. */
  readonly sitesRole: gcp.projects.IAMCustomRole;
};

/** Service accounts without keys: who runs as one gets its tokens from Google's metadata server. */
export function declareIdentities({ plan, name, after }: Ground): Identities {
  const { project } = plan;
  const declare = (identity: Identity): gcp.serviceaccount.Account => {
    const description = WHO[identity].replaceAll('`', '');
    return new gcp.serviceaccount.Account(
      `account-${identity}`,
      { project, accountId: name(identity), displayName: `Mayfly ${identity}`, description },
      after(),
    );
  };
  const accounts = byIdentity(declare);
  const sitesRole = new gcp.projects.IAMCustomRole(
    'role-sites',
    {
      project,
      roleId: name('worker-role'),
      title: `Mayfly: sites of ${plan.instance}`,
      description: 'Cloud Run services of sites, and who may call them',
      permissions: [...SITES_PERMISSIONS],
      stage: 'GA',
    },
    after(),
  );
  return { accounts, sitesRole };
}

function byIdentity<T>(of: (identity: Identity) => T): Readonly<Record<Identity, T>> {
  const [web, gate, worker, buildTrusted, buildUntrusted, siteTrusted, siteUntrusted] = IDENTITIES;
  return {
    web: of(web),
    gate: of(gate),
    worker: of(worker),
    'build-trusted': of(buildTrusted),
    'build-untrusted': of(buildUntrusted),
    'site-trusted': of(siteTrusted),
    'site-untrusted': of(siteUntrusted),
  };
}
