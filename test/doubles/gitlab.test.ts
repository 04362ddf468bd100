import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Asking, ask, openShop } from './gitlab/asking.ts';
import { createGitLab } from './gitlab.ts';

test('what GitLab would refuse is refused in its words', async () => {
  await using w = await openShop();
  const { gitlab, project, notes, pull } = w;
  const readOnly = gitlab.mintToken({ scopes: ['read_api'] }).token;
  const stranger = gitlab.mintToken({ login: 'eve' }).token;
  gitlab.setPermission(w.repo, 'ria', 'read');
  const reporter = gitlab.mintToken({ login: 'ria' }).token;
  const said = async (method: string, path: string, asking?: Asking) => {
    const { status, json } = await ask(gitlab, method, path, asking);
    return { status, ...json };
  };
  expect(await said('GET', project, { token: 'glpat-wrong' })).toEqual({ status: 401, message: '401 Unauthorized' });
  expect(await said('GET', project, { token: stranger })).toEqual({ status: 404, message: '404 Project Not Found' });
  expect(await said('GET', `${project}/hooks`, { token: reporter })).toEqual({ status: 403, message: '403 Forbidden' });
  expect(await said('POST', notes, { token: readOnly, body: { body: 'x' } })).toEqual({
    status: 403,
    error: 'insufficient_scope',
    error_description: 'The request requires higher privileges than provided by the access token.',
    scope: 'api',
  });
  expect(await said('POST', notes, { body: {} })).toEqual({ status: 400, error: 'body is missing' });
  expect((await said('POST', notes, { body: { body: 'x'.repeat(1_000_001) } })).status).toBe(400);
  expect(await said('GET', `${project}/merge_requests/99`)).toEqual({ status: 404, message: '404 Not found' });
  expect(await said('GET', `${project}/members/all/1`)).toEqual({ status: 404, message: '404 Not found' });
  expect(await said('POST', `${project}/statuses/${pull.sha}`, { body: { state: 'ready' } })).toEqual({
    status: 400,
    error: 'state does not have a valid value',
  });
  expect(gitlab.unknownRequests).toEqual([]);
  gitlab.revokeToken();
  expect(await said('GET', '/user')).toMatchObject({ status: 401, error: 'invalid_token' });
});

test('a route or parameter that the double does not know is noted', async () => {
  await using w = await openShop({ path: '/gitlab' });
  expect((await ask(w.gitlab, 'GET', `${w.project}/issues`)).status).toBe(404);
  expect((await ask(w.gitlab, 'POST', w.notes, { body: { body: 'x', colour: 'red' } })).status).toBe(400);
  expect(w.gitlab.unknownRequests).toEqual([`GET /gitlab/api/v4${w.project}/issues`, `POST /gitlab/api/v4${w.notes}: parameter colour`]);
});

test('a project answers by id and encoded path; a former path redirects reading and refuses writing', async () => {
  await using w = await openShop();
  const { gitlab, repo } = w;
  expect((await ask(gitlab, 'GET', '/projects/acme%2Fshop')).json.id).toBe(repo.id);
  await gitlab.rename(repo, 'store');
  const moved = await ask(gitlab, 'GET', '/projects/acme%2Fshop/merge_requests?state=opened');
  expect([moved.status, moved.headers.get('location')]).toEqual([301, `${gitlab.url}/api/v4${w.project}/merge_requests?state=opened`]);
  const post = await ask(gitlab, 'POST', `/projects/acme%2Fshop/merge_requests/${w.pull.number}/notes`, { body: { body: 'x' } });
  expect([post.status, post.json]).toEqual([405, { message: 'Non GET methods are not allowed for moved projects' }]);
  expect((await ask(gitlab, 'GET', w.project)).json.path_with_namespace).toBe('acme/store');
});

