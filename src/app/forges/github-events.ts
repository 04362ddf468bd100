import { z } from 'zod';
import type { ForgeEvent } from '../../site/forge-event.ts';
import { type Repository, toForgeId } from '../../site/identity.ts';
import { numeric, repositoryId, SETTINGS, sha } from './payload.ts';

/** The one GitHub of this Mayfly. */
export const GITHUB = toForgeId('github');
/** GitHub lists at most 20 commits in a push: more may hide a changed file. */
const LISTED_COMMITS = 20;

/** Owner and name; anything else could not be asked for. */
const fullName = z.string().regex(/^[\w.-]{1,100}\/[\w.-]{1,100}$/);

const repository = z.object({ id: repositoryId, full_name: fullName });
const installation = z.object({ id: numeric });
const framed = { repository, installation };

const pullActions = {
  opened: 'opened',
  reopened: 'reopened',
  synchronize: 'pushed',
  closed: 'closed',
  ready_for_review: 'other',
  converted_to_draft: 'other',
  edited: 'other',
  labeled: 'other',
  unlabeled: 'other',
} as const;

const pullPayload = z.object({
  ...framed,
  action: z.enum([
    'opened',
    'reopened',
    'synchronize',
    'closed',
    'ready_for_review',
    'converted_to_draft',
    'edited',
    'labeled',
    'unlabeled',
  ]),
  pull_request: z.object({ number: numeric, head: z.object({ sha }) }),
});

const commentPayload = z.object({
  ...framed,
  action: z.literal('created'),
  issue: z.object({ number: numeric, pull_request: z.object({}) }),
  comment: z.object({
    id: numeric,
    body: z.string().nullable(),
    created_at: z.iso.datetime(),
    user: z.object({ id: numeric, login: z.string().min(1).max(100), type: z.string() }),
    performed_via_github_app: z.unknown().optional(),
  }),
});

const changed = z.array(z.string()).catch([]);
const pushPayload = z.object({
  ...framed,
  ref: z.string().max(1_024),
  deleted: z.boolean().catch(false),
  forced: z.boolean().catch(false),
  commits: z.array(z.object({ added: changed, removed: changed, modified: changed })).catch([]),
});

const repositoryPayload = z.object({ ...framed, action: z.enum(['renamed', 'transferred', 'deleted']) });

const few = z.object({ id: repositoryId, full_name: fullName });
/** A list in which what cannot be read is left out. */
const some = z
  .array(z.unknown())
  .catch([])
  .transform((items) => items.flatMap((item) => few.safeParse(item).data ?? []));
const installationPayload = z.object({
  action: z.enum(['created', 'deleted', 'suspend', 'unsuspend', 'new_permissions_accepted']),
  installation,
  repositories: some,
});
const installationRepositoriesPayload = z.object({
  action: z.enum(['added', 'removed']),
  installation,
  repositories_added: some,
  repositories_removed: some,
});

type Framed = { readonly repository: z.infer<typeof repository>; readonly installation: z.infer<typeof installation> };
const toRepository = (raw: z.infer<typeof few>, access: number): Repository => ({
  forge: GITHUB,
  id: raw.id,
  name: raw.full_name,
  access: String(access),
});
const repositoryOf = (payload: Framed): Repository => toRepository(payload.repository, payload.installation.id);

/** What each wanted event becomes. A payload that is not as GitHub writes it becomes nothing. */
const TRANSLATE: Readonly<Record<string, (payload: unknown) => ForgeEvent | undefined>> = {
  pull_request(raw) {
    const { data } = pullPayload.safeParse(raw);
    if (!data) return undefined;
    const { number, head } = data.pull_request;
    return { type: 'pullChanged', repository: repositoryOf(data), number, action: pullActions[data.action], sha: head.sha };
  },

  issue_comment(raw) {
    const { data } = commentPayload.safeParse(raw);
    if (!data) return undefined;
    const { id, body, created_at: writtenAt, user, performed_via_github_app: app } = data.comment;
    // What an app wrote in a person's name was not typed by the person.
    const kind = user.type === 'User' && (app === null || app === undefined) ? 'person' : 'bot';
    const comment = { id: String(id), body: body ?? '', writtenAt };
    const author = { id: user.id, login: user.login, kind } as const;
    return { type: 'commentWritten', repository: repositoryOf(data), number: data.issue.number, comment, author };
  },

  push(raw) {
    const { data } = pushPayload.safeParse(raw);
    if (!data || data.deleted || !data.ref.startsWith('refs/heads/')) return undefined;
    const { commits, forced } = data;
    const named = commits.some(({ added, removed, modified }) => [added, removed, modified].some((list) => list.includes(SETTINGS)));
    // A forced push may take commits away that are not listed.
    const touchesSettings = forced || commits.length === 0 || commits.length >= LISTED_COMMITS || named;
    return { type: 'branchPushed', repository: repositoryOf(data), branch: data.ref.slice('refs/heads/'.length), touchesSettings };
  },

  repository(raw) {
    const { data } = repositoryPayload.safeParse(raw);
    if (!data) return undefined;
    const now = repositoryOf(data);
    if (data.action !== 'deleted') return { type: 'repositoryRenamed', repository: now };
    return { type: 'repositoriesRemoved', forge: GITHUB, access: now.access, repositories: [now.id] };
  },

  installation(raw) {
    const { data } = installationPayload.safeParse(raw);
    if (!data) return undefined;
    const access = data.installation.id;
    if (data.action === 'deleted' || data.action === 'suspend') return { type: 'accessRemoved', forge: GITHUB, access: String(access) };
    if (data.action === 'unsuspend') return { type: 'accessRestored', forge: GITHUB, access: String(access) };
    return { type: 'repositoriesAdded', repositories: data.repositories.map((one) => toRepository(one, access)) };
  },

  installation_repositories(raw) {
    const { data } = installationRepositoriesPayload.safeParse(raw);
    if (!data) return undefined;
    const access = data.installation.id;
    if (data.action === 'added') {
      return { type: 'repositoriesAdded', repositories: data.repositories_added.map((one) => toRepository(one, access)) };
    }
    const repositories = data.repositories_removed.map(({ id }) => id);
    return { type: 'repositoriesRemoved', forge: GITHUB, access: String(access), repositories };
  },
};

/**
 * A webhook's event in no forge's words; undefined when it is not wanted, or not as GitHub writes it.
 * @param name the `X-GitHub-Event` header
 * @param payload the parsed body, which may be anything; never throws
 */
export function toForgeEvent(name: string, payload: unknown): ForgeEvent | undefined {
  return Object.hasOwn(TRANSLATE, name) ? TRANSLATE[name]?.(payload) : undefined;
}
