import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { z } from 'zod';
import { stackName } from '../../infra/labels.ts';
import { armFaultPoints, type FaultPoint } from '../../src/fault-points.ts';
import type { DeployOrder } from '../../src/site/ports.ts';
import { answering, nextRevision, watching } from '../contract/target.ts';
import { hold, type LocalWorld, orderOf, visit } from './local.ts';

const checkpoint = z.object({
  checkpoint: z.object({
    latest: z.object({
      resources: z.array(z.object({ type: z.string(), inputs: z.looseObject({ name: z.string().optional() }).optional() })),
      pending_operations: z.array(z.unknown()).default([]),
    }),
  }),
});
type State = z.infer<typeof checkpoint>['checkpoint']['latest'];

/** What may be wrong with a state, and how Pulumi's child puts it right. */
export const DAMAGES = ['cut off', 'lost', 'encrypted with another passphrase'] as const;
export type Damage = (typeof DAMAGES)[number];
const MENDS: Readonly<Record<Damage, string>> = {
  'cut off': 'state-emptied',
  lost: 'stack-made-anew',
  'encrypted with another passphrase': 'state-emptied',
};

/** A site with a database, as the engine's own state has it. */
export const wish = async (w: LocalWorld, text: string): Promise<DeployOrder> =>
  orderOf({
    artefact: await w.artefact({ 'server.js': answering(text) }),
    database: await w.seed('create table kept (n int); insert into kept values (7)'),
  });

const stateDatabase = (w: LocalWorld): string => new URL(w.backendUrl).pathname.slice(1);
export const onState = (w: LocalWorld, sql: string): Promise<Record<string, unknown>[]> => w.sql(stateDatabase(w), sql);
const stackOf = ({ instance }: LocalWorld, { site }: DeployOrder): string => stackName('local', { instance, site });
const where = (w: LocalWorld, order: DeployOrder): string => `key like '%.pulumi/stacks/%/${stackOf(w, order)}.json'`;

/** What Pulumi knows of the site. */
export async function stateOf(w: LocalWorld, order: DeployOrder): Promise<State> {
  const [row] = await onState(
    w,
    `select convert_from(decode(data ->> 'data', 'base64'), 'utf8') as it from pulumi_state where ${where(w, order)}`,
  );
  return checkpoint.parse(JSON.parse(String(row?.it))).checkpoint.latest;
}

/** Every line about the site in Pulumi's table. */
export const linesOf = (w: LocalWorld, order: DeployOrder): Promise<readonly Record<string, unknown>[]> =>
  onState(w, `select key from pulumi_state where key like '%${stackOf(w, order)}%'`);

/** What of the site is there, by kind. */
export const foundOf = async (w: LocalWorld, { site }: DeployOrder): Promise<readonly string[]> =>
  (await w.target.survey()).flatMap((it) => (it.site === site ? [it.kind] : [])).sort();

/** What the log warns of having put right. */
export const mendedOf = (w: LocalWorld, order: DeployOrder): readonly unknown[] =>
  w.logLines.flatMap(({ level, stack, mended }) => (level === 40 && stack === stackOf(w, order) ? [mended] : []));

export async function expectNothingLeft(w: LocalWorld, order: DeployOrder): Promise<void> {
  expect([await foundOf(w, order), await linesOf(w, order)]).toEqual([[], []]);
}

/** Whoever meets the point first stands still there until it is thawed; others go by. */
export function freezeFirstAt(point: FaultPoint): Disposable & { readonly reached: Promise<void>; readonly thaw: () => void } {
  const { promise: frozen, resolve: thaw } = Promise.withResolvers<void>();
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
  let isFirst = true;
  const armed = armFaultPoints(async (here) => {
    if (here !== point || !isFirst) return;
    isFirst = false;
    reach();
    await frozen;
  });
  return { reached, thaw, [Symbol.dispose]: () => armed[Symbol.dispose]() };
}

/** Kills the engine's child, and all it started, when the point is met. */
function killEngineAt(w: LocalWorld, point: FaultPoint, order: DeployOrder): Disposable {
  return armFaultPoints(async (here) => {
    if (here !== point) return;
    const mark = JSON.parse(await readFile(join(w.folder, 'pulumi/running', stackOf(w, order)), 'utf8'));
    process.kill(-mark.pid, 'SIGKILL');
  });
}

async function deployAndKill(w: LocalWorld, point: FaultPoint): Promise<DeployOrder> {
  const order = await wish(w, 'after');
  using _armed = killEngineAt(w, point, order);
  await expect(w.target.deploy(hold(), order, watching())).rejects.toThrow('deploy-failed');
  return order;
}

