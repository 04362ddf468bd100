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
  deployable: z.unknown(),
});
type Made = z.infer<typeof deploymentAnswer>;

/** Over its API GitLab makes none that waits. */
const STATES = { queued: 'running', inProgress: 'running', success: 'success', failure: 'failed' } as const;
/** What was finished does not run again, and needs a deployment of its own. */
const isOver = ({ status }: Made): boolean => status !== 'created' && status !== 'running' && status !== 'blocked';

type Spoken = Pick<Voice, 'ensureDeployment' | 'removeDeployments' | 'deployedPlaces'>;

/** What stands in an environment: `ours` is newest first. `whose`: `ours`, by whichever user's token, alone; `free`: as it was named. */
type Standing = { readonly environment: Environment; readonly ours: readonly Made[]; readonly whose: 'ours' | 'free' | 'others' };

/** Whether this is the address of a site of ours for that merge request. */
function leadsToSite(previewUrl: URL, number: number, url: string | null | undefined): boolean {
  const { host } = typeof url === 'string' && URL.canParse(url) ? new URL(url) : { host: '' };
  const base = `.${previewUrl.host}`;
  return host.endsWith(base) && new RegExp(`^mr-${number}-[a-z0-9-]+$`).test(host.slice(0, -base.length));
}

/**
 * An environment for each merge request, of which GitLab itself counts the newest deployment that succeeded. There is no field to note
 * a site in that every version has, and every new token of a project or a group is a new user: an environment is ours when it leads to
 * a site of ours, or has a deployment that we remember. One that leads nowhere yet is, when all its deployments are by our user.
 * @param previewUrl under which this Mayfly's sites are: another may speak through the same user
 */
export function gitlabDeployment(caller: Caller, pulls: Pulls, previewUrl: URL): Spoken {
  async function look(place: DeployedPlace, environment: Environment, remembered: readonly string[]): Promise<Standing> {
    const filter = { environment: environment.name, orderBy: 'id', sort: 'desc', perPage: 100 } as const;
    const all = await caller.read(place.repository, z.array(deploymentAnswer), (api, project) => api.deployments.all(project, filter));
    const found = (all.kind === 'found' ? all.data : []).filter((one) => one.environment.name === environment.name);
    const isKnown =
      leadsToSite(previewUrl, place.number, environment.external_url) || found.some(({ id }) => remembered.includes(String(id)));
    const us = await caller.us();
    const isFresh = !environment.external_url;
    // What a pipeline's job made is never ours.
    const ours = found.filter(({ user, deployable }) => !deployable && (isKnown || (isFresh && user?.id === us)));
    const isOurs = ours.length === found.length && (isKnown || (isFresh && ours.length > 0));
    const whose = isOurs ? 'ours' : isFresh && found.length === 0 ? 'free' : 'others';
    return { environment, ours: ours.sort((a, b) => b.id - a.id), whose };
  }

  async function standing(place: DeployedPlace, remembered: readonly string[]): Promise<Standing | undefined> {
    const environment = await environmentOf(place);
    return environment && look(place, environment, remembered);
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
    async ensureDeployment(place, deployment, known, remembered = []) {
      const found = await standing(place, known === null ? remembered : [known, ...remembered]);
      if (found?.whose === 'others') {
        throw new Fault('forge-refused', { details: { cause: `others deploy to the environment ${nameOf(place)} too` } });
      }
      const before = found?.ours.find(({ sha }) => sha === deployment.sha);
      const made = await reach(place, deployment, before);
      if (deployment.url !== null) await leadTo(place, deployment.url);
      return { id: String(made.id) };
    },

    async removeDeployments(place, remembered = []) {
      const found = await standing(place, remembered);
      if (found === undefined) return;
      const { environment, ours, whose } = found;
      for (const { id } of ours.filter((one) => !isOver(one))) await move(place, id, 'canceled');
      if (whose !== 'ours') return removeOurs(place, ours);
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
      for (const environment of all.kind === 'found' ? all.data : []) {
        const { name } = environment;
        const number = /^[1-9][0-9]{0,9}$/.test(name.slice(PREFIX.length)) ? Number(name.slice(PREFIX.length)) : undefined;
        if (!name.startsWith(PREFIX) || number === undefined) continue;
        const place = { repository, number, site: null };
        if ((await look(place, environment, [])).whose === 'ours') places.push(place);
      }
      return places;
    },
  };
}