test('lists come in pages of at most a hundred, with GitLab’s headers', async () => {
  await using w = await openShop();
  for (let i = 0; i < 101; i += 1) w.gitlab.plantComment(w.pull, 'ann', `word ${i}`);
  const first = await ask(w.gitlab, 'GET', `${w.notes}?per_page=500&sort=asc`);
  expect(first.json).toHaveLength(100);
  expect(first.json[0]).toMatchObject({ body: 'word 0', system: false, internal: false, author: { username: 'ann' } });
  const named = ['x-page', 'x-per-page', 'x-next-page', 'x-total', 'x-total-pages'].map((name) => first.headers.get(name));
  expect(named).toEqual(['1', '100', '2', '101', '2']);
  expect(first.headers.get('link')).toContain('?per_page=100&sort=asc&page=2>; rel="next"');
  const second = await ask(w.gitlab, 'GET', `${w.notes}?per_page=100&page=2`);
  expect([second.json.length, second.headers.get('x-next-page')]).toEqual([1, '']);
});

test('a commit status goes from state to state, and the same state twice is refused', async () => {
  await using w = await openShop();
  const post = async (state: string) => {
    const { status, json } = await ask(w.gitlab, 'POST', `${w.project}/statuses/${w.pull.sha}`, { body: { state, name: 'mayfly' } });
    return status === 201 ? json.status : json.message;
  };
  const twice = (event: string, from: string) =>
    `Cannot transition status via :${event} from :${from} (Reason(s): Status cannot transition via "${event}")`;
  expect(await post('pending')).toBe('pending');
  expect(await post('pending')).toBe(twice('enqueue', 'pending'));
  expect(await post('running')).toBe('running');
  expect(await post('running')).toBe(twice('run', 'running'));
  expect(await post('pending')).toBe(twice('enqueue', 'running'));
  expect(await post('success')).toBe('success');
  expect(await post('running')).toBe('running'); // what is finished is followed by another
  const { json } = await ask(w.gitlab, 'GET', `${w.project}/repository/commits/${w.pull.sha}/statuses`);
  expect(json.map((one: { status: string; ref: string }) => [one.status, one.ref])).toEqual([['running', w.pull.branch]]);
  const fork = await w.gitlab.openPull(w.repo, { from: 'stranger' });
  const lost = await ask(w.gitlab, 'POST', `${w.project}/statuses/${fork.sha}`, { body: { state: 'pending' } });
  expect(lost.json).toEqual({ message: '404 References for commit Not Found' });
  const named = await ask(w.gitlab, 'POST', `${w.project}/statuses/${fork.sha}`, { body: { state: 'pending', ref: fork.branch } });
  expect(named.status).toBe(201);
});

test('a note is edited by its author, an emoji is given once and taken back by its giver', async () => {
  await using w = await openShop();
  const { json: note } = await ask(w.gitlab, 'POST', w.notes, { body: { body: 'hello' } });
  expect((await ask(w.gitlab, 'PUT', `${w.notes}/${note.id}`, { body: { body: 'hello again' } })).json.body).toBe('hello again');
  expect(w.gitlab.ourComment(w.pull)?.bodies).toEqual(['hello', 'hello again']);
  const emoji = `${w.notes}/${note.id}/award_emoji`;
  const given = await ask(w.gitlab, 'POST', emoji, { body: { name: 'eyes' } });
  expect(given.status).toBe(201);
  const again = await ask(w.gitlab, 'POST', emoji, { body: { name: 'eyes' } });
  expect([again.status, again.json.message]).toEqual([404, '404 Award Emoji Name has already been taken Not Found']);
  const theirs = w.gitlab.plantComment(w.pull, 'ann', 'mine');
  await w.gitlab.react(w.pull, { comment: theirs, login: 'ann', content: 'rocket' });
  const annas = theirs.reactions[0]?.id;
  expect((await ask(w.gitlab, 'DELETE', `${w.notes}/${theirs.id}/award_emoji/${annas}`)).status).toBe(401);
  expect((await ask(w.gitlab, 'DELETE', `${emoji}/${given.json.id}`)).status).toBe(204);
  expect(w.gitlab.ourComment(w.pull)).toMatchObject({ reactions: [], reacted: ['eyes'] });
});

