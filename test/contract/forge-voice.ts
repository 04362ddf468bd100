import { describe, expect, test } from 'vitest';
import { parseSha, type Repository, type Sha, toSiteId } from '../../src/site/identity.ts';
import type { Check, Deployment, Place, Voice } from '../../src/site/ports.ts';

export type SeenComment = { readonly id: string; readonly body: string; readonly ours: boolean; readonly reactions: readonly string[] };
export type SeenDeployment = { readonly id: string; readonly sha: string; readonly state: string; readonly url: string };

export interface VoiceWorld extends AsyncDisposable {
  readonly voice: Voice;
  readonly repository: Repository;
  openPull(): Promise<{ readonly number: number; readonly sha: string }>;
  push(number: number): Promise<string>;
  comments(number: number): readonly SeenComment[];
  /** A comment that is already there, written by us or by a person. Returns its id. */
  plant(number: number, by: 'us' | 'a person', body: string): string;
  /** The forge does the next creating work, but the answer never arrives. */
  cutNextAnswer(): void;
  checks(sha: string): readonly {
    readonly id: string;
    readonly site: string;
    readonly state: string;
    readonly title: string;
    readonly text: string;
    readonly url: string;
  }[];
  /** Oldest first. */
  deployments(): readonly SeenDeployment[];
  deleteComment(id: string): void;
  /** A deployment like ours, made by another app. */
  plantDeployment(sha: string, site: string): void;
}

/** Where forges have room for different things: `one line` has a title and a link alone, and a new id whenever it begins anew. */
export type Room = { readonly checks: 'whole' | 'one line' };

const SITE = toSiteId('01J0000000000000000000000A');
const OTHER = toSiteId('01J0000000000000000000000B');
const MARKER = `<!-- mayfly:site=${SITE} -->`;
const said = (text: string, known: string | null = null) => ({ marker: MARKER, body: `${MARKER}\n${text}`, known });
const asSha = (text: string): Sha => {
  const sha = parseSha(text);
  if (!sha) throw new Error(`${text} is no commit`);
  return sha;
};
const check = (sha: string, change: Partial<Check> = {}): Check => ({
  sha: asSha(sha),
  status: 'queued',
  title: 'Queued',
  summary: 'It waits.',
  text: '',
  url: 'https://pr-1.preview.example',
  ...change,
});
/** A site's address, on a forge whose pulls are numbered so. */
const addressOf = (number: number): string => `https://mr-${number}-shop-abcdefgh.preview.example`;
const deployment = (sha: string, state: Deployment['state'], number: number): Deployment => ({
  sha: asSha(sha),
  state,
  url: addressOf(number),
  description: 'A preview',
});

/** Every adapter's `Voice` keeps these. */
export function voiceContract(name: string, open: () => Promise<VoiceWorld>, room: Room = { checks: 'whole' }): void {
  const setUp = async (w: VoiceWorld) => {
    const pull = await w.openPull();
    const place: Place = { repository: w.repository, number: pull.number, site: SITE };
    return { ...pull, place };
  };
  describe(`Voice of ${name}`, () => {
    commentContract(open, setUp);
    checkContract(open, setUp, room);
    deploymentContract(open, setUp);
  });
}

type SetUp = (w: VoiceWorld) => Promise<{ readonly number: number; readonly sha: string; readonly place: Place }>;
type Open = () => Promise<VoiceWorld>;

