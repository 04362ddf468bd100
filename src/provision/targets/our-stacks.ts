import { ownerOfStack } from '../../../infra/labels.ts';
import { toSiteId } from '../../site/identity.ts';
import type { Found } from '../../site/ports.ts';

/** Of the stacks that there are, those of this Mayfly, and those of which nobody can tell. */
export const ourStacks = (names: readonly string[], target: 'local' | 'gcp', instance: string): readonly Found[] =>
  [...names].sort().flatMap((name): Found[] => {
    const owner = ownerOfStack(target, instance, name);
    if (owner === 'another') return [];
    return [{ kind: 'stack', name, site: owner === 'unknown' ? null : toSiteId(owner.site) }];
  });
