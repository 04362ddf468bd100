import { z } from 'zod';
import { parseRepositoryId, parseSha, type Repository, type Sha } from '../../site/identity.ts';
import type { Facts, Permission, PullNow } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { STRANGE, strict } from './answer.ts';
import { type Caller, isMissing } from './github-call.ts';
import { GITHUB } from './github-events.ts';
import { openPullPages, type PullAnswer, pullAnswer } from './github-pulls.ts';
import { drop, type Gone, type Learnt } from './gone.ts';

const permissionAnswer = z.object({
  role_name: z.string().optional(),
  user: z.object({ id: z.number(), permissions: z.record(z.string(), z.boolean()).optional() }).nullable(),
});
const ROLES: Readonly<Record<string, Permission>> = { admin: 'admin', maintain: 'maintain', push: 'write', triage: 'read', pull: 'read' };
/** The same by `role_name`, for servers that leave `permissions` out. A role with a name of its own counts for nothing. */
const ROLE_NAMES: Readonly<Record<string, Permission>> = { ...ROLES, write: 'write', read: 'read' };

const fileAnswer = z.object({ type: z.literal('file'), size: z.number(), encoding: z.string(), content: z.string() });

const repositoriesAnswer = z.array(z.object({ id: z.number(), full_name: z.string() }));
const installationsAnswer = z.array(z.object({ id: z.number(), suspended_at: z.string().nullish() }));

/** Commits do not change: the titles of so many are kept. */
const MAX_TITLES = 5_000;
/** GitHub asks for few requests at the same time. */
const AT_ONCE = 8;
/** GitHub lists no more files of one pull. */
const LISTED_FILES = 3_000;

