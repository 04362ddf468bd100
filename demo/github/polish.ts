import { isObject, type Json, type JsonObject, mapObjects } from '../json.ts';

export type App = { readonly id: number; readonly slug: string; readonly name: string };

/** What the emulator doesn't know: where git's branches are now, and where an ended pull's were when it ended. */
export type Facts = {
  readonly app: App;
  readonly branches: ReadonlyMap<string, string>;
  readonly lastHeads: Map<number, string>;
};

const isBot = (user: Json | undefined): boolean => isObject(user) && user.type === 'Bot';

function withCommit(side: JsonObject, sha: string | undefined): JsonObject {
  return sha === undefined ? side : { ...side, sha };
}

/** A pull follows its branch while it is open; afterwards it keeps the commit that it had. */
function polishPull(pull: JsonObject, { head, base, facts }: { head: JsonObject; base: JsonObject; facts: Facts }): JsonObject {
  const number = Number(pull.number);
  const current = pull.state === 'open' ? facts.branches.get(String(head.ref)) : undefined;
  if (current !== undefined) facts.lastHeads.set(number, current);
  return {
    ...pull,
    head: withCommit(head, facts.lastHeads.get(number)),
    base: withCommit(base, facts.branches.get(String(base.ref))),
  };
}

/** Brings one object of the emulator's answers or events to what GitHub's looks like. */
function polishObject(object: JsonObject, facts: Facts): JsonObject {
  if (isObject(object.head) && isObject(object.base) && typeof object.number === 'number') {
    return polishPull(object, { head: object.head, base: object.base, facts });
  }
  if (typeof object.issue_url === 'string' && typeof object.body === 'string') {
    return { ...object, performed_via_github_app: isBot(object.user) ? { ...facts.app } : null };
  }
  if (typeof object.head_sha === 'string' && 'check_suite' in object) return { ...object, app: { ...facts.app } };
  return object;
}

export const polish = (value: Json, facts: Facts): Json => mapObjects(value, (object) => polishObject(object, facts));

/** An event's payload: as above, with the number of the pull and the mark that an issue is one, which the emulator leaves out. */
export function polishEvent(payload: JsonObject, facts: Facts): JsonObject {
  const polished = polish(payload, facts);
  if (!isObject(polished)) return payload;
  const { pull_request: pull, issue } = polished;
  if (isObject(pull)) return { ...polished, number: pull.number ?? null };
  if (isObject(issue)) {
    const url = String(issue.url).replace('/issues/', '/pulls/');
    const html = String(issue.html_url).replace('/issues/', '/pull/');
    return { ...polished, issue: { ...issue, pull_request: { url, html_url: html } } };
  }
  return polished;
}

const ROLES = ['read', 'triage', 'write', 'maintain', 'admin'];
const PERMISSIONS = ['pull', 'triage', 'push', 'maintain', 'admin'];

/** A collaborator's permission with the detailed one, `user.permissions`, that GitHub sends along. */
export function withPermissions(answer: JsonObject): JsonObject {
  const rank = ROLES.indexOf(String(answer.role_name));
  const permissions = Object.fromEntries(PERMISSIONS.map((name, index) => [name, index <= rank]));
  const user = isObject(answer.user) ? answer.user : {};
  const coarse = rank >= 4 ? 'admin' : rank >= 2 ? 'write' : rank >= 0 ? 'read' : 'none';
  return { ...answer, permission: coarse, user: { ...user, permissions, role_name: answer.role_name ?? '' } };
}
