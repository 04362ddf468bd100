import { z } from 'zod';
import { parseRepositoryId, type RepositoryId } from '../../site/identity.ts';
import { Fault } from '../../site/problem.ts';
import { type Caller, type Connection, createCaller, isForbidden, isInUse, isMissing, NOTHING, projectAnswer } from './gitlab-call.ts';
import { GITLAB_SIDE } from './gitlab-events.ts';
import { Refused } from './gitlab-requests.ts';

/** Where, and with what. */
export type Login = Pick<Connection, 'url' | 'token'>;
/** A project in which webhooks may be made. */
export type Project = { readonly id: RepositoryId; readonly name: string };
/** How a webhook is known to be GitLab's. `signingToken`: `whsec_…`; null where it is known to be ignored. */
export type HookSecrets = { readonly secret: string; readonly signingToken: string | null };
/** `remembered`: the webhook that was made there before, wherever it led; null: none that we know of. */
export type HookWish = { readonly url: string; readonly secrets: HookSecrets; readonly remembered: string | null };
export type MadeHook = { readonly hook: string; readonly was: 'made' | 'updated'; readonly isSigned: boolean };

/** What keeps a token from being used. */
export type TokenProblem = 'token-unknown' | 'token-blocked' | 'scope-missing' | 'unreachable' | 'no-gitlab';

export interface GitLabSetup {
  /** Undefined when the token may do everything that Mayfly does. */
  problem(): Promise<TokenProblem | undefined>;
  /** Those in which it is a Maintainer, which is who may make webhooks; of a group, subgroups included. Undefined: no such group. */
  projects(group: string | null): Promise<readonly Project[] | undefined>;
  /** Whether it sees a project of that path at all. */
  sees(path: string): Promise<boolean>;
  /** Brings the remembered webhook, or else one that leads to `url` already, to what it should be; makes it when there is neither. */
  ensureHook(project: RepositoryId, wish: HookWish): Promise<MadeHook>;
  /** Gives a webhook other secrets, wherever it leads; undefined when it is not there any more, and none is made. */
  changeSecrets(project: RepositoryId, hook: string, secrets: HookSecrets): Promise<Pick<MadeHook, 'isSigned'> | undefined>;
  /** Also when it is gone already. */
  removeHook(project: RepositoryId, hook: string): Promise<void>;
}

/** https://docs.gitlab.com/api/members/#roles */
const MAINTAINER = 40;
const PAGE = { perPage: 100 } as const;
const selfAnswer = z.object({ body: z.object({ scopes: z.array(z.string()) }) });
const hookAnswer = z.object({ id: z.number(), url: z.string(), signing_token_present: z.boolean().catch(false) });
const groupAnswer = z.object({ body: z.array(projectAnswer), headers: z.record(z.string(), z.string()).catch({}) });

/** Merge requests, comments on them, and pushes, of which those to a base branch may change `.mayfly.yml`. Comments that few may see are none of ours. */
const EVENTS = {
  mergeRequestsEvents: true,
  noteEvents: true,
  pushEvents: true,
  confidentialNoteEvents: false,
} as const;

