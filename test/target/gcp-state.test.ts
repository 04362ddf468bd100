import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gcpServiceName } from '../../infra/labels.ts';
import type { DeployOrder } from '../../src/site/ports.ts';
import type { Served } from '../../src/site/site.ts';
import { answering, nextRevision, watching } from '../contract/target.ts';
import { openRun } from '../doubles/google/run.ts';
import { type GcpWorld, openGcpWorld, REGION, visiting } from './gcp.ts';
import { hold } from './local.ts';

let w: GcpWorld;
beforeAll(async () => {
  w = await openGcpWorld({ patienceMs: 60 });
});
afterAll(() => w[Symbol.asyncDispose]());

const serviceOf = ({ site }: DeployOrder) => {
  const name = gcpServiceName({ instance: w.instance, site });
  return w.google.cloud.services.get(`projects/${w.google.cloud.project}/locations/${REGION}/services/${name}`);
};
const server = async (text: string) => w.artefact({ 'server.js': answering(text) });

/** What of a site's own is to be read nowhere: a value of its environment, and its database's password. */
function secretsOf(order: DeployOrder): readonly string[] {
  const [container] = serviceOf(order)?.template?.containers ?? [];
  const url = container?.env?.find(({ name }) => name === 'DATABASE_URL')?.value ?? '';
  return ['hello-from-env', new URL(url).password];
}

/** What of these can be read in what the engine has written. */
async function readable(...texts: readonly string[]): Promise<readonly string[]> {
  const written = await w.written();
  return texts.filter((text) => written.includes(text));
}

const HALF = `json_build_object('data', encode(substring(decode(data ->> 'data', 'base64') for 2000), 'base64'))`;
const DAMAGES = {
  'cut off': { sql: `update pulumi_state set data = ${HALF}` },
  lost: { sql: 'delete from pulumi_state' },
  'encrypted with another passphrase': { sql: null },
} as const;

async function deployAndDamage(order: DeployOrder, { sql }: (typeof DAMAGES)[keyof typeof DAMAGES]): Promise<Served> {
  const file = join(w.folder, 'pulumi/passphrase');
  const passphrase = await readFile(file);
  if (sql === null) await writeFile(file, 'another', { mode: 0o600 });
  const served = await w.target.deploy(hold(), order, watching());
  await writeFile(file, passphrase, { mode: 0o600 });
  if (sql !== null) await w.onState(order, sql);
  return served;
}

test.each(Object.entries(DAMAGES))('a state that is %s: what visitors have is taken into the new one and never goes', async (_, damage) => {
  const run = { port: 3000, health: '/', idleMs: 600_000, env: { GREETING: 'hello-from-env' } };
  const order = w.order({ artefact: await server('one'), database: await w.seed('create table a (b int)'), run });
  const served = await deployAndDamage(order, damage);
  const { uid, createTime } = { ...serviceOf(order) };
  const visitor = visiting(w, served);
  const next = nextRevision(order, { artefact: await server('two') });
  expect(await w.target.deploy(hold(), next, watching())).toEqual(served);
  expect([await visitor.leave(), await w.visit(served)]).toEqual([new Set(['one', 'two']), 'two']);
  expect(serviceOf(order)).toMatchObject({ uid, createTime, terminalCondition: { state: 'CONDITION_SUCCEEDED' } });
  const told = w.logLines.filter(({ msg, site }) => site === order.site && msg === 'a service that the state has lost is taken into it');
  expect(told).toMatchObject([{ level: 40, service: serviceOf(order)?.name }]);
  await w.target.settle(hold(), order.site, next.revision);
  expect(await w.found(order)).toEqual(['database', 'service', 'stack']);

  // The state is whole again, and nobody reads a site's own values in it.
  expect(await readable('cloudrunv2/service:Service', ...secretsOf(order))).toEqual(['cloudrunv2/service:Service']);
  const before = w.provider.calls.length;
  const last = nextRevision(next, { artefact: await server('three') });
  expect(await w.visit(await w.target.deploy(hold(), last, watching()))).toBe('three');
  expect(w.provider.calls.slice(before).filter(({ verb }) => verb === 'create' || verb === 'read')).toEqual([]);
  await w.target.destroy(hold(), order.site, watching());
  expect(await w.found(order)).toEqual([]);
});

test('an adoption that fails leaves nothing of the site in the clear, and is made up for', async () => {
  const run = { port: 3000, health: '/', idleMs: 600_000, env: { GREETING: 'hello-from-env' } };
  const order = w.order({ artefact: await server('one'), database: await w.seed('create table a (b int)'), run });
  const served = await deployAndDamage(order, DAMAGES.lost);
  const secrets = secretsOf(order);
  const broken = nextRevision(order, { artefact: await w.artefact({ 'server.js': 'process.exit(1)' }) });
  await expect(w.target.deploy(hold(), broken, watching())).rejects.toMatchObject({ code: 'start-failed' });
  expect([await readable(...secrets), await w.visit(served)]).toEqual([[], 'one']);
  const next = nextRevision(broken, { artefact: await server('two') });
  expect(await w.target.deploy(hold(), next, watching())).toEqual(served);
  expect([await readable(...secrets), await w.visit(served)]).toEqual([[], 'two']);
  await w.target.destroy(hold(), order.site, watching());
  expect(await w.found(order)).toEqual([]);
});

test('what is built does not wait for the engine', async () => {
  const begun = Promise.withResolvers<void>();
  const artefact = await server('at once');
  const build = async () => {
    begun.resolve();
    return artefact;
  };
  // Its stack is made only once the build has begun.
  const order = w.order({ artefact, build, prepared: begun.promise });
  expect(await w.visit(await w.target.deploy(hold(), order, watching()))).toBe('at once');
});

test('who may call a site was set anew by hand: the next launch lets the gate in again, as the same revision', async () => {
  const order = w.order({ artefact: await server('one') });
  await w.target.deploy(hold(), order, watching());
  openRun(w.google.cloud).setPolicy(serviceOf(order)?.name ?? '', []);
  const next = nextRevision(order, { artefact: await server('two') });
  const served = await w.target.deploy(hold(), next, watching());
  expect(await w.visit(served)).toBe('two');
  expect(serviceOf(order)?.generation).toBe('2');
  await w.target.destroy(hold(), order.site, watching());
});
