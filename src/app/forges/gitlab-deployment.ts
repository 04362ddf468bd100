import { z } from 'zod';
import type { DeployedPlace, Deployment, Voice } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { type Caller, isForbidden, isSenseless, NOTHING } from './gitlab-call.ts';
import type { Pulls } from './gitlab-pulls.ts';

const PREFIX = 'preview/mr-';
const nameOf = ({ number }: Pick<DeployedPlace, 'number'>): string => `${PREFIX}${number}`;

const environmentAnswer = z.object({
  id: z.number(),
  name: z.string(),
  state: z.string().catch('available'),
  external_url: z.string().nullish(),
});
type Environment = z.infer<typeof environmentAnswer>;
const deploymentAnswer = z.object({
  id: z.number(),
  sha: z.string(),
  status: z.string(),
  user: z.object({ id: z.number() }).nullable().catch(null),
  environment: z.object({ name: z.string() }),
});
type Made = z.infer<typeof deploymentAnswer>;

/** Over its API GitLab makes none that waits. */
const STATES = { queued: 'running', inProgress: 'running', success: 'success', failure: 'failed' } as const;
/** What was finished does not run again, and needs a deployment of its own. */
const isOver = ({ status }: Made): boolean => status !== 'created' && status !== 'running' && status !== 'blocked';

type Spoken = Pick<Voice, 'ensureDeployment' | 'removeDeployments' | 'deployedPlaces'>;

/**
 * An environment for each merge request, of which GitLab itself counts the newest deployment that succeeded. There is no field to note
 * a site in that every version has: an environment of that name is ours when all its deployments were made by us.
 */
export function gitlabDeployment(caller: Caller, pulls: Pulls): Spoken {
  /** Newest first. */
  async function deploymentsOf(place: DeployedPlace): Promise<{ readonly ours: readonly Made[]; readonly others: number }> {
    const us = await caller.us();
    const filter = { environment: nameOf(place), orderBy: 'id', sort: 'desc', perPage: 100 } as const;
    const all = await caller.read(place.repository, z.array(deploymentAnswer), (api, project) => api.deployments.all(project, filter));
    const found = (all.kind === 'found' ? all.data : []).filter(({ environment }) => environment.name === filter.environment);
    const ours = found.filter(({ user }) => user?.id === us).sort((a, b) => b.id - a.id);
    return { ours, others: found.length - ours.length };
  }

  async function environmentOf(place: DeployedPlace): Promise<Environment | undefined> {
    const name = nameOf(place);
    const all = await caller.read(place.repository, z.array(environmentAnswer), (api, project) => api.environments.all(project, { name }));
    return all.kind === 'found' ? all.data.find((one) => one.name === name) : undefined;
  }

  async function create(place: DeployedPlace, { sha, state }: Deployment): Promise<Made> {
    const ref = await pulls.refOf(place.repository, place.number);
    const made =
      ref !== undefined &&
      (await caller.write(place.repository, { kind: 'write', as: deploymentAnswer }, (api, project) =>
        api.deployments.create(project, nameOf(place), sha, ref, false, { status: STATES[state] }),
      ));
    if (!made || made.kind === 'missing') throw new Fault('forge-refused', { details: { cause: 'no deployment was made' } });
    return made.data;
  }

  /** Undefined when it is no longer there, or can no longer come to that. */
  async function move(place: DeployedPlace, id: number, status: 'running' | 'success' | 'failed' | 'canceled'): Promise<Made | undefined> {
    try {
      const moved = await caller.write(place.repository, { kind: 'write', as: deploymentAnswer }, (api, project) =>
        api.deployments.edit(project, id, status),
      );
      return moved.kind === 'found' ? moved.data : undefined;
    } catch (error) {
      if (isSenseless(error)) return undefined;
      throw error;
    }
  }

  async function reach(place: DeployedPlace, deployment: Deployment, before: Made | undefined): Promise<Made> {
    const wanted = STATES[deployment.state];
    if (before?.status === wanted) return before;
    const moved = before === undefined || isOver(before) ? undefined : await move(place, before.id, wanted);
    return moved ?? create(place, deployment);
  }

  /** So that "View app" leads there. */
  async function leadTo(place: DeployedPlace, url: string): Promise<void> {
    const environment = await environmentOf(place);
    if (environment === undefined || environment.external_url === url) return;
    await caller.write(place.repository, { kind: 'write', as: NOTHING }, (api, project) =>
      api.environments.edit(project, environment.id, { externalUrl: url }),
    );
  }

  /** Those of ours in an environment that is not ours alone: all but the last and what runs, which GitLab keeps. */
  async function removeOurs(place: DeployedPlace, ours: readonly Made[]): Promise<void> {
    for (const { id } of ours) {
      await caller
        .write(place.repository, { kind: 'write', as: NOTHING }, (api, project) => api.deployments.remove(project, id))
        .catch((error: unknown) => {
          if (!isSenseless(error) && !isForbidden(error)) throw error;
        });
    }
  }

  return {
    async ensureDeployment(place, deployment) {
      const { ours, others } = await deploymentsOf(place);
      if (others > 0) throw new Fault('forge-refused', { details: { cause: `others deploy to the environment ${nameOf(place)} too` } });
      const made = await reach(
        place,
        deployment,
        ours.find(({ sha }) => sha === deployment.sha),
      );
      if (deployment.url !== null) await leadTo(place, deployment.url);
      return { id: String(made.id) };
    },

    async removeDeployments(place) {
      const { ours, others } = await deploymentsOf(place);
      if (ours.length === 0) return;
      for (const { id } of ours.filter((one) => !isOver(one))) await move(place, id, 'canceled');
      if (others > 0) return removeOurs(place, ours);
      const environment = await environmentOf(place);
      if (environment === undefined) return;
      const order = { kind: 'write', as: NOTHING } as const;
      if (environment.state !== 'stopped') {
        await caller.write(place.repository, order, (api, project) => api.environments.stop(project, environment.id));
      }
      // Its deployments go with it.
      await caller.write(place.repository, order, (api, project) => api.environments.remove(project, environment.id));
    },

    async deployedPlaces(repository) {
      const all = await caller.read(repository, z.array(environmentAnswer), (api, project) =>
        api.environments.all(project, { search: PREFIX, perPage: 100 }),
      );
      const places: DeployedPlace[] = [];
      for (const { name } of all.kind === 'found' ? all.data : []) {
        const number = /^[1-9][0-9]{0,9}$/.test(name.slice(PREFIX.length)) ? Number(name.slice(PREFIX.length)) : undefined;
        if (!name.startsWith(PREFIX) || number === undefined) continue;
        const place = { repository, number, site: null };
        const { ours, others } = await deploymentsOf(place);
        if (ours.length > 0 && others === 0) places.push(place);
      }
      return places;
    },
  };
}
