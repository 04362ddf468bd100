import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import { expect, inject } from 'vitest';
import type { FaultPoint } from '../src/fault-points.ts';
import type { ChildWorld } from './child.ts';
import { expectClosed, type pullOpener } from './converged.ts';
import type { StagePull } from './doubles/stage.ts';
import { onDatabase } from './postgres.ts';
import { storedApp } from './scenarios/apps.ts';
import { until } from './world.ts';

export type Freeze = { readonly point: FaultPoint; readonly what: 'alone' | 'with all its children' };

/**
 * A worker freezes; another takes over, and launches a newer commit; then the first thaws. It changes nothing any more, gives up, and is
 * good for work again.
 * @param w a `shared` world
 */
export async function frozenAndThawed(w: ChildWorld, open: ReturnType<typeof pullOpener>, { point, what }: Freeze): Promise<void> {
  await w.start({ point, signal: 'SIGSTOP' });
  const pull = await open(storedApp('older'), storedApp('main'));
  const frozen = await w.froze(what);
  {
    await using second = await w.startSecond();
    const sha = await w.forge.push(pull, storedApp('newer'));
    const { id } = await w.reaches(pull, 'ready', sha);
    await until('its comment', () => w.forge.ourComment(pull)?.body.includes('### 🟢 Preview is ready'));
    await until('its launch to be over', async () => (await w.site(pull))?.launches[0]?.outcome === 'succeeded');
    await until('all of it to be said', async () => (await pictureOf(w, id)).isSaid === true);
    const before = await pictureOf(w, id);
    const seenBefore = seenOf(w, pull);

    await frozen.thaw();
    await until('it to notice', () => w.said().some((line) => line.includes('lease lost')));
    await until('its engine to have ended', async () => (await w.descendants()).every(({ command }) => !command.includes('pulumi up')));
    expect(worksOf(await pictureOf(w, id))).toEqual(worksOf(before));
    // A word that it was in the middle of makes what was said doubtful: it is said once more, and is the same.
    await until('everything to be as it was', async () => isDeepStrictEqual(await pictureOf(w, id), before));
    expect(seenOf(w, pull)).toEqual(seenBefore);
    expect((await second.visit(pull)).body).toBe('newer');
    expect(w.forge.ourComments(pull)).toHaveLength(1);
    const [newest, ...older] = (await w.site(pull))?.launches ?? [];
    expect(newest).toEqual({ sha, outcome: 'succeeded' });
    // It had succeeded if it froze that late; what it was in the middle of is nobody's failure. The other may have begun with the older one.
    for (const { outcome } of older) expect(['abandoned', 'succeeded', 'superseded']).toContain(outcome);
  }
  await expectClosed(w, pull);
}

/** What only a worker writes. */
const worksOf = ({ history, launches, state, databases }: Picture) => ({ history, launches, state, databases });

type Picture = Readonly<Record<'isSaid' | 'row' | 'history' | 'launches' | 'state' | 'databases', unknown>>;

/** What people see of it on the forge. */
const seenOf = ({ forge, checks, deployed }: ChildWorld, pull: StagePull) => ({
  comments: forge.ourComments(pull).map(({ body }) => body),
  checks: checks(pull.sha),
  deployed: deployed(pull.repository).map(({ id, states }) => ({ id, state: states.at(-1) })),
});

/** Everything that is written about a site, but for our notes of what was said: its rows, the engine's state, the names of its databases. */
async function pictureOf({ database }: ChildWorld, id: string): Promise<Picture> {
  const name = database?.name ?? '';
  const ask = async (on: string, text: string, value: string): Promise<readonly unknown[]> => {
    const client = new pg.Client(onDatabase(inject('postgresUrl'), on));
    await client.connect();
    try {
      return (await client.query(text, [value])).rows;
    } finally {
      await client.end();
    }
  };
  const site = id.toLowerCase();
  const settled = await ask(name, 'select from mayfly.sites where id = $1 and said_version >= report_due', id);
  return {
    isSaid: settled.length > 0,
    row: await ask(name, 'select * from mayfly.sites where id = $1', id),
    history: await ask(name, 'select * from mayfly.site_history where site = $1 order by id', id),
    launches: await ask(name, 'select * from mayfly.launches where site = $1 order by id', id),
    state: await ask(`${name}_pulumi`, `select * from pulumi_state where key like '%' || $1 || '%' order by key`, site),
    databases: await ask('postgres', `select datname, oid from pg_database where datname like '%' || $1 || '%' order by oid`, site),
  };
}
