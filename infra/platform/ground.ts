import * as gcp from '@pulumi/gcp';
import { ComponentResource, type CustomResourceOptions, type Resource, secret } from '@pulumi/pulumi';
import { declareApis } from './apis.ts';
import { type NameKey, nameOf } from './names.ts';
import type { Kept, PlatformPlan } from './plan.ts';

/** What every part of the platform is declared with. */
export type Ground = {
  readonly plan: PlatformPlan;
  /** Of everything that can bear labels. Never `mayfly-instance`: what wears that is a site's, and goes when no site has it. */
  readonly labels: Readonly<Record<string, string>>;
  name(key: NameKey, region?: string): string;
  /** Options of a resource, which waits for the APIs, and for others that it does not name. */
  after(...others: readonly Resource[]): CustomResourceOptions;
};

/** Where the next `up` finds what was made once. */
export const KEPT_TYPE = 'mayfly:platform:Kept';

/** No more than a place in the state, encrypted with it; it is there before anything else is. */
class Remembered extends ComponentResource {
  constructor(kept: Kept) {
    super(KEPT_TYPE, 'kept', { json: secret(JSON.stringify(kept)) });
    this.registerOutputs();
  }
}

/** Says project and region by itself: nothing of the environment gets in but the credentials. */
export function openGround(plan: PlatformPlan): Ground {
  const { project, instance, kept, names, places } = plan;
  const provider = new gcp.Provider(
    'google',
    {
      project,
      region: places.home,
      // Some APIs ask a person's credentials which project pays for the question.
      billingProject: project,
      userProjectOverride: true,
    },
    { dependsOn: new Remembered(kept) },
  );
  const apis = declareApis(plan, { provider });
  return {
    plan,
    labels: { 'mayfly-platform': instance },
    name: (key, region = '') => nameOf(key, names, { project, instance, generation: kept.generation, region }),
    after: (...others) => ({ provider, dependsOn: [...apis, ...others] }),
  };
}
