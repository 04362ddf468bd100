import { once } from 'node:events';
import { createServer } from 'node:http';
import { type Logger, pino } from 'pino';
import { createGitHubForge } from '../../src/app/forges/github.ts';
import { openGitHub } from '../../src/app/probot.ts';
import { parseRepositoryId, type Repository, toForgeId } from '../../src/site/identity.ts';
import { createGitHub, type Pull, type Repo } from '../doubles/github.ts';
import { openClone } from './clone.ts';
import type { DeliveriesWorld } from './forge-deliveries.ts';
import type { FactsWorld } from './forge-facts.ts';
import type { SourceWorld } from './forge-source.ts';
import type { VoiceWorld } from './forge-voice.ts';

/** GitHub's double, one repository on it, and the adapter opened on it. A request that the double does not know fails the test. */
export async function openGitHubWorld(options: { readonly timeoutMs?: number; readonly log?: Logger } = {}) {
  await using stack = new AsyncDisposableStack();
  const github = stack.use(await createGitHub());
  const { appId, privateKey, webhookSecret, url: apiUrl, serverUrl } = github;
  const settings = { appId, privateKey, webhookSecret, apiUrl, serverUrl, clientId: null, clientSecret: null };
  const app = openGitHub(settings, { log: pino({ level: 'silent' }), ...options });
  const repo = await github.createRepository({ name: 'acme/shop' });
  const pulls = new Map<number, Pull>();
  const parts = stack.move();
  return {
    github,
    app,
    repo,
    ...createGitHubForge(app, 'test'),
    repository: asRepository(repo, github.installationIdOf(repo)),
    remember: (pull: Pull): Pull => {
      pulls.set(pull.number, pull);
      return pull;
    },
    pull(number: number): Pull {
      const found = pulls.get(number);
      if (!found) throw new Error(`no pull #${number}`);
      return found;
    },
    async [Symbol.asyncDispose]() {
      await parts.disposeAsync();
      if (github.unknownRequests.length > 0)
        throw new Error(`GitHub was asked what it does not know: ${github.unknownRequests.join(', ')}`);
    },
  };
}
export type GitHubWorld = Awaited<ReturnType<typeof openGitHubWorld>>;

export function asRepository(repo: Repo, installation: number): Repository {
  const id = parseRepositoryId(repo.id);
  if (!id) throw new Error('a repository without an id');
  return { forge: toForgeId('github'), id, name: `${repo.owner.login}/${repo.name}`, access: String(installation) };
}

export async function openFacts(): Promise<FactsWorld> {
  const w = await openGitHubWorld();
  const { github, repo } = w;
  return {
    facts: w.facts,
    repository: w.repository,
    async openPull({ from, ...wish }) {
      return w.remember(await github.openPull(repo, { ...wish, ...(from === 'a fork' ? { from: 'stranger' } : {}) }));
    },
    async change(number, to) {
      const pull = w.pull(number);
      if (to === 'closed') await github.close(pull);
      else if (to === 'merged') await github.merge(pull);
      else if (to === 'reopened') await github.reopen(pull);
      else github.deleteFork(pull);
    },
    write: (files) => github.pushToBranch(repo, 'main', files),
    person(role) {
      github.setPermission(repo, `a-${role}`, role);
      return { id: github.state.users.get(`a-${role}`)?.id ?? 0, login: `a-${role}` };
    },
    async rename() {
      await github.rename(repo, 'store');
      return 'acme/store';
    },
    async takeOver(name) {
      const usurper = await github.createRepository({ name });
      await github.openPull(usurper, { title: 'theirs' });
    },
    remove: () => github.removeRepository(repo),
    [Symbol.asyncDispose]: () => w[Symbol.asyncDispose](),
  };
}

export async function openVoice(): Promise<VoiceWorld> {
  const w = await openGitHubWorld();
  const { github, repo } = w;
  return {
    voice: w.voice,
    repository: w.repository,
    openPull: async () => w.remember(await github.openPull(repo)),
    push: (number) => github.push(w.pull(number), { 'a.txt': 'more' }),
    comments: (number) =>
      github.commentsOf(w.pull(number)).map((comment) => ({
        id: String(comment.id),
        body: comment.body,
        ours: comment.viaApp === github.appId,
        reactions: comment.reactions.map(({ content }) => content),
      })),
    plant: (number, by, body) => String(github.plantComment(w.pull(number), by === 'us' ? github.state.app.bot.login : 'ann', body).id),
    cutNextAnswer: () => github.fail({ match: ({ method, path }) => method === 'POST' && !path.endsWith('/access_tokens'), answer: 'cut' }),
    checks: (sha) =>
      github.checksOf(sha).map((check) => ({
        id: String(check.id),
        site: check.externalId,
        state: check.conclusion ?? check.status,
        title: check.output.title ?? '',
        text: check.output.text ?? '',
        url: check.detailsUrl ?? '',
      })),
    deployments: () =>
      github.deployments(repo).map(({ id, sha, statuses }) => {
        const newest = statuses.at(-1);
        return { id: String(id), sha, state: newest?.state ?? 'pending', url: newest?.environmentUrl ?? '' };
      }),
    deleteComment: (id) => void github.state.comments.delete(Number(id)),
    plantDeployment: (sha, site) => void w.github.plantDeployment(w.repo, { sha, site, by: 'another app' }),
    [Symbol.asyncDispose]: () => w[Symbol.asyncDispose](),
  };
}

export async function openSource(): Promise<SourceWorld> {
  const w = await openGitHubWorld();
  const clone = await openClone();
  return {
    source: w.source,
    repository: w.repository,
    openPull: async (from) => (await w.github.openPull(w.repo, from === 'a fork' ? { from: 'stranger' } : {})).sha,
    async rename() {
      await w.github.rename(w.repo, 'store');
      return 'acme/store';
    },
    remove: () => w.github.removeRepository(w.repo),
    fetch: clone.fetch,
    async [Symbol.asyncDispose]() {
      await clone[Symbol.asyncDispose]();
      await w[Symbol.asyncDispose]();
    },
  };
}

/** Nobody listens there. */
const CLOSED = 'http://127.0.0.1:9/';

export async function openDeliveries(): Promise<DeliveriesWorld> {
  const w = await openGitHubWorld();
  const receiver = createServer((request, response) => request.resume().on('end', () => response.writeHead(202).end()));
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const address = receiver.address();
  const open = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/`;
  const pull = await w.github.openPull(w.repo);
  w.github.sendWebhooksTo(CLOSED);
  const of = (guid: string) => w.github.deliveries.filter((delivery) => delivery.guid === guid);
  return {
    deliveries: w.deliveries,
    door: (to) => w.github.sendWebhooksTo(to === 'open' ? open : CLOSED),
    async happens(what) {
      if (what === 'a comment') await w.github.comment(pull, 'ann', 'a word');
      else await w.github.label(pull, 'pushed');
      const guid = w.github.deliveries.at(-1)?.guid ?? '';
      return { id: guid, attempts: of(guid).length };
    },
    age(guid, ms) {
      for (const delivery of of(guid)) delivery.at -= ms;
    },
    attempts: (guid) => of(guid).length,
    async [Symbol.asyncDispose]() {
      receiver.close();
      await w[Symbol.asyncDispose]();
    },
  };
}