test('an environment is stopped before it is deleted, and a deployment to it makes it available again', async () => {
  await using w = await openShop();
  const environments = `${w.project}/environments`;
  const wish = { name: 'preview/mr-1', external_url: 'http://mr-1.preview.localhost' };
  const { json: made } = await ask(w.gitlab, 'POST', environments, { body: wish });
  expect((await ask(w.gitlab, 'POST', environments, { body: wish })).json).toEqual({ message: { name: ['has already been taken'] } });
  const deployment = { environment: wish.name, sha: w.pull.sha, ref: w.pull.branch, tag: false };
  const { json: first } = await ask(w.gitlab, 'POST', `${w.project}/deployments`, { body: { ...deployment, status: 'running' } });
  const one = `${w.project}/deployments/${first.id}`;
  expect((await ask(w.gitlab, 'PUT', one, { body: { status: 'running' } })).status).toBe(400);
  expect((await ask(w.gitlab, 'DELETE', one)).json.message).toBe('Cannot destroy running deployment');
  expect((await ask(w.gitlab, 'DELETE', `${environments}/${made.id}`)).status).toBe(403);
  expect((await ask(w.gitlab, 'POST', `${environments}/${made.id}/stop`, { body: { force: true } })).json.state).toBe('stopped');
  expect((await ask(w.gitlab, 'PUT', one, { body: { status: 'success' } })).json.status).toBe('success');
  expect((await ask(w.gitlab, 'GET', `${environments}?name=preview%2Fmr-1`)).json[0].state).toBe('available');
  expect((await ask(w.gitlab, 'DELETE', one)).json.message).toBe('Deployment currently deployed to environment');
  await ask(w.gitlab, 'POST', `${environments}/${made.id}/stop`);
  expect((await ask(w.gitlab, 'DELETE', `${environments}/${made.id}`)).status).toBe(204);
  expect([w.gitlab.environments(w.repo), w.gitlab.deployments(w.repo)]).toEqual([[], []]);
});

test('git is served under the base path to a token as the password, a fork’s head by its ref and id', async () => {
  await using w = await openShop({ path: '/gitlab' });
  const fork = await w.gitlab.openPull(w.repo, { from: 'stranger' });
  const folder = await mkdtemp(join(tmpdir(), 'clone-'));
  const run = async (...args: string[]): Promise<number> => {
    const env = { PATH: process.env.PATH ?? '', HOME: folder, GIT_TERMINAL_PROMPT: '0' };
    const [code] = await once(spawn('git', ['-C', folder, ...args], { env, stdio: 'ignore' }), 'close');
    return Number(code);
  };
  const fetching = (token: string, what: string) => {
    const basic = Buffer.from(`oauth2:${token}`).toString('base64');
    return run('-c', `http.extraHeader=authorization: Basic ${basic}`, 'fetch', '--quiet', `${w.gitlab.url}/acme/shop.git`, what);
  };
  await run('init', '--quiet');
  expect(await fetching('glpat-wrong', fork.sha)).not.toBe(0);
  expect(await fetching(w.gitlab.token, fork.sha)).toBe(0);
  expect(await fetching(w.gitlab.token, `refs/merge-requests/${fork.number}/head`)).toBe(0);
  expect(w.gitlab.fetches.some(({ wants }) => wants.includes(fork.sha))).toBe(true);
  await rm(folder, { recursive: true, force: true });
});

