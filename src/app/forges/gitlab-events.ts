import { z } from 'zod';
import type { ForgeEvent } from '../../site/forge-event.ts';
import { type ForgeId, parseRepositoryId, type Repository, type RepositoryId, toForgeId } from '../../site/identity.ts';
import { numeric, repositoryId, SETTINGS, sha } from './payload.ts';

/** The GitLab of the settings. Others that are connected one day have ids of their own. */
export const GITLAB = toForgeId('gitlab');

/** Groups, as deep as they nest, and the project; anything else could not be asked for. */
export const PROJECT_PATH = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[\w.][\w.-]*(?:\/[\w.][\w.-]*)+$/;
const project = z.object({ id: repositoryId, path_with_namespace: z.string().max(1_024).regex(PROJECT_PATH) });

/** What the connection is called; the same as of the repositories that it opens. */
export type Side = { readonly forge: ForgeId; readonly access: string };
/** Of the one GitLab with the one token: what its projects' `access` is called. */
export const GITLAB_SIDE: Side = { forge: GITLAB, access: 'token' };
const toRepository = ({ forge, access }: Side, { id, path_with_namespace: name }: z.infer<typeof project>): Repository => ({
  ...{ forge, id, name, access },
});

const actions = { open: 'opened', reopen: 'reopened', close: 'closed', merge: 'closed' } as const;
const pullPayload = z.object({
  project,
  object_attributes: z.object({
    iid: numeric,
    action: z.enum(['open', 'reopen', 'close', 'merge', 'update']),
    target_project_id: z.unknown().optional(),
    /** The commit before, where the event is a push. */
    oldrev: z.unknown().optional(),
    last_commit: z.object({ id: sha }),
  }),
});

const person = z.object({
  id: numeric.optional(),
  username: z.string().min(1).max(255),
  bot: z.unknown().optional(),
  user_type: z.unknown().optional(),
});
const notePayload = z.object({
  project,
  /** `confidential_note` for what only members may see. */
  event_type: z.literal('note').optional(),
  user: person,
  object_attributes: z.object({
    id: numeric,
    note: z.string(),
    noteable_type: z.literal('MergeRequest'),
    author_id: numeric,
    /** Versions before 16.11 leave it out. */
    action: z.literal('create').optional(),
    system: z.literal(false).optional(),
    internal: z.literal(false).nullish(),
    confidential: z.literal(false).nullish(),
    created_at: z.string().max(64),
    updated_at: z.unknown().optional(),
  }),
  merge_request: z.object({ iid: numeric, target_project_id: z.unknown().optional() }),
});

const changed = z.array(z.string()).catch([]);
const pushPayload = z.object({
  project,
  ref: z.string().max(1_024),
  after: sha,
  commits: z.array(z.object({ added: changed, modified: changed, removed: changed })).catch([]),
  total_commits_count: z.number().catch(0),
});

/** Users that access tokens of projects and groups have made (https://docs.gitlab.com/user/project/settings/project_access_tokens/). */
const BOT_NAME = /^(?:project|group)_\d+_bot/i;
export const isBot = ({ username, bot, user_type: type }: Pick<z.infer<typeof person>, 'username' | 'bot' | 'user_type'>): boolean =>
  BOT_NAME.test(username) || bot === true || (typeof type === 'string' && type !== 'human');
/** What we write bears it on its first line, also where we write with a person's own token. */
const OUR_MARKER = /^\s*<!-- mayfly:site=/;
export const isOurs = (body: string): boolean => OUR_MARKER.test(body);

/** `2026-01-02 03:04:05 UTC` or ISO 8601, with the precision that it has; undefined when it is neither. */
function toInstant(text: string): string | undefined {
  const [, day, time, zone] = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d{1,9})?) ?(Z|UTC|[+-]\d\d:?\d\d)$/.exec(text) ?? [];
  if (day === undefined || time === undefined || zone === undefined) return undefined;
  const offset = zone === 'UTC' ? 'Z' : zone.replace(/^([+-]\d\d):?(\d\d)$/, '$1:$2');
  const instant = `${day}T${time}${offset}`;
  return Number.isNaN(Date.parse(instant)) ? undefined : instant;
}

