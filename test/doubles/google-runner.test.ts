import { request } from 'node:http';
import { GoogleAuth } from 'google-auth-library';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { expectNothingUnknown } from './google/cloud.ts';
import { type GoogleDouble, openGoogleDouble } from './google.ts';

let google: GoogleDouble;
beforeEach(async () => {
  google = await openGoogleDouble({ previewDatabaseUrl: inject('postgresUrl'), secondMs: 1000 });
  Object.assign(process.env, google.env);
});
afterEach(async () => {
  await google[Symbol.asyncDispose]();
  expectNothingUnknown(google.cloud);
});

const APP = `
console.log('up', JSON.stringify({ k: process.env.K_SERVICE, host: process.env.HOST ?? null }));
require('http').createServer((q, s) => {
  let bytes = 0;
  q.on('data', (c) => (bytes += c.length)).on('end', () => s.end(JSON.stringify({ text: process.env.TEXT, bytes, auth: q.headers.authorization, proto: q.headers['x-forwarded-proto'] })));
}).listen(process.env.PORT);
`;
const parentOf = ({ platform }: GoogleDouble) => `projects/${platform.project}/locations/europe-west1`;

type Wish = { readonly script?: string; readonly text?: string; readonly probe?: object; readonly vpc?: boolean };
async function template({ script = APP, text = 'one', probe, vpc = false }: Wish = {}) {
  const image = await google.push({ files: { 'server.js': script }, command: 'node server.js' });
  const startupProbe = { periodSeconds: 1, failureThreshold: 60, httpGet: { path: '/' }, ...probe };
  return {
    serviceAccount: google.platform.runAs.trusted,
    ...(vpc ? { vpcAccess: { networkInterfaces: [{ network: 'mayfly' }] } } : {}),
    containers: [{ image, env: [{ name: 'TEXT', value: text }], ports: [{ containerPort: 8080 }], startupProbe }],
  };
}
async function deploy(wish: Wish = {}, id = 'shop') {
  const operation = await google.run.create(parentOf(google), id, { template: await template(wish) });
  await operation.ended;
  const service = google.cloud.services.get(`${parentOf(google)}/services/${id}`);
  if (!service) throw new Error('no service');
  return { operation, service };
}
const invite = (name: string, email = google.platform.gate) =>
  google.run.setPolicy(name, [{ role: 'roles/run.invoker', members: [`serviceAccount:${email}`] }]);
const token = async (audience: string) =>
  (await (await new GoogleAuth().getIdTokenClient(audience)).getRequestHeaders(audience)).get('authorization') ?? '';
const said = () => google.cloud.logs.list(({ resource }) => resource.type === 'cloud_run_revision').map(({ textPayload }) => textPayload);

test('a service runs its image, and answers whoever may invoke it with a token that is made out to it', async () => {
  const { service, operation } = await deploy();
  expect(operation).toMatchObject({ done: true, response: { latestReadyRevision: service.latestReadyRevision } });
  expect((await fetch(service.uri)).status).toBe(403);
  const authorization = await token(service.uri);
  expect((await fetch(service.uri, { headers: { authorization } })).status).toBe(403);
  invite(service.name);
  const answer = await fetch(service.uri, { headers: { authorization }, method: 'POST', body: 'abc' });
  const { auth, ...seen } = JSON.parse(await answer.text());
  expect(seen).toEqual({ text: 'one', bytes: 3, proto: 'https' });
  expect(auth).toMatch(/^Bearer [\w-]+\.[\w-]+\.SIGNATURE_REMOVED_BY_GOOGLE$/);
  expect((await fetch(service.uri, { headers: { authorization: await token('https://elsewhere.example') } })).status).toBe(401);
  expect((await fetch(service.uri, { headers: { authorization: `${authorization.slice(0, -8)}AAAAAAAA` } })).status).toBe(401);
  google.tokens.expireAll();
  expect((await fetch(service.uri, { headers: { authorization } })).status).toBe(401);
  expect(said()).toEqual(['up {"k":"shop","host":null}']);
});

test('another host name is nobody’s, and 32 MiB are the most that a request brings', async () => {
  const { service } = await deploy();
  invite(service.name);
  const authorization = await token(service.uri);
  const foreign = await new Promise<number | undefined>((resolve, reject) => {
    const headers = { host: 'pr-1.preview.example', authorization };
    request(service.uri, { headers }, (answer) => resolve(answer.resume().statusCode))
      .on('error', reject)
      .end();
  });
  expect(foreign).toBe(404);
  const most = await fetch(service.uri, { method: 'POST', headers: { authorization }, body: Buffer.alloc(32 * 1024 * 1024) });
  expect(await most.json()).toMatchObject({ bytes: 32 * 1024 * 1024 });
  const more = await fetch(service.uri, { method: 'POST', headers: { authorization }, body: Buffer.alloc(32 * 1024 * 1024 + 1) });
  expect(more.status).toBe(413);
});