/** What is asked of a GitLab to connect it, and no more. */
export function openGitLabSetup({ url: server, token }: Login): GitLabSetup {
  const caller = createCaller({ ...GITLAB_SIDE, url: server, token });
  const at = (id: RepositoryId) => ({ ...GITLAB_SIDE, id, name: '' });
  const put = async (project: RepositoryId, hook: number | undefined, { url, secrets }: Omit<HookWish, 'remembered'>) => {
    // Both secrets each time: GitLab drops those of a webhook that is led elsewhere.
    const wish = {
      ...EVENTS,
      token: secrets.secret,
      enableSslVerification: true,
      ...(secrets.signingToken && { signingToken: secrets.signingToken }),
    };
    const answer = await caller.write(at(project), { kind: 'write', as: hookAnswer }, (api, id) =>
      hook === undefined ? api.hooks.add(id, url, wish) : api.hooks.edit(id, hook, url, wish),
    );
    if (answer.kind === 'missing') return undefined;
    const { id, signing_token_present: isSigned } = answer.data;
    return { hook: String(id), isSigned: isSigned && secrets.signingToken !== null };
  };
  return {
    problem: () => problemOf(caller),
    async projects(group) {
      const all = group === null ? await ofToken(caller) : await ofGroup(caller, group);
      return all
        ?.filter(isInUse)
        .flatMap(({ id: raw, path_with_namespace: name }) => {
          const id = parseRepositoryId(raw);
          return id === undefined ? [] : [{ id, name }];
        })
        .sort((one, other) => (one.name < other.name ? -1 : 1));
    },
    async sees(path) {
      try {
        await caller.ask(projectAnswer, (api) => api.projects.show(path));
        return true;
      } catch (error) {
        if (isMissing(error) || isForbidden(error)) return false;
        throw error;
      }
    },
    async ensureHook(project, wish) {
      const all = await caller.read(at(project), z.array(hookAnswer), (api, id) => api.hooks.all(id, PAGE));
      const listed = all.kind === 'found' ? all.data : [];
      const before = listed.find(({ id }) => String(id) === wish.remembered) ?? listed.find(({ url }) => URL.parse(url)?.href === wish.url);
      const done = await put(project, before?.id, wish);
      if (done === undefined) throw new Fault('forge-refused', { details: { cause: 'the webhook went while it was being changed' } });
      return { ...done, was: before ? 'updated' : 'made' };
    },
    async changeSecrets(project, hook, secrets) {
      const now = await caller.read(at(project), hookAnswer, (api, id) => api.hooks.show(id, Number(hook)));
      return now.kind === 'missing' ? undefined : put(project, now.data.id, { url: now.data.url, secrets });
    },
    async removeHook(project, hook) {
      try {
        await caller.write(at(project), { kind: 'write', as: NOTHING }, (api, id) => api.hooks.remove(id, Number(hook)));
      } catch (error) {
        // The project itself is gone, and its webhooks with it; a token that is refused is another matter.
        if (!isMissing(error)) throw error;
      }
    },
  };
}

type Listed = z.infer<typeof projectAnswer>;

const ofToken = (caller: Caller): Promise<readonly Listed[]> =>
  caller.ask(z.array(projectAnswer), (api) => api.projects.all({ membership: true, minAccessLevel: MAINTAINER, ...PAGE }));

async function ofGroup(caller: Caller, group: string): Promise<readonly Listed[] | undefined> {
  const found: Listed[] = [];
  try {
    for (let page = 1; ; page += 1) {
      const searchParams = { includeSubgroups: true, minAccessLevel: MAINTAINER, page, ...PAGE };
      const path = `groups/${encodeURIComponent(group)}/projects`;
      const { body, headers } = await caller.ask(groupAnswer, (api) => api.users.requester.get(path, { searchParams }));
      found.push(...body);
      if (!headers['x-next-page'] && !/rel="next"/.test(headers.link ?? '')) return found;
    }
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function problemOf(caller: Caller): Promise<TokenProblem | undefined> {
  try {
    await caller.us();
    const { body } = await caller.ask(selfAnswer, (api) => api.users.requester.get('personal_access_tokens/self'));
    return body.scopes.includes('api') ? undefined : 'scope-missing';
  } catch (error) {
    return tokenProblem(error);
  }
}

function tokenProblem(error: unknown): TokenProblem {
  if (!(error instanceof Fault)) throw error;
  const said = error.cause instanceof Refused ? error.cause : undefined;
  // The words of a token that is wrong, revoked or too old. A proxy may speak JSON as well.
  if (said?.status === 401) return /^(?:401 Unauthorized|invalid_token)/.test(said.reason ?? '') ? 'token-unknown' : 'unreachable';
  if (said?.status === 403) return /scope/.test(said.message) ? 'scope-missing' : 'token-blocked';
  return said?.status === 404 ? 'no-gitlab' : 'unreachable';
}

/** Whether GitLab said that it does not know the token, or not any more. */
export async function isTokenUnknown({ url, token }: Login): Promise<'known' | 'unknown' | 'unclear'> {
  try {
    await createCaller({ ...GITLAB_SIDE, url, token }).us();
    return 'known';
  } catch (error) {
    return tokenProblem(error) === 'token-unknown' ? 'unknown' : 'unclear';
  }
}
