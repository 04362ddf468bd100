import { z } from 'zod';
import type { RepositoryId } from '../../site/identity.ts';
import { createCaller, isForbidden, isMissing } from './gitlab-call.ts';
import { GITLAB_SIDE } from './gitlab-events.ts';
import type { Login } from './gitlab-setup.ts';

const hookAnswer = z.object({ id: z.number(), url: z.string(), alert_status: z.string().optional() });
const eventsAnswer = z.object({ body: z.array(z.object({ response_status: z.coerce.string() })) });

/** How a webhook that leads to us does. `asleep`: GitLab waits a while after failures; `off`: it has given up. */
export type HookHealth = {
  readonly state: 'on' | 'asleep' | 'off';
  /** Of the last twenty attempts; null where this GitLab does not tell. */
  readonly recent: { readonly all: number; readonly failed: number; readonly last: string } | null;
};

const STATES: Readonly<Record<string, HookHealth['state']>> = { temporarily_disabled: 'asleep', disabled: 'off' };

/** The webhooks of a project that lead to `url`; `closed` when we may not see them. */
export async function gitlabHooks(login: Login, project: RepositoryId, url: string): Promise<readonly HookHealth[] | 'closed'> {
  const caller = createCaller({ ...GITLAB_SIDE, ...login });
  const repository = { ...GITLAB_SIDE, id: project, name: '' };
  try {
    const all = await caller.read(repository, z.array(hookAnswer), (api, id) => api.hooks.all(id, { perPage: 100 }));
    const ours = all.kind === 'found' ? all.data.filter((hook) => URL.parse(hook.url)?.href === url) : [];
    return await Promise.all(
      ours.map(async ({ id: hook, alert_status: alert = '' }) => {
        const at = `${project}/hooks/${hook}/events`;
        const events = await caller
          .read(repository, eventsAnswer, (api) => api.hooks.requester.get(at, { searchParams: { perPage: 20 } }))
          .catch(() => ({ kind: 'missing' as const })); // since 17.4, and then for Maintainers: without it less is known
        const statuses = events.kind === 'found' ? events.data.body.map(({ response_status: status }) => status) : null;
        const recent = statuses && {
          all: statuses.length,
          failed: statuses.filter((status) => !/^2\d\d$/.test(status)).length,
          last: statuses[0] ?? '',
        };
        return { state: STATES[alert] ?? 'on', recent };
      }),
    );
  } catch (error) {
    if (isForbidden(error) || isMissing(error)) return 'closed';
    throw error;
  }
}