test('a revision that is not ready leaves the one before it serving; one that is takes its place', async () => {
  const { service } = await deploy();
  invite(service.name);
  const authorization = await token(service.uri);
  const failing = await google.run.update(service.name, {
    template: await template({ script: `console.error('no luck'); process.exit(3)` }),
  });
  await failing.ended;
  expect(failing.error?.message).toMatch(
    /^Revision 'shop-00002-\w+' is not ready and cannot serve traffic\. The user-provided container failed the configured startup probe checks\./,
  );
  expect(said()).toEqual(expect.arrayContaining(['no luck', 'Container called exit(3).']));
  expect(await (await fetch(service.uri, { headers: { authorization } })).json()).toMatchObject({ text: 'one' });
  await (await google.run.update(service.name, { template: await template({ text: 'two' }) })).ended;
  expect(await (await fetch(service.uri, { headers: { authorization } })).json()).toMatchObject({ text: 'two' });
  await expect.poll(() => google.runner.awake(), { timeout: 30_000 }).toHaveLength(1);
  await google.runner.scaleDown(service.name);
  expect(google.runner.awake()).toEqual([]);
  expect(await (await fetch(service.uri, { headers: { authorization } })).json()).toMatchObject({ text: 'two' });
  await (await google.run.remove(service.name)).ended;
  await expect(fetch(service.uri)).rejects.toThrow();
});

test('who listens on 127.0.0.1 alone is not found', async () => {
  const script = APP.replace('listen(process.env.PORT)', `listen(process.env.PORT, '127.0.0.1')`);
  const { operation } = await deploy({ script, probe: { failureThreshold: 2 } });
  expect(operation.error?.message).toContain('failed the configured startup probe checks');
});

test('the private server is reached through Direct VPC egress, and nothing without it', async () => {
  const { port } = new URL(google.platform.regions['europe-west1'] ? `http://${google.platform.regions['europe-west1'].database}` : '');
  const script = `
    const reach = () => new Promise((done) => require('net').connect(${port}, '127.0.0.1').on('connect', () => done('reached')).on('error', (e) => done(e.code)));
    require('http').createServer(async (q, s) => s.end(await reach())).listen(process.env.PORT);`;
  const inside = await deploy({ script, vpc: true }, 'inside');
  const outside = await deploy({ script }, 'outside');
  for (const { service } of [inside, outside]) invite(service.name);
  const ask = async (uri: string) => (await fetch(uri, { headers: { authorization: await token(uri) } })).text();
  expect(await ask(inside.service.uri)).toBe('reached');
  expect(await ask(outside.service.uri)).toBe('ECONNREFUSED');
});

test('an answer is waited for as long as the service says, and a connection may be upgraded', async () => {
  const script = `
    const server = require('http').createServer(() => undefined).listen(process.env.PORT);
    server.on('upgrade', (q, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\\r\\nupgrade: echo\\r\\nconnection: upgrade\\r\\n\\r\\n');
      socket.pipe(socket);
    });`;
  const image = await google.push({ files: { 'server.js': script }, command: 'node server.js' });
  const own = { serviceAccount: google.platform.runAs.trusted, timeout: '2s', containers: [{ image, ports: [{ containerPort: 8080 }] }] };
  await (await google.run.create(parentOf(google), 'slow', { template: own })).ended;
  const { uri, name } = google.cloud.services.get(`${parentOf(google)}/services/slow`) ?? { uri: '', name: '' };
  invite(name);
  const authorization = await token(uri);
  const late = await fetch(uri, { headers: { authorization } });
  expect([late.status, await late.text()]).toEqual([504, 'upstream request timeout']);
  const echoed = await new Promise<string>((resolve, reject) => {
    const asking = request(uri, { headers: { authorization, connection: 'upgrade', upgrade: 'echo' } });
    asking.on('error', reject).on('upgrade', (_, socket) => {
      socket.once('data', (bytes: Buffer) => {
        resolve(bytes.toString());
        socket.destroy();
      });
      socket.write('hello');
    });
    asking.end();
  });
  expect(echoed).toBe('hello');
  using _ = google.cloud.faults.regionDown('europe-west1');
  expect((await fetch(uri, { headers: { authorization } })).status).toBe(503);
});
