import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BAD_GATEWAY } from '../../doubles/answers.ts';
import { type Asked, asked } from '../../doubles/asked.ts';
import { type ForgeName, receipts, type StageComment, type StagePull, type StageRepo } from '../../doubles/stage.ts';
import { createWorld, until, type World } from '../../world.ts';
import { nodeApp } from '../apps.ts';

const DAY_MS = 86_400_000;

/** Commands, and what dies or fails meanwhile, on either forge. */
export function commandFaults(forge: ForgeName): void {
  const name = { github: 'GitHub', gitlab: 'GitLab' }[forge];
  const { isOf, asksWho, reacts } = asked[forge];
  let w: World;
  let made = 0;
  beforeAll(async () => {
    w = await createWorld({}, { forge });
  });
  afterAll(() => w[Symbol.asyncDispose]());

  async function standing(): Promise<{ readonly repo: StageRepo; readonly pull: StagePull }> {
    const repo = await w.forge.createRepository({ name: `typed-${++made}/shop-${made}`, files: nodeApp('main') });
    w.forge.setPermission(repo, 'ada', 'write');
    const pull = await w.forge.openPull(repo, { files: nodeApp('hello') });
    await w.reaches(pull, 'ready');
    return { repo, pull };
  }
  const endsAt = async (pull: StagePull): Promise<number> => (await w.siteOf(pull))?.endsAt.getTime() ?? 0;
  const verdict = (comment: StageComment): Promise<string | undefined> =>
    until('a verdict', () => receipts(comment).findLast((content) => content !== 'eyes'));
  const handled = (): Promise<boolean> =>
    until('every delivery to be handled', async () => (await w.mayfly.store.inbox.pending(0, 1)).length === 0);
  const givenIn = async (pull: StagePull): Promise<readonly unknown[]> => {
    const site = await w.siteOf(pull);
    return ((await (await w.api(`/sites/${site?.id}/commands`)).json()) as { commands: unknown[] }).commands;
  };

  async function onDatabase<Seen>(run: (client: pg.Client) => Promise<Seen>): Promise<Seen> {
    const client = new pg.Client({ connectionString: w.database.url });
    await client.connect();
    try {
      return await run(client);
    } finally {
      await client.end();
    }
  }

  /** What may be the last that a connection ever did. */
  const MOMENTS = {
    'its delivery is handled': { table: 'deliveries', when: 'new.handled_at is not null and old.handled_at is null' },
    'its answer is noted': { table: 'commands', when: 'new.answer is not null' },
  } as const;

  /** From now on the connection dies just before this moment, for as many times. @returns how often it came to it */
  async function dieBefore(moment: keyof typeof MOMENTS, times: number): Promise<() => Promise<number>> {
    const { table, when } = MOMENTS[moment];
    const name = `deaths_${table}`;
    // A sequence counts on when its transaction is rolled back.
    await onDatabase((client) =>
      client.query(`
      create sequence public.${name};
      create function public.die_${table}() returns trigger language plpgsql security definer as $$
      begin
        if nextval('public.${name}') <= ${times} then
          perform pg_terminate_backend(pg_backend_pid());
          perform pg_sleep(10);
        end if;
        return new;
      end $$;
      create trigger die before update on mayfly.${table} for each row when (${when}) execute function public.die_${table}();`),
    );
    return async () => (await onDatabase((client) => client.query(`select last_value::int as met from public.${name}`))).rows[0].met;
  }

  test('the handling of a command dies after the row changed and before its delivery is handled: it is carried out once', async () => {
    const { pull } = await standing();
    const before = await endsAt(pull);
    const met = await dieBefore('its delivery is handled', 2);
    const comment = await w.forge.comment(pull, 'ada', '/preview extend 1d');
    expect(await verdict(comment)).toBe('+1');
    await handled();
    expect((await endsAt(pull)) - before).toBe(DAY_MS);
    expect(await givenIn(pull)).toMatchObject([{ typed: '/preview extend 1d', outcome: 'done' }]);
    expect(await met()).toBeGreaterThanOrEqual(3);
  });

  test('it dies before its answer is noted: what it came to is told all the same', async () => {
    const { pull } = await standing();
    const met = await dieBefore('its answer is noted', 2);
    await w.forge.comment(pull, 'ada', '/preview extend 365d');
    await until('the answer', () => w.comment(pull).includes('it ends at the limit'));
    await handled();
    expect(await givenIn(pull)).toMatchObject([{ typed: '/preview extend 365d', outcome: 'done' }]);
    expect(await met()).toBeGreaterThanOrEqual(3);
  });

  test(`${name} is away when a command arrives: it is carried out when ${name} is back, once`, async () => {
    const { repo, pull } = await standing();
    const before = await endsAt(pull);
    let away = true;
    const asksWhoThere = (one: Asked): boolean => isOf(repo)(one) && asksWho(one);
    w.forge.fail({ match: (one) => away && asksWhoThere(one), times: 1_000, answer: BAD_GATEWAY[forge] });
    const comment = await w.forge.comment(pull, 'ada', '/preview extend 1d');
    await until('it to be tried twice', () => w.forge.requests.filter(asksWhoThere).length >= 3);
    expect(await endsAt(pull)).toBe(before);
    away = false;
    expect(await verdict(comment)).toBe('+1');
    await handled();
    expect((await endsAt(pull)) - before).toBe(DAY_MS);
    expect(await givenIn(pull)).toHaveLength(1);
  });

  test('a reaction that cannot be placed does not repeat the command', async () => {
    const { repo, pull } = await standing();
    const before = await endsAt(pull);
    w.forge.fail({ match: (one) => isOf(repo)(one) && reacts(one), times: 1_000, answer: BAD_GATEWAY[forge] });
    const comment = await w.forge.comment(pull, 'ada', '/preview extend 1d\n/preview ping');
    await until('the answer', () => w.comment(pull).includes('I am here.'));
    await handled();
    expect((await endsAt(pull)) - before).toBe(DAY_MS);
    expect(comment.reacted).toEqual([]);
    expect(await givenIn(pull)).toHaveLength(2);
  });

  test('the answer to a reaction is lost: one reaction stands in the end, and the command was carried out once', async () => {
    const { repo, pull } = await standing();
    const before = await endsAt(pull);
    w.forge.fail({ match: (one) => isOf(repo)(one) && reacts(one), answer: 'cut' });
    const comment = await w.forge.comment(pull, 'ada', '/preview extend 1d');
    expect(await verdict(comment)).toBe('+1');
    await until('it to stand alone', () => comment.reactions.length === 1);
    expect((await endsAt(pull)) - before).toBe(DAY_MS);
  });
}
