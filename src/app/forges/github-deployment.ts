import { z } from 'zod';
import { type Repository, type SiteId, toSiteId } from '../../site/identity.ts';
import type { DeployedPlace, Deployment, Place, Voice } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { capped } from './capped.ts';
import type { Caller } from './github-call.ts';
import { createPages } from './github-pages.ts';
import type { Us, Written } from './github-us.ts';
import type { Gone } from './gone.ts';

const ENVIRONMENT = 'preview';
/** GitHub refuses a longer description of a deployment status. */
const MAX_DESCRIPTION = 140;
/** What we leave in a deployment, so that it is found again when its id was lost. */
const payload = z.object({ mayfly: z.object({ site: z.string(), pull: z.number().catch(0), instance: z.string().optional() }) });

const stateOf = { queued: 'queued', inProgress: 'in_progress', success: 'success', failure: 'failure' } as const;

function noteOf(raw: unknown): z.infer<typeof payload>['mayfly'] | undefined {
  if (typeof raw === 'string') {
    try {
      return noteOf(JSON.parse(raw));
    } catch {
      return undefined; // somebody else's payload, which need not be JSON
    }
  }
  const parsed = payload.safeParse(raw);
  return parsed.success ? parsed.data.mayfly : undefined;
}

/** What we read of a deployment in a list. */
const author = z.object({ id: z.number(), type: z.string().optional() }).nullish();
const listed = z.object({
  payload: z.unknown(),
  performed_via_github_app: z.object({ id: z.number().optional() }).nullish(),
  creator: author,
});

type Spoken = Pick<Voice, 'ensureDeployment' | 'removeDeployments' | 'deployedPlaces'>;

/** @param instance this Mayfly's: another may speak through the same app */
export function githubDeployment(caller: Caller, us: Us, instance: string): Spoken & { readonly forget: (gone: Gone) => void } {
  const pages = createPages(caller, {
    item: listed,
    ask: (octokit, at) => octokit.rest.repos.listDeployments({ ...at, environment: ENVIRONMENT }),
  });

  /** Ids of the deployments that we made for this site, newest first. */
  async function ours(place: DeployedPlace, only: { readonly sha?: string } = {}): Promise<readonly number[]> {
    const all = await caller.readAll(place.repository, {
      ask: (octokit, at) => octokit.rest.repos.listDeployments({ ...at, environment: ENVIRONMENT, ...only }),
      items: (data) => data,
    });
    const found: number[] = [];
    for (const one of all.kind === 'found' ? all.data : []) {
      const written: Written = { performed_via_github_app: one.performed_via_github_app, creator: one.creator };
      if (noteOf(one.payload)?.site === place.site && (await us.wrote(place.repository, written))) found.push(one.id);
    }
    return found.sort((a, b) => b - a);
  }

  async function create(place: Place, sha: string): Promise<number> {
    const mine = { mayfly: { site: place.site satisfies SiteId, pull: place.number, instance } };
    const kind = { environment: ENVIRONMENT, transient_environment: true, production_environment: false };
    // Nothing is merged into the commit, and no check has to pass first: a preview is there before they do.
    const asItIs = { auto_merge: false, required_contexts: [] };
    const answer = await caller.write<unknown>(place.repository, 'state', (octokit, named) =>
      octokit.rest.repos.createDeployment({ ...named, ref: sha, payload: mine, ...kind, ...asItIs }),
    );
    const made = z.object({ id: z.number() }).safeParse(answer.kind === 'found' ? answer.data : undefined);
    if (!made.success) throw new Fault('forge-refused', { details: { cause: 'no deployment was made' } });
    return made.data.id;
  }

  /** False when the deployment is no longer there. */
  async function tell(place: DeployedPlace, id: number, status: { readonly state: 'inactive' } | Deployment): Promise<boolean> {
    const url = 'url' in status && status.url !== null ? { environment_url: status.url, log_url: status.url } : {};
    const description = 'description' in status ? { description: capped(status.description, MAX_DESCRIPTION) } : {};
    const state = status.state === 'inactive' ? status.state : stateOf[status.state];
    const fields = { state, ...description, ...url, auto_inactive: false };
    const answer = await caller.write(place.repository, 'state', (octokit, named) =>
      octokit.rest.repos.createDeploymentStatus({ ...named, deployment_id: id, ...fields }),
    );
    return answer.kind === 'found';
  }

  async function makeInactive(place: DeployedPlace, id: number): Promise<void> {
    const newest = await caller.read(place.repository, (octokit, named) =>
      octokit.rest.repos.listDeploymentStatuses({ ...named, deployment_id: id, per_page: 1 }),
    );
    if (newest.kind === 'missing' || newest.data[0]?.state === 'inactive') return;
    await tell(place, id, { state: 'inactive' });
  }

  return {
    async ensureDeployment(place, deployment, known) {
      const told = known !== null && (await tell(place, Number(known), deployment));
      let id = Number(known);
      if (!told) {
        id = (await ours(place, { sha: deployment.sha }))[0] ?? (await create(place, deployment.sha));
        if (!(await tell(place, id, deployment))) throw new Fault('forge-refused', { details: { cause: 'the deployment is not there' } });
      }
      if (deployment.state === 'success') {
        for (const older of (await ours(place)).filter((other) => other < id)) await makeInactive(place, older);
      }
      return { id: String(id) };
    },

    async removeDeployments(place) {
      for (const id of await ours(place)) {
        await makeInactive(place, id);
        await caller.write(place.repository, 'state', (octokit, named) =>
          octokit.rest.repos.deleteDeployment({ ...named, deployment_id: id }),
        );
      }
    },

    async deployedPlaces(repository: Repository) {
      const all = await pages.all(repository);
      const places = new Map<string, Place>();
      for (const one of all.kind === 'found' ? all.data : []) {
        const note = noteOf(one.payload);
        if (note === undefined || (note.instance ?? instance) !== instance || places.has(note.site) || !(await us.wrote(repository, one)))
          continue;
        places.set(note.site, { repository, number: note.pull, site: toSiteId(note.site) });
      }
      return [...places.values()];
    },
    forget: pages.forget,
  };
}
