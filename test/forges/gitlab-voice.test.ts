import { expect, test } from 'vitest';
import { createGitLabForge } from '../../src/app/forges/gitlab.ts';
import { withoutOrders } from '../../src/app/forges/gitlab-comment.ts';
import { parseSha, type Sha, toSiteId } from '../../src/site/identity.ts';
import type { Check, Deployment, Place } from '../../src/site/ports.ts';
import { fence } from '../../src/site/text.ts';
import { type GitLabWorld, openGitLabWorld } from '../contract/gitlab-world.ts';

const SITE = toSiteId('01J0000000000000000000000A');
const URL_OF_SITE = 'https://mr-1-shop-abcdefgh.preview.example';

async function withPull(w: GitLabWorld, opening: Parameters<GitLabWorld['gitlab']['openPull']>[1] = {}) {
  const pull = await w.gitlab.openPull(w.repo, opening);
  const place: Place = { repository: w.repository, number: pull.number, site: SITE };
  return { pull, place };
}
const asSha = (text: string): Sha => {
  const sha = parseSha(text);
  if (!sha) throw new Error(`${text} is no commit`);
  return sha;
};
const check = (sha: string, change: Partial<Check> = {}): Check => ({
  ...{ sha: asSha(sha), status: 'queued', title: 'Queued', summary: 'It waits.', text: '', url: null },
  ...change,
});
const deployment = (sha: string, state: Deployment['state'], url: string | null = null): Deployment => ({
  ...{ sha: asSha(sha), state, url, description: 'A preview' },
});
const latest = (w: GitLabWorld, sha: string) => w.gitlab.statusesOf(sha).filter(({ retried }) => !retried);
const posts = (w: GitLabWorld, part: string) =>
  w.gitlab.requests.filter(({ method, path }) => method === 'POST' && path.includes(part)).length;

test('no line of ours is an order to GitLab, wherever the log takes its code block to end', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  const marker = `<!-- mayfly:site=${SITE} -->`;
  const log = ['````', '```', '/merge', '  /approve', '/usr/bin/node: not found', 'a /close in a line'].join('\n');
  await w.voice.ensureComment(place, { marker, body: `${marker}\n/close\n${fence(log)}`, known: null });
  const body = w.gitlab.ourComment(pull)?.body ?? '';
  expect(body.split('\n').filter((line) => /^\s*\//.test(line))).toEqual([]);
  expect(body.replaceAll('\u2060', '')).toBe(`${marker}\n/close\n${fence(log)}`);
  expect(pull.state).toBe('open');
});

test('text without such lines stays as it is', () => {
  const text = '# Title\n\n`/preview stop` · a/b\n\n| / |\n|---|';
  expect(withoutOrders(text)).toBe(text);
});

test('the comment is edited in place, and its address leads to it', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  const marker = `<!-- mayfly:site=${SITE} -->`;
  const { id, url } = await w.voice.ensureComment(place, { marker, body: `${marker}\none`, known: null });
  expect(url).toBe(`${w.gitlab.url}/acme/web/shop/-/merge_requests/${pull.number}#note_${id}`);
});

test('a status has the branch of the merge request; a fork’s, which has none here, the reference to its commits', async () => {
  await using w = await openGitLabWorld();
  const own = await withPull(w, { branch: 'feat/cart' });
  const strange = await withPull(w, { from: 'stranger' });
  for (const { place, pull } of [own, strange]) await w.voice.ensureCheck(place, check(pull.sha), null);
  expect(latest(w, own.pull.sha)).toMatchObject([{ name: 'mayfly', ref: 'feat/cart', status: 'pending' }]);
  expect(latest(w, strange.pull.sha)).toMatchObject([{ name: 'mayfly', ref: `refs/merge-requests/${strange.pull.number}/head` }]);
});

test('a status says its title and leads to the site; its page is one that people can open', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  const done = check(pull.sha, { status: 'success', title: 'é'.repeat(300), text: 'a log', url: URL_OF_SITE });
  const { url } = await w.voice.ensureCheck(place, done, null);
  expect(latest(w, pull.sha)).toMatchObject([{ status: 'success', targetUrl: URL_OF_SITE, description: `${'é'.repeat(254)}…` }]);
  expect(url).toBe(`${w.gitlab.url}/acme/web/shop/-/commit/${pull.sha}/pipelines`);
});

test('the same status twice is said once; what no step leads to changes nothing and fails nothing', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  const running = check(pull.sha, { status: 'inProgress', title: 'Building' });
  const { id } = await w.voice.ensureCheck(place, running, null);
  await w.voice.ensureCheck(place, running, null);
  expect(posts(w, '/statuses/')).toBe(1);
  expect((await w.voice.ensureCheck(place, { ...running, title: 'Deploying' }, id)).id).toBe(id);
  expect((await w.voice.ensureCheck(place, check(pull.sha), id)).id).toBe(id);
  expect(latest(w, pull.sha)).toMatchObject([{ status: 'running', description: 'Building' }]);
  await w.voice.ensureCheck(place, check(pull.sha, { status: 'success' }), id);
  await w.voice.ensureCheck(place, check(pull.sha, { status: 'cancelled', title: 'Superseded' }), id);
  expect(latest(w, pull.sha)).toMatchObject([{ status: 'canceled', description: 'Superseded' }]);
});

