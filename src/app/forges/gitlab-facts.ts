import { z } from 'zod';
import { parseRepositoryId, type Repository } from '../../site/identity.ts';
import type { Facts, Permission, PullNow } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { type Caller, isForbidden, isInUse, isRevoked, projectAnswer } from './gitlab-call.ts';
import { type Pulls, pullAnswer } from './gitlab-pulls.ts';
import { readUpTo } from './gitlab-requests.ts';

const memberAnswer = z.object({
  id: z.number(),
  /** Of the user: `active`, `blocked`, `deactivated`, `banned` and more. */
  state: z.string(),
  access_level: z.number(),
  /** Of the membership: `active`, or `awaiting` somebody's consent. */
  membership_state: z.string().optional(),
  /** The day from whose beginning it counts for nothing; the row may stand a while longer. */
  expires_at: z.string().nullish(),
});
const userAnswer = z.object({ state: z.string(), bot: z.boolean().catch(false) });

/** https://docs.gitlab.com/api/members/#roles, the highest first. Guests and planners do not see the code, so they are nobody here. */
const ROLES: readonly (readonly [number, Permission])[] = [
  [50, 'admin'],
  [40, 'maintain'],
  [30, 'write'],
  [20, 'read'],
];
const DEVELOPER = 30;

/** GitLab asks for few requests at the same time. */
const AT_ONCE = 8;
const PAGE = { perPage: 100 } as const;

/** Its type knows the second alone. */
const AS_STREAM = { asStream: true, showExpanded: false } as const;
const bytesAnswer = z.custom<ReadableStream<Uint8Array> | null>((value) => value === null || value instanceof ReadableStream);
const treeAnswer = z.array(z.object({ path: z.string(), mode: z.string() }));
const LINK_MODE = '120000';
const diffsAnswer = z.array(z.object({ old_path: z.string(), new_path: z.string() }));

export function gitlabFacts(caller: Caller, pulls: Pulls): Facts {
  const { connection } = caller;

  /** Whether the account is a program's, whatever it is called, or is blocked. One that we are not shown is known by its membership. */
  async function isBarred(repository: Repository, user: number): Promise<boolean> {
    const answer = await caller.read(repository, userAnswer, (api) => api.users.show(user));
    return answer.kind === 'found' && (answer.data.state !== 'active' || answer.data.bot);
  }

  /** GitLab gives a link's target for its content. A target of several lines is no path, so most files need no second look. */
  async function isLink(
    repository: Repository,
    { ref, path, text }: { readonly ref: string; readonly path: string; readonly text: string },
  ) {
    if (text.includes('\n')) return false;
    const folder = path.split('/').slice(0, -1).join('/');
    const at = { ref, ...PAGE, ...(folder === '' ? {} : { path: folder }) };
    const tree = await caller.read(repository, treeAnswer, (api, project) => api.trees.allRepositoryTrees(project, at));
    return tree.kind === 'found' && tree.data.some((entry) => entry.path === path && entry.mode === LINK_MODE);
  }

  return {
    async permission(repository, user) {
      const answer = await caller.read(repository, memberAnswer, (api, project) =>
        api.members.show(project, user.id, { includeInherited: true }),
      );
      if (answer.kind === 'missing' || !isMember(answer.data, user.id)) return 'none';
      const { access_level: level } = answer.data;
      const permission = ROLES.find(([from]) => level >= from)?.[1] ?? 'none';
      return permission === 'none' || (await isBarred(repository, user.id)) ? 'none' : permission;
    },

    async file(repository, { ref, path, maxBytes }) {
      const answer = await caller.read(repository, bytesAnswer, (api, project) => api.files.showRaw(project, path, ref, AS_STREAM));
      if (answer.kind === 'missing') return undefined;
      const text = (await readUpTo(answer.data, maxBytes)).toString('utf8');
      return (await isLink(repository, { ref, path, text })) ? undefined : text;
    },

    async pull(repository, number) {
      const answer = await caller.read(repository, pullAnswer, (api, project) => api.pulls.show(project, number));
      return answer.kind === 'missing' ? undefined : pulls.toPull(repository, answer.data);
    },

    async changedPaths(repository, number) {
      const pull = await caller.read(repository, pullAnswer, (api, project) => api.pulls.show(project, number));
      const diffs = await caller.read(repository, diffsAnswer, (api, project) => api.pulls.allDiffs(project, number, PAGE));
      if (pull.kind === 'missing' || diffs.kind === 'missing') return null;
      const { changes_count: count } = pull.data;
      // GitLab leaves out what is too much for it, and counts no further than that. Right after the opening it has not counted yet.
      if (typeof count === 'string' ? count !== String(diffs.data.length) : diffs.data.length === 0) return null;
      return [...new Set(diffs.data.flatMap(({ old_path: before, new_path: after }) => [after, before]))];
    },

    async openPulls(repository) {
      // One that waits for its deletion lists them still.
      if ((await caller.locate(repository)) === undefined) throw new Fault('access-gone');
      // Oldest first: one that opens meanwhile moves none to a page that was read.
      const order = { state: 'opened', orderBy: 'created_at', sort: 'asc' } as const;
      const answer = await caller.read(repository, z.array(pullAnswer), (api, project) =>
        api.pulls.all({ projectId: project, ...order, ...PAGE }),
      );
      const seen = answer.kind === 'found' ? answer.data : [];
      const open: (PullNow | undefined)[] = [];
      for (let from = 0; from < seen.length; from += AT_ONCE) {
        open.push(...(await Promise.all(seen.slice(from, from + AT_ONCE).map((one) => pulls.toPull(repository, one)))));
      }
      return open.filter((pull) => pull !== undefined);
    },

    repository: (repository) => caller.locate(repository),

    async accesses() {
      try {
        await caller.ask(z.object({ id: z.number() }), (api) => api.users.showCurrentUser());
        return [connection.access];
      } catch (error) {
        // Revoked, or its user blocked: it opens nothing.
        if (isRevoked(error) || isForbidden(error)) return [];
        throw error;
      }
    },

    async repositories(access) {
      if (access !== connection.access) throw new Fault('access-gone');
      const mine = { membership: true, minAccessLevel: DEVELOPER, orderBy: 'id', sort: 'asc', ...PAGE } as const;
      const projects = await caller.ask(z.array(projectAnswer), (api) => api.projects.all(mine));
      return projects.filter(isInUse).flatMap(({ id: raw, path_with_namespace: name }) => {
        const id = parseRepositoryId(raw);
        return id === undefined ? [] : [{ forge: connection.forge, id, name, access }];
      });
    },
  };
}

function isMember(member: z.infer<typeof memberAnswer>, user: number): boolean {
  const isAwaiting = member.membership_state !== undefined && member.membership_state !== 'active';
  const isOver = typeof member.expires_at === 'string' && Date.parse(member.expires_at) <= Date.now();
  return member.id === user && member.state === 'active' && !isAwaiting && !isOver;
}
