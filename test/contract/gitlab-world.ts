import { once } from 'node:events';
import { createServer } from 'node:http';
import { createGitLabForge } from '../../src/app/forges/gitlab.ts';
import { GITLAB } from '../../src/app/forges/gitlab-events.ts';
import { parseRepositoryId, type Repository } from '../../src/site/identity.ts';
import { createGitLab, type Options, type Pull, type Repo } from '../doubles/gitlab.ts';
import { openClone } from './clone.ts';
import type { DeliveriesWorld } from './forge-deliveries.ts';
import type { FactsWorld } from './forge-facts.ts';
import type { SourceWorld } from './forge-source.ts';
import type { VoiceWorld } from './forge-voice.ts';

// Where GitLab differs from GitHub, and the suites let it:
// - a check is a commit status: one line and a link, with no room for a log, and a new id each time that it begins anew;
// - a deployment belongs to an environment of its merge request, so two sites never share one, and GitLab by itself counts the newest
//   deployment that succeeded: `inactive` is what we call the others here;
// - over the API no deployment waits: a queued one runs;
// - nothing on a deployment names its site, so places are told by the number of their pull alone;
// - a webhook that is asked for again and fails again is told as a failure at once.

/** Nobody listens there. */
const CLOSED = 'http://127.0.0.1:9/';
const ACCESS = 'token';
/** Another Mayfly's sites are elsewhere. */
export const PREVIEW_URL = new URL('https://preview.example');

