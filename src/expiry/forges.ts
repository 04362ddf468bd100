import type { ForgeId, Repository } from '../site/identity.ts';
import { isAllowed } from '../site/policy.ts';
import type { Facts } from '../site/ports.ts';
import { brief, Fault } from '../site/problem.ts';
import { type DeliveryPlan, planDeliveries } from './deliveries.ts';
import { planDeployments } from './deployments.ts';
import type { ExpiryParts } from './expiry.ts';
import { type Finding, NOT_COMPARED } from './plan.ts';
import { keyOf, type Looks, planPulls, standingIn } from './reconcile.ts';

/**
 * Repositories that are open to us otherwise than we remember: nobody told us of them, or they were opened anew. Only the forge can say
 * which there are, so one that we never heard of is found here alone.
 */
export async function planNewcomers(parts: ExpiryParts): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const [forge, { facts }] of parts.links) {
    try {
      for (const access of await facts.accesses())
        for (const repository of await openedBy(facts, access)) findings.push(...(await newcomer(parts, repository)));
    } catch (error) {
      parts.log.warn({ err: error, forge }, 'a forge did not tell which repositories are open to us');
      findings.push({ kind: 'repository', name: 'all that are open to us', where: forge, why: inShort(error), deed: NOT_COMPARED });
    }
  }
  return findings;
}

/** One access that was taken back or suspended since must not hide the others. */
async function openedBy(facts: Pick<Facts, 'repositories'>, access: string): Promise<readonly Repository[]> {
  try {
    return await facts.repositories(access);
  } catch (error) {
    if (error instanceof Fault && (error.code === 'access-gone' || error.code === 'forge-refused')) return [];
    throw error;
  }
}

async function newcomer({ store, repositories, addRepository }: ExpiryParts, repository: Repository): Promise<readonly Finding[]> {
  if (!isAllowed(repositories, repository.name)) return [];
  const known = await store.repositories.find(repository.forge, repository.id);
  if (known?.access === repository.access && known.name === repository.name) return [];
  const run = async (): Promise<boolean> => {
    await addRepository(repository);
    return true;
  };
  const why = known === undefined ? 'open to us, and not known' : `known as ${known.name}, or opened anew`;
  return [{ kind: 'repository', name: repository.name, where: repository.forge, why, deed: { word: 'looked at, with its pulls', run } }];
}

/** What is remembered from round to round. */
export type Memory = {
  readonly looks: Looks;
  /** Repositories that were out of our reach at the last look. */
  readonly unreached: Map<string, Pick<Repository, 'forge' | 'id'>>;
};

/** What one repository's forge says otherwise than we remember: its pulls, and what we left there. */
export async function planRepository(parts: ExpiryParts & Memory, repository: Repository): Promise<readonly Finding[]> {
  const side = parts.links.get(repository.forge);
  if (side === undefined) return [];
  try {
    const pulls = await planPulls(parts.store, repository, { ...side, lookAtPull: parts.lookAtPull, looks: parts.looks });
    const deployments = await planDeployments(parts.store, repository, side);
    parts.unreached.delete(keyOf(repository));
    return [...pulls, ...deployments];
  } catch (error) {
    if (error instanceof Fault && error.code === 'access-gone') return await outOfReach(parts, repository);
    parts.unreached.delete(keyOf(repository));
    // One repository that its forge refuses to talk about must not keep the others from being looked at.
    parts.log.warn({ err: error, repository: repository.name }, 'a repository could not be compared with its forge');
    return [{ kind: 'repository', name: repository.name, where: repository.forge, why: inShort(error), deed: NOT_COMPARED }];
  }
}

const inShort = (error: unknown): string =>
  error instanceof Fault ? brief(error.code, error.details) : 'an unexpected error, see the log';

/**
 * It stays known: it may be opened to us again, and nobody tell us. What stands of it ends once it is so at two looks on end: nobody
 * told us, and a forge that is being restarted may deny what it has for a moment.
 */
async function outOfReach({ store, unreached, ...parts }: ExpiryParts & Memory, repository: Repository): Promise<readonly Finding[]> {
  const standing = (await standingIn(store, repository)).filter(({ status }) => status !== 'ending');
  parts.log.debug({ repository: repository.name, sites: standing.length }, 'a repository is out of our reach');
  if (standing.length === 0) return [];
  const sites = standing.length === 1 ? 'site' : 'sites';
  const found = { kind: 'repository', name: repository.name, where: repository.forge, why: 'out of our reach' } as const;
  const key = keyOf(repository);
  const wait = async (): Promise<boolean> => unreached.set(key, repository).has(key);
  if (!unreached.has(key)) return [{ ...found, deed: { word: `given one more look, with its ${standing.length} ${sites}`, run: wait } }];
  const end = async (): Promise<boolean> => {
    await parts.endIfOutOfReach(repository);
    unreached.delete(key);
    return (await standingIn(store, repository)).every(({ status }) => status === 'ending');
  };
  return [{ ...found, deed: { word: `rid of its ${standing.length} ${sites}`, run: end } }];
}

/** What a forge could not bring to us. A forge that does not answer has nothing to say for now. */
export async function planForge(parts: ExpiryParts, forge: ForgeId): Promise<DeliveryPlan> {
  const deliveries = parts.deliveries.get(forge);
  const nothing: DeliveryPlan = { findings: [], settle: async () => undefined };
  if (deliveries === undefined) return nothing;
  try {
    const plan = await planDeliveries(parts.store, { forge, deliveries, log: parts.log });
    const deed = parts.instead?.deliveries;
    return deed === undefined ? plan : { ...plan, findings: plan.findings.map((finding) => ({ ...finding, deed })) };
  } catch (error) {
    parts.log.warn({ err: error, forge }, 'a forge did not tell which webhooks it could not deliver');
    return {
      ...nothing,
      findings: [{ kind: 'delivery', name: 'all that failed', where: forge, why: inShort(error), deed: NOT_COMPARED }],
    };
  }
}