function commentContract(open: Open, setUp: SetUp): void {
  test('one comment is written, and edited from then on', async () => {
    await using w = await open();
    const { place, number } = await setUp(w);
    const first = await w.voice.ensureComment(place, said('one'));
    const second = await w.voice.ensureComment(place, said('two', first.id));
    expect(second).toEqual(first);
    expect(w.comments(number)).toMatchObject([{ id: first.id, body: `${MARKER}\ntwo` }]);
  });

  test('a comment whose id was lost is found again, behind a hundred others', async () => {
    await using w = await open();
    const { place, number } = await setUp(w);
    for (let i = 0; i < 100; i += 1) w.plant(number, 'a person', `chatter ${i}`);
    const first = await w.voice.ensureComment(place, said('one'));
    expect(await w.voice.ensureComment(place, said('two'))).toEqual(first);
    expect(w.comments(number).filter(({ ours }) => ours)).toHaveLength(1);
  });

  test('a comment whose answer was lost is found again', async () => {
    await using w = await open();
    const { place, number } = await setUp(w);
    w.cutNextAnswer();
    await expect(w.voice.ensureComment(place, said('one'))).rejects.toMatchObject({ code: 'forge-unreachable' });
    await w.voice.ensureComment(place, said('two'));
    expect(w.comments(number)).toMatchObject([{ body: `${MARKER}\ntwo` }]);
  });

  test('of two comments of ours the oldest stays', async () => {
    await using w = await open();
    const { place, number } = await setUp(w);
    const oldest = w.plant(number, 'us', `${MARKER}\na`);
    w.plant(number, 'us', `${MARKER}\nb`);
    expect((await w.voice.ensureComment(place, said('c'))).id).toBe(oldest);
    expect(w.comments(number)).toMatchObject([{ id: oldest, body: `${MARKER}\nc` }]);
  });

  test('two workers at once leave one comment', async () => {
    await using w = await open();
    const { place, number } = await setUp(w);
    await Promise.all([w.voice.ensureComment(place, said('one')), w.voice.ensureComment(place, said('two'))]);
    expect(w.comments(number)).toHaveLength(1);
    await w.voice.ensureComment(place, said('three'));
    expect(w.comments(number)).toMatchObject([{ body: `${MARKER}\nthree` }]);
  });

  test('a marker in a person’s comment, or further down in one of ours, is no comment of ours', async () => {
    await using w = await open();
    const { place, number } = await setUp(w);
    w.plant(number, 'a person', `${MARKER}\nforged`);
    w.plant(number, 'us', `<!-- mayfly:site=${OTHER} -->\n${MARKER}`);
    await w.voice.ensureComment(place, said('one'));
    expect(w.comments(number).map(({ body }) => body.split('\n')[1])).toEqual(['forged', MARKER, 'one']);
  });

  test('a comment that somebody deleted is written anew', async () => {
    await using w = await open();
    const { place, number } = await setUp(w);
    const first = await w.voice.ensureComment(place, said('one'));
    w.deleteComment(first.id);
    const second = await w.voice.ensureComment(place, said('two', first.id));
    expect(w.comments(number)).toMatchObject([{ id: second.id, body: `${MARKER}\ntwo` }]);
  });

  test('a text that is too long is cut, on a whole character', async () => {
    await using w = await open();
    const { place, number } = await setUp(w);
    await w.voice.ensureComment(place, said('🦀'.repeat(40_000)));
    const body = w.comments(number)[0]?.body ?? '';
    expect(body.length).toBeLessThanOrEqual(65_536);
    expect(body.isWellFormed()).toBe(true);
  });

  test('a later reaction takes the place of the one before', async () => {
    await using w = await open();
    const { number, place } = await setUp(w);
    const comment = w.plant(number, 'a person', '/preview');
    await w.voice.react(place, comment, 'taken');
    await w.voice.react(place, comment, 'done');
    await w.voice.react(place, comment, 'done');
    expect(w.comments(number)[0]?.reactions).toEqual(['+1']);
  });

  test('a reaction to a comment that is gone is nothing', async () => {
    await using w = await open();
    const { number, place } = await setUp(w);
    const comment = w.plant(number, 'a person', '/preview');
    w.deleteComment(comment);
    await expect(w.voice.react(place, comment, 'taken')).resolves.toBeUndefined();
  });
}

function checkContract(open: Open, setUp: SetUp, room: Room): void {
  const whole = <T extends object>(more: T): Partial<T> => (room.checks === 'whole' ? more : {});
  test('a check goes from queued to its end, and back when it is tried again', async () => {
    await using w = await open();
    const { place, sha } = await setUp(w);
    const { id } = await w.voice.ensureCheck(place, check(sha), null);
    await w.voice.ensureCheck(place, check(sha, { status: 'inProgress' }), id);
    await w.voice.ensureCheck(place, check(sha, { status: 'failure', title: 'Failed', text: 'log' }), id);
    expect(w.checks(sha)).toMatchObject([{ state: 'failure', title: 'Failed', ...whole({ id, site: SITE, text: 'log' }) }]);
    await w.voice.ensureCheck(place, check(sha, { status: 'inProgress' }), id);
    expect(w.checks(sha)).toMatchObject([{ state: 'in_progress', ...whole({ id }) }]);
  });

  test('a check whose id was lost is found again; a second site on the commit has its own', async () => {
    await using w = await open();
    const { place, sha } = await setUp(w);
    const { id } = await w.voice.ensureCheck(place, check(sha), null);
    const { number } = await w.openPull();
    const other = await w.voice.ensureCheck({ ...place, number, site: OTHER }, check(sha), null);
    expect(other.id).not.toBe(id);
    expect((await w.voice.ensureCheck(place, check(sha, { status: 'success' }), null)).id).toBe(id);
    expect((await w.voice.ensureCheck(place, check(sha, { status: 'success' }), '1')).id).toBe(id);
    expect(w.checks(sha)).toHaveLength(2);
  });

  test('a check whose answer was lost is found again', async () => {
    await using w = await open();
    const { place, sha } = await setUp(w);
    w.cutNextAnswer();
    await expect(w.voice.ensureCheck(place, check(sha), null)).rejects.toMatchObject({ code: 'forge-unreachable' });
    await w.voice.ensureCheck(place, check(sha, { status: 'success' }), null);
    expect(w.checks(sha)).toMatchObject([{ state: 'success' }]);
  });

  // A forge that has no room for a text has none to keep to a limit.
  if (room.checks === 'one line') return;
  test('a check’s text keeps to the limit of the forge in bytes', async () => {
    await using w = await open();
    const { place, sha } = await setUp(w);
    await w.voice.ensureCheck(place, check(sha, { text: 'é'.repeat(60_000) }), null);
    const text = w.checks(sha)[0]?.text ?? '';
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(65_535);
    expect(text.endsWith('é…')).toBe(true);
  });
}

