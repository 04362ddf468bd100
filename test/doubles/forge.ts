import { createHash } from 'node:crypto';
import { type ForgeId, parseRepositoryId, parseSha, type Repository, type RepositoryId, type Sha } from '../../src/site/identity.ts';
import type { Facts, Permission, PullNow } from '../../src/site/ports.ts';
import { Fault } from '../../src/site/problem.ts';
import { type ForgeCheck, type ForgeComment, type ForgeDeployment, openForgeVoice } from './forge-voice.ts';

/** A pull as the forge has it. `shas` are all commits that its branch ever had, oldest first. */
export type ForgePull = {
  readonly number: number;
  readonly author: string;
  readonly branch: string;
  readonly isFork: boolean;
  state: PullNow['state'];
  closedAt: Date | null;
  draft: boolean;
  labels: string[];
  title: string;
  message: string;
  base: string;
  sha: Sha;
  readonly shas: Sha[];
  /** The repository that the branch is in; null when it was deleted. */
  head: RepositoryId | null;
};
type Files = Readonly<Record<string, string | null>>;
export type ForgeUser = { readonly id: number; readonly login: string };

/** One repository on a forge, whole, in memory: the forge's own truth. A file of null is a link that leads out of the repository. */
export function createForge(repository: Repository) {
  const pulls = new Map<number, ForgePull>();
  const comments = new Map<number, ForgeComment>();
  const checks: ForgeCheck[] = [];
  const deployments: ForgeDeployment[] = [];
  const users = new Map<number, ForgeUser & { role: Permission }>();
  const branches = new Map<string, Files>();
  const commits = new Map<string, Files>();
  let serial = 0;
  const next = (): number => ++serial;
  const repo = { name: repository.name, isOpen: true, isAway: false, cutsNextAnswer: false };
  const newSha = (): Sha => toSha(createHash('sha1').update(`${repository.id} commit ${next()}`).digest('hex'));
  const answers = (): void => {
    if (repo.isAway) throw new Fault('forge-unreachable', { details: { cause: 'it is away' } });
    if (!repo.isOpen) throw new Fault('access-gone');
  };
  /** What is new is there, whether or not whoever made it lives to hear of it. */
  const answered = (): void => {
    if (!repo.cutsNextAnswer) return;
    repo.cutsNextAnswer = false;
    throw new Fault('forge-unreachable', { details: { cause: 'the answer was cut' } });
  };

  return {
    repository,
    pulls,
    comments,
    checks,
    deployments,
    users,
    /** Whether the app may reach the repository; whether the forge answers, and whether what it makes next is told of. */
    repo,
    /** A number, greater than any before: ids grow. */
    next,
    newSha,
    person(id: number, role: Permission): ForgeUser {
      const user = { id, login: `user-${id}`, role };
      users.set(id, user);
      return user;
    },
    openPull(wish: { readonly number: number; readonly author: string; readonly head: RepositoryId } & Partial<ForgePull>): ForgePull {
      const sha = newSha();
      const base = {
        state: 'open',
        closedAt: null,
        draft: false,
        labels: [],
        title: 'A pull',
        message: 'a commit',
        base: 'main',
        branch: 'topic',
      } as const;
      const pull: ForgePull = { ...base, labels: [], sha, shas: [sha], isFork: wish.head !== repository.id, ...wish };
      pulls.set(pull.number, pull);
      return pull;
    },
    push(pull: ForgePull, sha = newSha()): void {
      pull.sha = sha;
      pull.shas.push(sha);
    },
    /** A commit to a branch of the repository; the files beside these stay. */
    write(branch: string, files: Files): Sha {
      const sha = newSha();
      const all = { ...branches.get(branch), ...files };
      branches.set(branch, all);
      commits.set(sha, all);
      return sha;
    },
    /** What the default branch has for settings now. */
    settings: (): string => branches.get('main')?.['.mayfly.yml'] ?? '',
    say(number: number, by: 'us' | 'a person', body: string): ForgeComment {
      const comment: ForgeComment = { id: next(), number, ours: by === 'us', body, reactions: [] };
      comments.set(comment.id, comment);
      return comment;
    },
    facts: openFacts({ repository, pulls, users, repo, answers, files: (ref) => branches.get(ref) ?? commits.get(ref) }),
    voice: openForgeVoice({ repository, comments, checks, deployments, next, answers, answered }),
  };
}
export type ForgeDouble = ReturnType<typeof createForge>;

export function toSha(text: string): Sha {
  const sha = parseSha(text);
  if (sha === undefined) throw new Error(`${text} is no commit`);
  return sha;
}
export const toRepositoryId = (id: number): RepositoryId => {
  const parsed = parseRepositoryId(id);
  if (parsed === undefined) throw new Error(`${id} is no repository`);
  return parsed;
};
export const repositoryOf = (forge: ForgeId, id: number): Repository => ({
  forge,
  id: toRepositoryId(id),
  name: `acme/r${id}`,
  access: '1',
});

type Seen = {
  readonly repository: Repository;
  readonly pulls: ReadonlyMap<number, ForgePull>;
  readonly users: ReadonlyMap<number, ForgeUser & { role: Permission }>;
  readonly repo: { readonly name: string; readonly isOpen: boolean };
  readonly answers: () => void;
  readonly files: (ref: string) => Files | undefined;
};

function openFacts({ repository, pulls, users, repo, answers, files }: Seen): Facts {
  const toNow = (pull: ForgePull): PullNow => ({
    number: pull.number,
    state: pull.state,
    closedAt: pull.state === 'open' ? null : pull.closedAt,
    labels: [...pull.labels],
    head: {
      sha: pull.sha,
      branch: pull.branch,
      base: pull.base,
      title: pull.title,
      commitTitle: pull.message.split('\n')[0] ?? '',
      author: pull.author,
      repository: pull.head,
      trust: pull.head === repository.id ? 'trusted' : 'untrusted',
      draft: pull.draft,
    },
  });
  const named = (): Repository => ({ ...repository, name: repo.name });
  return {
    async permission(_, { id, login }) {
      answers();
      // A login may have passed to somebody else.
      const user = users.get(id);
      return user?.login === login ? user.role : 'none';
    },
    async file(_, { ref, path, maxBytes }) {
      answers();
      const text = files(ref)?.[path];
      if (typeof text !== 'string') return undefined;
      if (Buffer.byteLength(text) > maxBytes) throw new Fault('forge-refused', { details: { cause: 'too large' } });
      return text;
    },
    async pull(_, number) {
      answers();
      const pull = pulls.get(number);
      return pull && toNow(pull);
    },
    async changedPaths() {
      answers();
      // Every pull of this forge changes the same file.
      return ['a.txt'];
    },
    async openPulls() {
      answers();
      return [...pulls.values()].filter(({ state }) => state === 'open').map(toNow);
    },
    async repository() {
      return repo.isOpen ? named() : undefined;
    },
    accesses: async () => [repository.access],
    repositories: async () => (repo.isOpen ? [named()] : []),
  };
}