test('a status of somebody else of the same name is not ours', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  await w.voice.ensureCheck(place, check(pull.sha, { status: 'success' }), null);
  for (const status of w.gitlab.statusesOf(pull.sha)) Object.assign(status, { user: { ...w.gitlab.us, id: 4_711 } });
  await w.voice.ensureCheck(place, check(pull.sha, { status: 'success' }), null);
  expect(posts(w, '/statuses/')).toBe(2);
});

test('“View app” leads to the site once there is one, and at the end the environment is stopped and gone', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  await w.voice.ensureDeployment(place, deployment(pull.sha, 'queued'), null);
  expect(w.gitlab.environments(w.repo)).toMatchObject([{ name: `preview/mr-${pull.number}`, externalUrl: null }]);
  await w.voice.ensureDeployment(place, deployment(pull.sha, 'success', URL_OF_SITE), null);
  expect(w.gitlab.environments(w.repo)).toMatchObject([{ externalUrl: URL_OF_SITE, state: 'available' }]);
  expect(w.gitlab.deployments(w.repo)).toMatchObject([{ ref: pull.branch, tag: false, status: 'success' }]);
  await w.voice.removeDeployments(place);
  expect(w.gitlab.environments(w.repo)).toEqual([]);
  expect(w.gitlab.deployments(w.repo)).toEqual([]);
});

test('a deployment that runs when the end comes is canceled first', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  await w.voice.ensureDeployment(place, deployment(pull.sha, 'inProgress'), null);
  const [running] = w.gitlab.deployments(w.repo);
  await w.voice.removeDeployments(place);
  expect(running?.statuses.map(({ state }) => state)).toEqual(['running', 'canceled']);
});

test('tried again, a commit that failed gets a deployment of its own', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  for (const state of ['failure', 'failure', 'inProgress', 'success'] as const) {
    await w.voice.ensureDeployment(place, deployment(pull.sha, state), null);
  }
  expect(w.gitlab.deployments(w.repo).map(({ status }) => status)).toEqual(['failed', 'success']);
});

test('an environment that others deploy to is theirs: nothing is put there, and nothing of theirs is taken away', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  w.gitlab.plantDeployment(w.repo, { sha: pull.sha, environment: `preview/mr-${pull.number}`, by: 'their pipeline' });
  await expect(w.voice.ensureDeployment(place, deployment(pull.sha, 'queued'), null)).rejects.toMatchObject({
    code: 'forge-refused',
    details: { cause: expect.stringContaining('others deploy') },
  });
  await w.voice.removeDeployments(place);
  expect(w.gitlab.environments(w.repo)).toHaveLength(1);
  expect(await w.voice.deployedPlaces(w.repository)).toEqual([]);
});

test('where others came to deploy later, of ours goes what GitLab lets go', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  await w.voice.ensureDeployment(place, deployment(pull.sha, 'success', URL_OF_SITE), null);
  const environment = `preview/mr-${pull.number}`;
  const theirs = w.gitlab.plantDeployment(w.repo, { sha: pull.sha, environment, by: 'their pipeline', made: 'job' });
  await w.voice.removeDeployments(place);
  expect(w.gitlab.deployments(w.repo)).toEqual([theirs]);
  expect(w.gitlab.environments(w.repo)).toMatchObject([{ state: 'available' }]);
});

/** The same project and pull, after the token gave way to one whose user is another. */
async function withNewToken(w: GitLabWorld, previewUrl = w.connection.previewUrl) {
  const { user, token } = w.gitlab.mintToken({ login: 'another-bot' });
  w.gitlab.setPermission(w.repo, user.login, 'maintain');
  return createGitLabForge({ ...w.connection, previewUrl, token }).voice;
}

test('what an earlier token’s user made is ours: it goes on, is told, and goes at the end', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  await w.voice.ensureDeployment(place, deployment(pull.sha, 'success', URL_OF_SITE), null);
  const voice = await withNewToken(w);
  expect(await voice.deployedPlaces(w.repository)).toEqual([{ ...place, site: null }]);
  const next = await w.gitlab.push(pull, { 'a.txt': 'more' });
  await voice.ensureDeployment(place, deployment(next, 'success', URL_OF_SITE), null);
  expect(w.gitlab.deployments(w.repo).map(({ user }) => user.login)).toEqual([w.gitlab.us.login, 'another-bot']);
  await voice.removeDeployments(place);
  expect(w.gitlab.environments(w.repo)).toEqual([]);
});