/** GitLab's double, one project on it, and the adapter opened on it. A request that the double does not know fails the test. */
export async function openGitLabWorld(options: Options & { readonly timeoutMs?: number } = {}) {
  await using stack = new AsyncDisposableStack();
  const { timeoutMs, ...rest } = options;
  const gitlab = stack.use(await createGitLab({ path: '/gitlab', ...rest }));
  const { url, token } = gitlab;
  const hookUrl = options.webhookUrl ?? CLOSED;
  const connection = {
    forge: GITLAB,
    access: ACCESS,
    url,
    token,
    hookUrl,
    previewUrl: PREVIEW_URL,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
  const repo = await gitlab.createRepository({ name: 'acme/web/shop' });
  const pulls = new Map<number, Pull>();
  const parts = stack.move();
  return {
    gitlab,
    repo,
    connection,
    ...createGitLabForge(connection),
    repository: asRepository(repo),
    remember: (pull: Pull): Pull => {
      pulls.set(pull.number, pull);
      return pull;
    },
    pull(number: number): Pull {
      const found = pulls.get(number);
      if (!found) throw new Error(`no merge request !${number}`);
      return found;
    },
    async [Symbol.asyncDispose]() {
      await parts.disposeAsync();
      if (gitlab.unknownRequests.length > 0)
        throw new Error(`GitLab was asked what it does not know: ${gitlab.unknownRequests.join(', ')}`);
    },
  };
}
export type GitLabWorld = Awaited<ReturnType<typeof openGitLabWorld>>;

export function asRepository(repo: Repo): Repository {
  const id = parseRepositoryId(repo.id);
  if (!id) throw new Error('a project without an id');
  return { forge: GITLAB, id, name: `${repo.owner.login}/${repo.name}`, access: ACCESS };
}

export async function openFacts(): Promise<FactsWorld> {
  const w = await openGitLabWorld();
  const { gitlab, repo } = w;
  return {
    facts: w.facts,
    repository: w.repository,
    async openPull({ from, ...wish }) {
      return w.remember(await gitlab.openPull(repo, { ...wish, ...(from === 'a fork' ? { from: 'stranger' } : {}) }));
    },
    async change(number, to) {
      const pull = w.pull(number);
      if (to === 'closed') await gitlab.close(pull);
      else if (to === 'merged') await gitlab.merge(pull);
      else if (to === 'reopened') await gitlab.reopen(pull);
      else await gitlab.deleteFork(pull);
    },
    write: (files) => gitlab.pushToBranch(repo, 'main', files),
    person(role) {
      gitlab.setPermission(repo, `a-${role}`, role);
      return { id: gitlab.state.users.get(`a-${role}`)?.id ?? 0, login: `a-${role}` };
    },
    async rename() {
      await gitlab.rename(repo, 'store');
      return 'acme/web/store';
    },
    async takeOver(name) {
      const usurper = await gitlab.createRepository({ name });
      await gitlab.openPull(usurper, { title: 'theirs' });
    },
    remove: () => gitlab.removeRepository(repo),
    [Symbol.asyncDispose]: () => w[Symbol.asyncDispose](),
  };
}

const CHECK_STATES: Readonly<Record<string, string>> = { pending: 'queued', running: 'in_progress', failed: 'failure' };
const EMOJI: Readonly<Record<string, string>> = { thumbsup: '+1', thumbsdown: '-1' };

export async function openVoice(): Promise<VoiceWorld> {
  const w = await openGitLabWorld();
  const { gitlab, repo } = w;
  const inWords = (state: string): string => CHECK_STATES[state] ?? state;
  return {
    voice: w.voice,
    repository: w.repository,
    openPull: async () => w.remember(await gitlab.openPull(repo)),
    push: (number) => gitlab.push(w.pull(number), { 'a.txt': 'more' }),
    comments: (number) =>
      gitlab.commentsOf(w.pull(number)).map((comment) => ({
        id: String(comment.id),
        body: comment.body,
        ours: comment.author.id === gitlab.us.id,
        reactions: comment.reactions.map(({ content }) => EMOJI[content] ?? content),
      })),
    plant: (number, by, body) => String(gitlab.plantComment(w.pull(number), by === 'us' ? gitlab.us.login : 'ann', body).id),
    cutNextAnswer: () => gitlab.fail({ match: ({ method }) => method === 'POST', answer: 'cut' }),
    checks: (sha) =>
      gitlab
        .statusesOf(sha)
        .filter(({ retried }) => !retried)
        .map(({ id, status, description, targetUrl }) => ({
          ...{ id: String(id), site: '', text: '', state: inWords(status) },
          ...{ title: description ?? '', url: targetUrl ?? '' },
        })),
    deployments: () => {
      const all = gitlab.deployments(repo);
      const current = new Map(all.filter(({ status }) => status === 'success').map((one) => [one.environment, one]));
      return all.map((one) => ({
        ...{ id: String(one.id), sha: one.sha, url: one.environment.externalUrl ?? '' },
        state: one.status === 'success' && current.get(one.environment) !== one ? 'inactive' : inWords(one.status),
      }));
    },
    deleteComment: (id) => void gitlab.state.comments.delete(Number(id)),
    plantDeployment: (sha) => void gitlab.plantDeployment(repo, { sha, environment: 'preview/mr-99', by: 'another app' }),
    [Symbol.asyncDispose]: () => w[Symbol.asyncDispose](),
  };
}

export async function openSource(): Promise<SourceWorld> {
  const w = await openGitLabWorld({ path: '' });
  const clone = await openClone();
  return {
    source: w.source,
    repository: w.repository,
    openPull: async (from) => (await w.gitlab.openPull(w.repo, from === 'a fork' ? { from: 'stranger' } : {})).sha,
    async rename() {
      await w.gitlab.rename(w.repo, 'store');
      return 'acme/web/store';
    },
    remove: () => w.gitlab.removeRepository(w.repo),
    fetch: clone.fetch,
    async [Symbol.asyncDispose]() {
      await clone[Symbol.asyncDispose]();
      await w[Symbol.asyncDispose]();
    },
  };
}

export async function openDeliveries(): Promise<DeliveriesWorld> {
  let isOpen = false;
  const receiver = createServer((request, response) =>
    request.resume().on('end', () => (isOpen ? response.writeHead(202).end() : request.socket.destroy())),
  );
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const address = receiver.address();
  const webhookUrl = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/`;
  const w = await openGitLabWorld({ webhookUrl });
  const pull = await w.gitlab.openPull(w.repo);
  // What was sent until here is none of the test's.
  w.gitlab.deliveries.splice(0);
  const of = (id: string) => w.gitlab.deliveries.filter(({ guid }) => `gitlab:${guid}` === id);
  return {
    deliveries: w.deliveries,
    door: (to) => {
      isOpen = to === 'open';
    },
    async happens(what) {
      // A hook that has failed four times is put to sleep, and nothing more is on its record.
      for (const hook of w.gitlab.hooksOf(w.repo)) Object.assign(hook, { failures: 0, disabledUntil: null });
      if (what === 'a comment') await w.gitlab.comment(pull, 'ann', 'a word');
      else await w.gitlab.label(pull, 'pushed');
      const id = `gitlab:${w.gitlab.deliveries.at(-1)?.guid ?? ''}`;
      return { id, attempts: of(id).length };
    },
    age(id, ms) {
      for (const delivery of of(id)) {
        delivery.at -= ms;
        delivery.headers = { ...delivery.headers, 'webhook-timestamp': String(Math.floor(delivery.at / 1000)) };
      }
    },
    attempts: (id) => of(id).length,
    async [Symbol.asyncDispose]() {
      receiver.close();
      await w[Symbol.asyncDispose]();
    },
  };
}