/** The engine is killed between the deed and its record; the next launch succeeds, and nothing stays pending. */
export async function killedThenLaunched(w: LocalWorld, point: FaultPoint): Promise<void> {
  const order = await deployAndKill(w, point);
  expect((await stateOf(w, order)).pending_operations).toHaveLength(1);
  const next = nextRevision(order, {});
  expect(await visit(w, await w.target.deploy(hold(), next, watching()))).toBe('after');
  expect((await stateOf(w, order)).pending_operations).toEqual([]);
  expect(mendedOf(w, order)).toEqual([['lock-broken']]);
  await w.target.settle(hold(), order.site, next.revision);
  expect(await foundOf(w, order)).toEqual(['database', 'process', 'stack']);
  await w.target.destroy(hold(), order.site, watching());
  await expectNothingLeft(w, order);
}

/** Two accidents at once. */
export async function killedAndCutOff(w: LocalWorld): Promise<void> {
  const order = await deployAndKill(w, 'process-started');
  await cutOff(w, order);
  expect(await visit(w, await w.target.deploy(hold(), nextRevision(order, {}), watching()))).toBe('after');
  expect((await stateOf(w, order)).pending_operations).toEqual([]);
  expect(mendedOf(w, order)).toEqual([['lock-broken', 'state-emptied']]);
  await w.target.destroy(hold(), order.site, watching());
  await expectNothingLeft(w, order);
}

const HALF = `json_build_object('data', encode(substring(decode(data ->> 'data', 'base64') for 2000), 'base64'))`;
const cutOff = (w: LocalWorld, order: DeployOrder): Promise<unknown> =>
  onState(w, `update pulumi_state set data = ${HALF} where ${where(w, order)}`);

/** The same, and the site is removed. */
export async function killedThenRemoved(w: LocalWorld, point: FaultPoint): Promise<void> {
  const order = await deployAndKill(w, point);
  await w.target.destroy(hold(), order.site, watching());
  await expectNothingLeft(w, order);
}

/** The engine is killed in the middle of a removal. */
export async function killedInRemoval(w: LocalWorld): Promise<void> {
  const order = await wish(w, 'brief');
  await w.target.deploy(hold(), order, watching());
  {
    using _armed = killEngineAt(w, 'resource-removed', order);
    await expect(w.target.destroy(hold(), order.site, watching())).rejects.toThrow('deploy-failed');
  }
  await w.target.destroy(hold(), order.site, watching());
  await expectNothingLeft(w, order);
}

/** Puts up a site whose state is then damaged. */
async function deployAndDamage(w: LocalWorld, damage: Damage): Promise<DeployOrder> {
  const order = await wish(w, 'one');
  const file = join(w.folder, 'passphrase');
  const passphrase = await readFile(file);
  if (damage === 'encrypted with another passphrase') await writeFile(file, 'another', { mode: 0o600 });
  await w.target.deploy(hold(), order, watching());
  await writeFile(file, passphrase, { mode: 0o600 });
  if (damage === 'cut off') await cutOff(w, order);
  if (damage === 'lost') await onState(w, `delete from pulumi_state where ${where(w, order)}`);
  return order;
}

/** The next launch finds what is really there and keeps its data; the neighbour notices nothing. */
export async function damagedThenLaunched(w: LocalWorld, damage: Damage): Promise<void> {
  const neighbour = await wish(w, 'neighbour');
  await w.target.deploy(hold(), neighbour, watching());
  const order = await deployAndDamage(w, damage);
  await w.target.deploy(hold(), nextRevision(neighbour, {}), watching());
  expect(mendedOf(w, neighbour)).toEqual([]);
  expect(await foundOf(w, neighbour)).toContain('stack');

  const [database] = (await w.databases.list()).filter(({ site }) => site === order.site);
  await w.sql(database?.name ?? '', 'insert into kept values (8)');
  const next = nextRevision(order, { artefact: await w.artefact({ 'server.js': answering('two') }) });
  expect(await visit(w, await w.target.deploy(hold(), next, watching()))).toBe('two');
  expect(mendedOf(w, order)).toEqual([[MENDS[damage]]]);
  expect(await w.sql(database?.name ?? '', 'select n from kept order by n')).toEqual([{ n: 7 }, { n: 8 }]);
  expect((await stateOf(w, order)).resources.map(({ type }) => type)).toContain('mayfly:local:Database');
  await w.target.settle(hold(), order.site, next.revision);
  expect(await foundOf(w, order)).toEqual(['database', 'process', 'stack']);
  await w.target.destroy(hold(), order.site, watching());
  await expectNothingLeft(w, order);
}

/** The site is removed, and nothing of it is left. */
export async function damagedThenRemoved(w: LocalWorld, damage: Damage): Promise<void> {
  const order = await deployAndDamage(w, damage);
  await w.target.destroy(hold(), order.site, watching());
  await expectNothingLeft(w, order);
}