export function githubFacts(caller: Caller): { readonly facts: Facts; readonly forget: (gone: Gone) => void } {
  const titles = new Map<string, Learnt<string>>();
  const pages = openPullPages(caller);

  async function titleOf(repository: Repository, sha: Sha): Promise<string> {
    const known = titles.get(sha);
    if (known !== undefined) return known.value;
    const title = await readTitle(repository, sha);
    if (titles.size >= MAX_TITLES) titles.clear();
    titles.set(sha, { of: repository, value: title });
    return title;
  }

  async function readTitle(repository: Repository, sha: Sha): Promise<string> {
    const answer = await caller.read(repository, (octokit, named) => octokit.rest.repos.getCommit({ ...named, ref: sha, per_page: 1 }));
    if (answer.kind === 'missing') return '';
    return strict(z.object({ commit: z.object({ message: z.string() }) }), answer.data).commit.message.split('\n', 1)[0] ?? '';
  }

  async function toPull(repository: Repository, answer: PullAnswer): Promise<PullNow> {
    const sha = parseSha(answer.head.sha);
    if (!sha) throw new Fault('forge-unreachable', { details: STRANGE });
    const head = {
      sha,
      branch: answer.head.ref,
      base: answer.base.ref,
      title: answer.title,
      commitTitle: await titleOf(repository, sha),
      author: answer.user?.login ?? 'ghost',
      repository: parseRepositoryId(answer.head.repo?.id) ?? null,
      // A head in another repository, or in one that is gone, is somebody else's code.
      trust: answer.head.repo?.id === answer.base.repo.id ? ('trusted' as const) : ('untrusted' as const),
      draft: answer.draft,
    };
    const state = answer.merged_at !== null ? 'merged' : answer.state;
    const closedAt = answer.closed_at === null ? null : new Date(answer.closed_at);
    return { number: answer.number, state, closedAt, labels: answer.labels.map(({ name }) => name), head };
  }

  /** Undefined when the name has come to belong to another repository. */
  const isOurs = (repository: Repository, answer: PullAnswer): boolean => String(answer.base.repo.id) === repository.id;

  const facts: Facts = {
    async permission(repository, user) {
      const answer = await caller.read(repository, (octokit, named) =>
        octokit.rest.repos.getCollaboratorPermissionLevel({ ...named, username: user.login }),
      );
      if (answer.kind === 'missing') return 'none';
      const seen = strict(permissionAnswer, answer.data);
      // A login may have passed to somebody else since the event.
      if (seen.user?.id !== user.id) return 'none';
      const granted = seen.user.permissions;
      if (!granted) return ROLE_NAMES[seen.role_name ?? ''] ?? 'none';
      const highest = Object.keys(ROLES).find((role) => granted[role] === true);
      return ROLES[highest ?? ''] ?? 'none';
    },

    async file(repository, { ref, path, maxBytes }) {
      const answer = await caller.read(repository, (octokit, named) => octokit.rest.repos.getContent({ ...named, path, ref }));
      if (answer.kind === 'missing') return undefined;
      const file = fileAnswer.safeParse(answer.data);
      if (!file.success) return undefined; // a folder, a submodule, a link that leads nowhere
      const tooLarge = () => new Fault('forge-refused', { details: { cause: `${path} is larger than ${maxBytes} bytes` } });
      // GitHub leaves the content of files over 1 MB out.
      if (file.data.size > maxBytes || file.data.encoding !== 'base64') throw tooLarge();
      return Buffer.from(file.data.content, 'base64').toString('utf8');
    },

    async pull(repository, number) {
      const ask = (where: Repository) => caller.read(where, (octokit, named) => octokit.rest.pulls.get({ ...named, pull_number: number }));
      const answer = await ask(repository);
      if (answer.kind === 'missing') return undefined;
      const seen = strict(pullAnswer, answer.data);
      if (isOurs(repository, seen)) return toPull(repository, seen);
      const today = await caller.locate(repository);
      const again = today && (await ask(today));
      if (!today || !again) throw new Fault('access-gone');
      if (again.kind === 'missing') return undefined;
      const second = strict(pullAnswer, again.data);
      if (!isOurs(today, second)) throw new Fault('access-gone');
      return toPull(today, second);
    },

    async changedPaths(repository, number) {
      const answer = await caller.readAll(repository, {
        ask: (octokit, at) => octokit.rest.pulls.listFiles({ ...at, pull_number: number }),
        items: (data) => data,
      });
      if (answer.kind === 'missing' || answer.data.length >= LISTED_FILES) return null;
      return answer.data.flatMap(({ filename, previous_filename: before }) => (before === undefined ? [filename] : [filename, before]));
    },

    async openPulls(repository) {
      const seen = (await pages.all(repository)).filter((one) => isOurs(repository, one));
      const pulls: PullNow[] = [];
      for (let from = 0; from < seen.length; from += AT_ONCE) {
        pulls.push(...(await Promise.all(seen.slice(from, from + AT_ONCE).map((one) => toPull(repository, one)))));
      }
      return pulls;
    },

    async repository(repository) {
      return caller.locate(repository);
    },

    async accesses() {
      const list = await caller
        .asApp((octokit) => octokit.paginate(octokit.rest.apps.listInstallations, { per_page: 100 }))
        .catch((error: unknown) => {
          // Servers that only speak GitHub's language do not all list them.
          if (isMissing(error)) return [];
          throw error;
        });
      return strict(installationsAnswer, list).flatMap(({ id, suspended_at: suspended }) => (suspended ? [] : [String(id)]));
    },

    async repositories(access) {
      const list = await caller.guarded(access, (octokit) =>
        octokit.paginate(octokit.rest.apps.listReposAccessibleToInstallation, { per_page: 100 }),
      );
      return strict(repositoriesAnswer, list).flatMap(({ id: raw, full_name: name }) => {
        const id = parseRepositoryId(raw);
        return id === undefined ? [] : [{ forge: GITHUB, id, name, access }];
      });
    },
  };
  return {
    facts,
    forget(gone) {
      drop(titles, gone);
      pages.forget(gone);
    },
  };
}
