import {
  Branches,
  Commits,
  Deployments,
  Environments,
  MergeRequestNoteAwardEmojis,
  MergeRequestNotes,
  MergeRequests,
  ProjectHooks,
  ProjectMembers,
  Projects,
  Repositories,
  RepositoryFiles,
  Users,
} from '@gitbeaker/rest';
import { z } from 'zod';
import { type ForgeId, parseRepositoryId, type Repository } from '../../site/identity.ts';
import { Fault } from '../../site/problem.ts';
import { type Answer, strict } from './answer.ts';
import { GITLAB_WINDOWS, type WriteKind } from './gitlab-limit.ts';
import { createRequester, Refused } from './gitlab-requests.ts';
import { createLimits } from './limits.ts';

/** One GitLab as one token sees it. */
export type Connection = {
  readonly forge: ForgeId;
  /** What a repository's `access` is: the name of this connection, never the token. */
  readonly access: string;
  /** Of pages, API and git, with whatever path it lies under, without a slash at the end. */
  readonly url: string;
  readonly token: string;
  /** 10 s when absent. */
  readonly timeoutMs?: number;
};

const TIMEOUT_MS = 10_000;

type Api = ReturnType<typeof openApi>;

function openApi({ url, token, access, timeoutMs }: Connection, limits: Parameters<typeof createRequester>[0]['limits']) {
  const requesterFn = createRequester({ access, limits, timeoutMs: timeoutMs ?? TIMEOUT_MS });
  // Its own timeout would be one for all pages of a list, its own limits know nothing of ours.
  const options = { host: url, token, requesterFn, queryTimeout: null, rateLimits: {} };
  return {
    branches: new Branches(options),
    commits: new Commits(options),
    deployments: new Deployments(options),
    emojis: new MergeRequestNoteAwardEmojis(options),
    environments: new Environments(options),
    files: new RepositoryFiles(options),
    hooks: new ProjectHooks(options),
    members: new ProjectMembers(options),
    notes: new MergeRequestNotes(options),
    projects: new Projects(options),
    pulls: new MergeRequests(options),
    trees: new Repositories(options),
    users: new Users(options),
  };
}

export const projectAnswer = z.object({
  id: z.number(),
  path_with_namespace: z.string(),
  archived: z.boolean().catch(false),
  marked_for_deletion_on: z.string().nullish(),
  marked_for_deletion_at: z.string().nullish(),
});
type Project = z.infer<typeof projectAnswer>;

/** One that waits for its deletion answers for days yet, and nobody works in it any more. */
export const isInUse = (project: Project): boolean =>
  !project.archived && !project.marked_for_deletion_on && !project.marked_for_deletion_at;

const isRefusedWith = (error: unknown, status: number): boolean => {
  const cause = error instanceof Fault ? error.cause : error;
  return cause instanceof Refused && cause.status === status;
};
/** By GitLab itself, and not by what stands before it. */
const isRefusedByGitLab = (error: unknown, status: number): boolean => {
  const cause = error instanceof Fault ? error.cause : error;
  return cause instanceof Refused && cause.status === status && cause.reason !== null;
};
/** Whether GitLab said that the thing asked for is not there, or is not for us to see: it tells the two apart nowhere. */
export const isMissing = (error: unknown): boolean => isRefusedByGitLab(error, 404);
/** Whether GitLab took the request for one that makes no sense as things are. */
export const isSenseless = (error: unknown): boolean => isRefusedWith(error, 400);
/** Whether GitLab understood the request, and could not carry it out. */
export const isUnfulfilled = (error: unknown): boolean => isRefusedWith(error, 422);
/** Whether GitLab does not know the token any more. */
export const isRevoked = (error: unknown): boolean => isRefusedByGitLab(error, 401);
/** Whether GitLab does not let us. */
export const isForbidden = (error: unknown): boolean => isRefusedWith(error, 403);

type Ask = (api: Api, project: string) => Promise<unknown>;

export interface Caller {
  readonly connection: Connection;
  /** Asks in a project, by its id. Throws Faults only; `access-gone` when the project is out of reach. */
  read<T>(repository: Repository, as: z.ZodType<T>, ask: Ask): Promise<Answer<T>>;
  /** The same for what changes something, within GitLab's limits on that kind. */
  write<T>(repository: Repository, how: { readonly kind: WriteKind; readonly as: z.ZodType<T> }, ask: Ask): Promise<Answer<T>>;
  /** Asks about no project. Throws Faults only. */
  ask<T>(as: z.ZodType<T>, ask: (api: Api) => Promise<unknown>): Promise<T>;
  /** As GitLab has the project now; undefined when it is out of reach, or nobody works in it any more. */
  locate(repository: Pick<Repository, 'forge' | 'id' | 'access'>): Promise<Repository | undefined>;
  /** Id of the user whose token we have. */
  us(): Promise<number>;
  /** Pauses, limits and who we are. */
  forget(): void;
}

/** What GitLab answers to what deletes something is of no interest. */
export const NOTHING = z.unknown();

function faultOf(error: unknown): unknown {
  if (!(error instanceof Refused)) return error;
  if (error.status === 404) return new Fault('access-gone', { cause: error });
  // Two updates of one commit's statuses at once: the later one may be tried again.
  if (error.status === 409) return new Fault('forge-unreachable', { details: { cause: error.message }, cause: error });
  return new Fault('forge-refused', { details: { cause: error.message }, cause: error });
}

/** The way every request to GitLab goes: by ids, pauses and limits kept, errors translated. */
export function createCaller(connection: Connection): Caller {
  const limits = createLimits(GITLAB_WINDOWS);
  const api = openApi(connection, limits);
  let known: number | undefined;

  async function guarded<T>(as: z.ZodType<T>, run: () => Promise<unknown>): Promise<T> {
    try {
      return strict(as, await run());
    } catch (error) {
      throw faultOf(error);
    }
  }

  async function find(id: string): Promise<Project | undefined> {
    try {
      return await guarded(projectAnswer, () => api.projects.show(id));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  }

  async function read<T>(repository: Repository, as: z.ZodType<T>, ask: Ask): Promise<Answer<T>> {
    if (repository.access !== connection.access) throw new Fault('access-gone');
    try {
      return { kind: 'found', data: await guarded(as, () => ask(api, repository.id)) };
    } catch (error) {
      if (!isRefusedWith(error, 404)) throw error;
      // The project is out of reach, or only the thing itself is missing; the former takes GitLab's own word.
      if ((await find(repository.id)) === undefined) throw new Fault('access-gone', { cause: error });
      return { kind: 'missing' };
    }
  }

  return {
    connection,
    read,
    async write(repository, { kind, as }, ask) {
      await limits.take(connection.access, kind);
      return read(repository, as, ask);
    },
    ask: (as, ask) => guarded(as, () => ask(api)),
    async locate({ forge, id, access }) {
      if (access !== connection.access) return undefined;
      const project = await find(id);
      if (project === undefined || parseRepositoryId(project.id) !== id || !isInUse(project)) return undefined;
      return { forge, id, access, name: project.path_with_namespace };
    },
    async us() {
      known ??= (await guarded(z.object({ id: z.number() }), () => api.users.showCurrentUser())).id;
      return known;
    },
    forget() {
      limits.forget(connection.access);
      known = undefined;
    },
  };
}