function deploymentContract(open: Open, setUp: SetUp): void {
  test('a deployment goes through its states under one id', async () => {
    await using w = await open();
    const { place, number, sha } = await setUp(w);
    const { id } = await w.voice.ensureDeployment(place, deployment(sha, 'queued', number), null);
    await w.voice.ensureDeployment(place, deployment(sha, 'inProgress', number), id);
    await w.voice.ensureDeployment(place, deployment(sha, 'success', number), null);
    expect(w.deployments()).toEqual([{ id, sha, state: 'success', url: addressOf(number) }]);
  });

  test('a deployment whose answer was lost is found again', async () => {
    await using w = await open();
    const { place, number, sha } = await setUp(w);
    w.cutNextAnswer();
    await expect(w.voice.ensureDeployment(place, deployment(sha, 'queued', number), null)).rejects.toMatchObject({
      code: 'forge-unreachable',
    });
    await w.voice.ensureDeployment(place, deployment(sha, 'success', number), null);
    expect(w.deployments()).toMatchObject([{ sha, state: 'success' }]);
  });

  test('the older ones of the pull become inactive once the newer succeeds, those of other pulls do not', async () => {
    await using w = await open();
    const { place, number, sha } = await setUp(w);
    const neighbour = await w.openPull();
    await w.voice.ensureDeployment(
      { ...place, number: neighbour.number, site: OTHER },
      deployment(neighbour.sha, 'success', neighbour.number),
      null,
    );
    await w.voice.ensureDeployment(place, deployment(sha, 'success', number), null);
    const newest = await w.push(number);
    await w.voice.ensureDeployment(place, deployment(newest, 'inProgress', number), null);
    expect(w.deployments().map(({ state }) => state)).toEqual(['success', 'success', 'in_progress']);
    await w.voice.ensureDeployment(place, deployment(newest, 'success', number), null);
    expect(w.deployments().map(({ state }) => state)).toEqual(['success', 'inactive', 'success']);
  });

  test('at the end all of the site’s are gone, although their ids were lost, and no other’s', async () => {
    await using w = await open();
    const { place, number, sha } = await setUp(w);
    const neighbour = await w.openPull();
    const next = { ...place, number: neighbour.number, site: OTHER };
    const theirs = await w.voice.ensureDeployment(next, deployment(neighbour.sha, 'success', neighbour.number), null);
    await w.voice.ensureDeployment(place, deployment(sha, 'failure', number), null);
    await w.voice.ensureDeployment(place, deployment(await w.push(number), 'success', number), null);
    await w.voice.removeDeployments(place);
    expect(w.deployments()).toMatchObject([{ id: theirs.id }]);
    await expect(w.voice.removeDeployments(place)).resolves.toBeUndefined();
  });

  test('the places of all deployments of ours are told, each once, those of others never', async () => {
    await using w = await open();
    const { place, number, sha } = await setUp(w);
    const neighbour = await w.openPull();
    expect(await w.voice.deployedPlaces(w.repository)).toEqual([]);
    await w.voice.ensureDeployment(place, deployment(sha, 'success', number), null);
    await w.voice.ensureDeployment(place, deployment(await w.push(number), 'success', number), null);
    await w.voice.ensureDeployment(
      { ...place, number: neighbour.number, site: OTHER },
      deployment(neighbour.sha, 'failure', neighbour.number),
      null,
    );
    w.plantDeployment(neighbour.sha, '01J0000000000000000000000C');
    const places = await w.voice.deployedPlaces(w.repository);
    const wanted = new Map([
      [number, SITE],
      [neighbour.number, OTHER],
    ]);
    expect(places.map((one) => one.number).sort()).toEqual([...wanted.keys()].sort());
    for (const one of places) expect([null, wanted.get(one.number)]).toContain(one.site);
    for (const one of places) await w.voice.removeDeployments(one);
    expect(await w.voice.deployedPlaces(w.repository)).toEqual([]);
    expect(w.deployments()).toHaveLength(1);
  });
}
