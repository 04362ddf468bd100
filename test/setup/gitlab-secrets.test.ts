import { randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';
import { expect, test } from 'vitest';
import { GITLAB } from '../../src/app/forges/gitlab-events.ts';
import { openConnections, type StoredGitLab } from '../../src/app/setup/connections.ts';
import { createSealer } from '../../src/app/setup/sealing.ts';
import { runCommand } from '../command.ts';
import { signature } from '../doubles/gitlab/hooks.ts';
import { createGitLab, type GitLab } from '../doubles/gitlab.ts';
import { nodeApp } from '../scenarios/apps.ts';
import { createSetupWorld, type SetupWorld } from '../setup-world.ts';
import { silent } from '../store/open.ts';
import { until } from '../world.ts';

type Bearing = { readonly token: string | null; readonly signingToken: string | null };
type Project = Awaited<ReturnType<GitLab['createRepository']>>;

async function createTwoProjects(signing: 'signs' | 'cannot sign' = 'signs') {
  await using opening = new AsyncDisposableStack();
  const w = opening.use(await createSetupWorld());
  const gitlab = opening.use(await createGitLab({ signing }));
  const project = (name: string) => gitlab.createRepository({ name, hook: 'none', files: nodeApp('main') });
  const [shop, blog] = [await project('acme/shop'), await project('acme/blog')];
  const connect = async (...named: readonly string[]): Promise<string> => {
    const args = ['gitlab', '--url', gitlab.url, '--token-file', '-', ...named.flatMap((name) => ['--project', name])];
    return (await runCommand('src/connect.ts', w.environment, { args, input: gitlab.token })).out;
  };
  const opened = opening.move();
  const sealer = createSealer(Buffer.from(w.environment.MAYFLY_SECRET_KEY ?? '', 'base64'));
  const connections = () => openConnections(w.mayfly.store, sealer, silent);
  return {
    w,
    gitlab,
    shop,
    blog,
    connect,
    post: (about: object | string, bearing: Bearing) => post(w, about, bearing),
    stored: async (): Promise<StoredGitLab> => (await connections().read()).gitlab ?? Promise.reject(new Error('nothing is stored')),
    save: (connection: StoredGitLab) => connections().saveGitLab(connection),
    /** As if the webhooks of these had been made before each had its own secrets, with those of the connection. */
    async shareSecrets(bearing: Bearing, ...projects: readonly Project[]): Promise<void> {
      const client = new pg.Client(w.database.url);
      await client.connect();
      await client.query("update mayfly.hooks set secrets = 'shared' where repository = any($1)", [projects.map(({ id }) => String(id))]);
      await client.end();
      for (const hook of projects.flatMap(gitlab.hooksOf)) Object.assign(hook, bearing);
    },
    /** Of the one webhook of a project. */
    bearing(repo: Project): Bearing {
      const [hook, ...more] = gitlab.hooksOf(repo);
      if (hook === undefined || more.length > 0) throw new Error(`${repo.name} has not one webhook`);
      const { token, signingToken } = hook;
      return { token, signingToken };
    },
    async [Symbol.asyncDispose]() {
      await opened.disposeAsync();
      expect(gitlab.unknownRequests).toEqual([]);
    },
  };
}

/** Sends what a webhook with these secrets sends. */
async function post(w: SetupWorld, about: object | string, { token, signingToken }: Bearing): Promise<number> {
  const body = typeof about === 'string' ? about : JSON.stringify(about);
  const [id, timestamp] = [randomUUID(), String(Math.floor(Date.now() / 1_000))];
  const headers = {
    'content-type': 'application/json',
    'idempotency-key': id,
    ...(token === null ? {} : { 'x-gitlab-token': token }),
    ...(signingToken === null
      ? {}
      : { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature(signingToken, { id, timestamp, body }) }),
  };
  const response = await fetch(`${w.base}/api/gitlab/webhooks`, { method: 'POST', headers, body });
  const said = await response.text();
  if (response.status === 401) expect(JSON.parse(said)).toMatchObject({ code: 'signature-invalid' });
  return response.status;
}

const emoji = (id: unknown) => ({ object_kind: 'emoji', project_id: id, project: { id } });
const pullOf = (project: Project, commit: string) => ({
  object_kind: 'merge_request',
  project: { id: project.id, path_with_namespace: `acme/${project.name}` },
  object_attributes: { iid: 77, action: 'update', target_project_id: project.id, last_commit: { id: commit } },
});

test('each project has secrets of its own: those of one open nothing for another', async () => {
  await using t = await createTwoProjects();
  await t.connect('acme/shop', 'acme/blog');
  const [shop, blog] = [t.bearing(t.shop), t.bearing(t.blog)];
  const { webhookSecret, unsignedSecret, signingTokens } = await t.stored();
  const all = [...Object.values(shop), ...Object.values(blog), webhookSecret, unsignedSecret, ...signingTokens];
  expect(all).not.toContain(null);
  expect(new Set(all).size).toBe(all.length);

  expect(await t.post(pullOf(t.blog, 'a'.repeat(40)), blog)).toBe(202);
  for (const bearing of [
    shop,
    { ...blog, token: shop.token },
    { ...blog, signingToken: shop.signingToken },
    { ...blog, signingToken: null },
    { ...blog, token: null },
    { token: webhookSecret, signingToken: signingTokens[0] ?? null },
    { token: unsignedSecret, signingToken: null },
  ])
    expect(await t.post(pullOf(t.blog, 'b'.repeat(40)), bearing)).toBe(401);
  // Whatever else a payload says: of the project that chose the key alone anything is believed.
  expect(await t.post({ ...pullOf(t.blog, 'b'.repeat(40)), project_id: t.shop.id }, shop)).toBe(401);
  expect(await t.post({ ...pullOf(t.blog, 'b'.repeat(40)), project: { id: t.shop.id } }, shop)).toBe(202);
  expect((await t.w.mayfly.store.sites.list({ limit: 9 })).sites).toEqual([]);
});

test('an event of no project is like one with a wrong token; one that nobody wants is taken', async () => {
  await using t = await createTwoProjects();
  await t.connect('acme/shop');
  const shop = t.bearing(t.shop);
  const { id } = t.shop;
  for (const wanted of [emoji(id), { project_id: id }, { object_attributes: { project_id: id } }, emoji(String(id))])
    expect(await t.post(wanted, shop)).toBe(202);
  const strange = [null, '', ' 1', `${id} `, `0${id}`, -id, id + 0.5, 1e300, true, [id], { id }, '../1', '9'.repeat(40), '__proto__'];
  const bodies = [...strange.map(emoji), {}, [], 'null', '', '{', '[', `${'['.repeat(200_000)}`, JSON.stringify(emoji(id)).slice(0, -1)];
  for (const body of bodies) expect([body, await t.post(body, shop)]).toEqual([body, 401]);
  expect(await t.post(emoji(t.blog.id), shop)).toBe(401);
});

test('while the signing key is changed both are known; then the new one alone', async () => {
  await using t = await createTwoProjects();
  await t.connect('acme/shop');
  const before = t.bearing(t.shop);
  const connection = await t.stored();
  const next = `whsec_${randomBytes(32).toString('base64')}`;
  await t.save({ ...connection, signingTokens: [next, ...connection.signingTokens] });
  expect(await t.connect('acme/shop')).toContain('webhook updated; GitLab signs what it sends');
  const after = t.bearing(t.shop);
  expect([after.token, after.signingToken === before.signingToken]).toEqual([before.token, false]);
  await until('the new key to be known', async () => (await t.post(emoji(t.shop.id), after)) === 202);
  expect(await t.post(emoji(t.shop.id), before)).toBe(202);
  await t.save({ ...connection, signingTokens: [next] });
  await until('the old key to be forgotten', async () => (await t.post(emoji(t.shop.id), before)) === 401);
  expect(await t.post(emoji(t.shop.id), after)).toBe(202);
});

test('webhooks that bear the secrets of all go on working, are given their own at the next start, and work on', async () => {
  await using t = await createTwoProjects();
  await t.connect('acme/shop', 'acme/blog');
  const { webhookSecret: token, signingTokens } = await t.stored();
  const shared = { token, signingToken: signingTokens[0] ?? null };
  await t.shareSecrets(shared, t.shop);
  t.gitlab.fail({ match: ({ method }) => method === 'PUT', answer: { status: 422, message: 'not now' } });
  await t.w.restart();
  await until('it to be tried', () => t.w.logged.join('').includes('the webhook of a project could not be changed'));
  expect(await t.post(emoji(t.shop.id), shared)).toBe(202);
  // Those who know it cannot speak for a project that does not bear it.
  expect(await t.post(emoji(t.blog.id), shared)).toBe(401);
  const pull = await t.gitlab.openPull(t.shop, { files: nodeApp('shared') });
  await until('the preview to be ready', () => t.gitlab.ourComment(pull)?.body.includes('Preview is ready'));

  await t.w.restart();
  await until('the webhook to have its own', () => t.bearing(t.shop).token !== token);
  await until('the old ones to be forgotten', async () => (await t.post(emoji(t.shop.id), shared)) === 401);
  expect(await t.post(emoji(t.shop.id), t.bearing(t.shop))).toBe(202);
  await t.gitlab.push(pull, nodeApp('its own'));
  await until('the push to be heard', async () => (await t.w.mayfly.store.sites.list({ limit: 1 })).sites[0]?.head.sha === pull.sha);
  expect(t.w.logged.join('')).toContain('the webhook of a project has secrets of its own now');
  for (const secret of [...Object.values(shared), ...Object.values(t.bearing(t.shop))]) expect(t.w.logged.join('')).not.toContain(secret);
});

test('the same where GitLab cannot sign; a webhook that somebody removed is not made again; all of it can be examined and undone', async () => {
  await using t = await createTwoProjects('cannot sign');
  await t.connect('acme/shop', 'acme/blog');
  const { unsignedSecret: token } = await t.stored();
  const shared = { token, signingToken: null };
  await t.shareSecrets(shared, t.shop, t.blog);
  t.blog.hooks.clear();
  // The process that gives them may not be the one that is reached by its address: where they lead is left alone.
  await t.w.restart({ MAYFLY_PUBLIC_URL: 'http://clock.localhost:1234' });
  await until('all to have their own', async () => (await t.w.mayfly.store.hooks.sharing(GITLAB)).length === 0);
  await until('the old one to be forgotten', async () => (await t.post(emoji(t.shop.id), shared)) === 401);
  expect(await t.post(emoji(t.shop.id), t.bearing(t.shop))).toBe(202);
  expect(await t.post(emoji(t.blog.id), t.bearing(t.shop))).toBe(401);
  expect(t.gitlab.hooksOf(t.blog)).toEqual([]);
  expect(t.gitlab.hooksOf(t.shop).map(({ url }) => url)).toEqual([`${t.w.base}/api/gitlab/webhooks`]);
  const pull = await t.gitlab.openPull(t.shop, { files: nodeApp('unsigned') });
  await until('the preview to be ready', () => t.gitlab.ourComment(pull)?.body.includes('Preview is ready'));
  const doctor = await runCommand('src/doctor.ts', t.w.environment, { args: ['--json'] });
  expect(doctor.out).toContain('"found": "knows the token, a Maintainer of 2 projects"');
  expect(doctor.out).not.toContain(t.bearing(t.shop).token);
  const undo = await runCommand('src/connect.ts', t.w.environment, { args: ['gitlab', '--undo'] });
  expect(undo.out).toMatch(/acme\/blog +webhook removed, previews end\nacme\/shop +webhook removed, previews end\n/);
  expect(t.gitlab.hooksOf(t.shop)).toEqual([]);
  expect(await t.w.mayfly.store.connections.all()).toEqual([]);
});