test('one without an address yet is ours by what is remembered, whose ever the token is now', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  const { id } = await w.voice.ensureDeployment(place, deployment(pull.sha, 'queued'), null);
  const voice = await withNewToken(w);
  const next = await w.gitlab.push(pull, { 'a.txt': 'more' });
  await expect(voice.ensureDeployment(place, deployment(next, 'queued'), null)).rejects.toMatchObject({ code: 'forge-refused' });
  await voice.removeDeployments(place);
  expect(w.gitlab.environments(w.repo)).toHaveLength(1);
  await voice.ensureDeployment(place, deployment(next, 'queued'), null, [id]);
  await voice.removeDeployments(place, [id]);
  expect(w.gitlab.environments(w.repo)).toEqual([]);
});

test('of two Mayflys whose tokens are one user’s, each leaves the other’s environments alone', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  await w.voice.ensureDeployment(place, deployment(pull.sha, 'success', URL_OF_SITE), null);
  for (const base of ['https://previews.example', 'https://shop-abcdefgh.preview.example', 'https://example']) {
    const other = createGitLabForge({ ...w.connection, previewUrl: new URL(base) }).voice;
    expect(await other.deployedPlaces(w.repository)).toEqual([]);
    await other.removeDeployments(place);
    await expect(other.ensureDeployment(place, deployment(pull.sha, 'queued'), null)).rejects.toMatchObject({ code: 'forge-refused' });
  }
  expect(w.gitlab.environments(w.repo)).toMatchObject([{ externalUrl: URL_OF_SITE, state: 'available' }]);
  expect(w.gitlab.deployments(w.repo)).toHaveLength(1);
});

test('an environment that leads to the site of another pull is not this one’s', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  await w.voice.ensureDeployment(place, deployment(pull.sha, 'success', 'https://mr-11-shop-abcdefgh.preview.example'), null);
  expect(await w.voice.deployedPlaces(w.repository)).toEqual([]);
});

test('when previews move to another address, what is remembered moves along', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  const { id } = await w.voice.ensureDeployment(place, deployment(pull.sha, 'success', URL_OF_SITE), null);
  const { voice } = createGitLabForge({ ...w.connection, previewUrl: new URL('https://new.example') });
  const moved = 'https://mr-1-shop-abcdefgh.new.example';
  await voice.ensureDeployment(place, deployment(pull.sha, 'success', moved), id);
  expect(w.gitlab.environments(w.repo)).toMatchObject([{ externalUrl: moved }]);
  expect(await voice.deployedPlaces(w.repository)).toHaveLength(1);
});

test('an empty environment that leads nowhere is taken into use', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  const environment = `preview/mr-${pull.number}`;
  const { id } = w.gitlab.plantDeployment(w.repo, { sha: pull.sha, environment, by: 'ann' });
  w.gitlab.state.deployments.delete(id);
  await w.voice.removeDeployments(place);
  expect(w.gitlab.environments(w.repo)).toHaveLength(1);
  await w.voice.ensureDeployment(place, deployment(pull.sha, 'success', URL_OF_SITE), null);
  expect(w.gitlab.environments(w.repo)).toMatchObject([{ externalUrl: URL_OF_SITE }]);
});

test('environments with names like ours are none of ours', async () => {
  await using w = await openGitLabWorld();
  const { pull } = await withPull(w);
  for (const name of ['preview/mr-x', 'preview/mr-01', 'preview/mr-', 'production']) {
    w.gitlab.plantDeployment(w.repo, { sha: pull.sha, environment: name });
  }
  expect(await w.voice.deployedPlaces(w.repository)).toEqual([]);
});

test('a receipt that stands already is not given twice, and other emoji of ours stay', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  const comment = w.gitlab.plantComment(pull, 'ann', '/preview');
  await w.gitlab.react(pull, { comment, login: w.gitlab.us.login, content: 'rocket' });
  await w.gitlab.react(pull, { comment, login: 'ann', content: 'eyes' });
  await w.voice.react(place, String(comment.id), 'done');
  await w.voice.react(place, String(comment.id), 'done');
  expect(posts(w, '/award_emoji')).toBe(1);
  await w.voice.react(place, String(comment.id), 'refused');
  expect(comment.reactions.map(({ content }) => content)).toEqual(['rocket', 'eyes', 'thumbsdown']);
});

test('with a person’s own token the comment is found again among what the person wrote', async () => {
  await using w = await openGitLabWorld({ as: 'person' });
  const { pull, place } = await withPull(w);
  const marker = `<!-- mayfly:site=${SITE} -->`;
  w.gitlab.plantComment(pull, w.gitlab.us.login, 'looks good to me');
  const first = await w.voice.ensureComment(place, { marker, body: `${marker}\none`, known: null });
  expect(await w.voice.ensureComment(place, { marker, body: `${marker}\ntwo`, known: null })).toEqual(first);
  expect(w.gitlab.ourComments(pull).map(({ body }) => body)).toEqual(['looks good to me', `${marker}\ntwo`]);
});