test('a merge request shows its files, renames and all, and a project a file', async () => {
  await using gitlab = await createGitLab();
  const repo = await gitlab.createRepository({
    name: 'acme/web/shop',
    files: { 'a.txt': 'some text that is long enough', '.mayfly.yml': 'root: site\n' },
  });
  const pull = await gitlab.openPull(repo, {
    draft: true,
    title: 'Move',
    files: { 'a.txt': null, 'b.txt': 'some text that is long enough', 'c.txt': 'new' },
  });
  const at = `/projects/${repo.id}/merge_requests/${pull.number}`;
  const { json } = await ask(gitlab, 'GET', `${at}/diffs`);
  const paths = json.map((one: { old_path: string; new_path: string; renamed_file: boolean }) => [
    one.old_path,
    one.new_path,
    one.renamed_file,
  ]);
  expect(paths).toEqual([
    ['a.txt', 'b.txt', true],
    ['c.txt', 'c.txt', false],
  ]);
  expect((await ask(gitlab, 'GET', at)).json).toMatchObject({ title: 'Draft: Move', draft: true, state: 'opened', changes_count: '2' });
  const file = `/projects/${repo.id}/repository/files/.mayfly.yml/raw`;
  expect((await ask(gitlab, 'GET', `${file}?ref=${pull.sha}`)).json).toBe('root: site\n');
  expect((await ask(gitlab, 'GET', `${file.replace('.mayfly', 'none')}?ref=main`)).json).toEqual({ message: '404 File Not Found' });
  expect((await ask(gitlab, 'GET', '/groups/acme/projects?include_subgroups=true')).json).toHaveLength(1);
  const keyed = await ask(gitlab, 'GET', '/projects?pagination=keyset&order_by=id&sort=asc&membership=true&min_access_level=40');
  expect(keyed.json.map(({ id }: { id: number }) => id)).toEqual([repo.id]);
});

test('too many requests in a minute get 429 with the time to wait', async () => {
  await using w = await openShop({ rateLimit: 1 });
  expect((await ask(w.gitlab, 'GET', '/user')).headers.get('ratelimit-remaining')).toBe('0');
  const refused = await ask(w.gitlab, 'GET', '/user');
  expect([refused.status, Number(refused.headers.get('retry-after')) > 0]).toEqual([429, true]);
});

test('a fork is another project, and its deletion closes what came from it', async () => {
  await using w = await openShop();
  const pull = await w.gitlab.openPull(w.repo, { from: 'stranger' });
  const shown = async () => (await ask(w.gitlab, 'GET', `${w.project}/merge_requests/${pull.number}`)).json;
  const { source_project_id: source, target_project_id: target } = await shown();
  expect([source === target, target]).toEqual([false, w.repo.id]);
  expect((await ask(w.gitlab, 'GET', `/projects/${source}`)).status).toBe(404);
  await w.gitlab.deleteFork(pull);
  expect(await shown()).toMatchObject({ state: 'closed', source_project_id: null });
});

test('members have their level and state; who is blocked, awaits a seat or has Minimal Access can do nothing', async () => {
  await using w = await openShop();
  const { gitlab, repo } = w;
  const of = async (login: string) => {
    const id = gitlab.state.users.get(login)?.id;
    const { json } = await ask(gitlab, 'GET', `${w.project}/members/all/${id}`);
    const seen = await ask(gitlab, 'GET', w.project, { token: gitlab.mintToken({ login }).token });
    return [json.access_level, json.state, json.membership_state, seen.status];
  };
  gitlab.setPermission(repo, 'dev', 'write');
  gitlab.setPermission(repo, 'planner', 15);
  gitlab.setPermission(repo, 'minimal', 5);
  gitlab.setPermission(repo, 'waiting', 'maintain');
  gitlab.awaitSeat(repo, 'waiting');
  gitlab.setPermission(repo, 'blocked', 'admin');
  gitlab.block('blocked');
  expect(await of('acme')).toEqual([50, 'active', 'active', 200]);
  expect(await of('dev')).toEqual([30, 'active', 'active', 200]);
  expect(await of('planner')).toEqual([15, 'active', 'active', 200]);
  expect(await of('minimal')).toEqual([5, 'active', 'active', 404]);
  expect(await of('waiting')).toEqual([40, 'active', 'awaiting', 404]);
  expect(await of('blocked')).toEqual([50, 'blocked', 'active', 403]);
  expect((await ask(gitlab, 'GET', `/users/${gitlab.us.id}`)).json).toMatchObject({ bot: true, state: 'active' });
});