const ZERO = /^0+$/;
const isSameProject = (id: RepositoryId, other: unknown): boolean => other === undefined || parseRepositoryId(other) === id;

/** What each wanted event becomes. A payload that is not as GitLab writes it becomes nothing. */
const TRANSLATE: Readonly<Record<string, (side: Side, payload: unknown) => ForgeEvent | undefined>> = {
  merge_request(side, raw) {
    const { data } = pullPayload.safeParse(raw);
    if (!data || !isSameProject(data.project.id, data.object_attributes.target_project_id)) return undefined;
    const { iid, action, oldrev, last_commit: commit } = data.object_attributes;
    const isPush = typeof oldrev === 'string' && !ZERO.test(oldrev);
    const what = action === 'update' ? (isPush ? 'pushed' : 'other') : actions[action];
    return { type: 'pullChanged', repository: toRepository(side, data.project), number: iid, action: what, sha: commit.id };
  },

  note(side, raw) {
    const { data } = notePayload.safeParse(raw);
    if (!data || !isSameProject(data.project.id, data.merge_request.target_project_id)) return undefined;
    const { id, note: body, author_id: author, action, created_at: created, updated_at: updated } = data.object_attributes;
    const writtenAt = toInstant(created);
    const isNew = action === 'create' || updated === created;
    const isTheirs = data.user.id === undefined || data.user.id === author;
    if (writtenAt === undefined || !isNew || !isTheirs) return undefined;
    return {
      type: 'commentWritten',
      repository: toRepository(side, data.project),
      number: data.merge_request.iid,
      comment: { id: String(id), body, writtenAt },
      author: { id: author, login: data.user.username, kind: isBot(data.user) || isOurs(body) ? 'bot' : 'person' },
    };
  },

  push(side, raw) {
    const { data } = pushPayload.safeParse(raw);
    if (!data?.ref.startsWith('refs/heads/') || ZERO.test(data.after)) return undefined;
    const { commits, total_commits_count: total } = data;
    const named = commits.some(({ added, modified, removed }) => [added, modified, removed].some((list) => list.includes(SETTINGS)));
    // GitLab lists twenty commits at most; none for a new branch, or one that was moved back.
    const touchesSettings = commits.length === 0 || total > commits.length || named;
    const branch = data.ref.slice('refs/heads/'.length);
    return { type: 'branchPushed', repository: toRepository(side, data.project), branch, touchesSettings };
  },
};

const kindOf = z.object({ object_kind: z.string() });

/**
 * A webhook's event in no forge's words; undefined when it is not wanted, or not as GitLab writes it.
 * @param payload the parsed body, which may be anything; never throws
 */
export function toForgeEvent(side: Side, payload: unknown): ForgeEvent | undefined {
  const kind = kindOf.safeParse(payload).data?.object_kind;
  return kind !== undefined && Object.hasOwn(TRANSLATE, kind) ? TRANSLATE[kind]?.(side, payload) : undefined;
}

const DELIVERY_HEADERS = ['idempotency-key', 'webhook-id', 'x-gitlab-event-uuid'] as const;
const DELIVERY_ID = /^[A-Za-z0-9._:-]{1,100}$/;

/** What the inbox knows a delivery by: the same when it is sent again, and never what another forge says. Names of headers in lower case. */
export function deliveryId({ forge }: Pick<Side, 'forge'>, headers: Readonly<Record<string, unknown>>): string | undefined {
  for (const name of DELIVERY_HEADERS) {
    const value = headers[name];
    if (typeof value === 'string' && DELIVERY_ID.test(value)) return `${forge}:${value}`;
  }
  return undefined;
}
