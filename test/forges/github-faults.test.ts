import { Writable } from 'node:stream';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { parseSha, toSiteId } from '../../src/site/identity.ts';
import type { Place } from '../../src/site/ports.ts';
import { Fault } from '../../src/site/problem.ts';
import { asRepository, type GitHubWorld, openGitHubWorld } from '../contract/github-world.ts';

const SITE = toSiteId('01J0000000000000000000000A');
const MARKER = `<!-- mayfly:site=${SITE} -->`;
const said = (text: string) => ({ marker: MARKER, body: `${MARKER}\n${text}`, known: null });
const isComment = (request: { readonly method: string; readonly path: string }) =>
  request.method === 'POST' && request.path.endsWith('/comments');
const isPull = ({ path }: { readonly path: string }) => path.includes('/pulls/');

async function withPull(w: GitHubWorld) {
  const pull = await w.github.openPull(w.repo);
  const place: Place = { repository: w.repository, number: pull.number, site: SITE };
  return { pull, place };
}

/** The Fault that it ended in. */
async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof Fault) return error;
  throw new Error('it did not end in a Fault', { cause: error });
}

const secondsUntil = (fault: Fault): number => (Date.parse(fault.details.until ?? '') - Date.now()) / 1000;

test('T-F14 a token that expired in the middle is minted anew', async () => {
  await using w = await openGitHubWorld();
  const { pull, place } = await withPull(w);
  await w.facts.pull(w.repository, pull.number);
  w.github.expireTokens();
  await w.voice.ensureComment(place, said('still here'));
  expect(w.github.ourComment(pull)?.body).toContain('still here');
  expect(w.github.requests.filter(({ path }) => path.endsWith('/access_tokens'))).toHaveLength(2);
});

test('a token is minted once for many requests at once', async () => {
  await using w = await openGitHubWorld();
  const { pull } = await withPull(w);
  await Promise.all(Array.from({ length: 20 }, () => w.facts.pull(w.repository, pull.number)));
  expect(w.github.requests.filter(({ path }) => path.endsWith('/access_tokens'))).toHaveLength(1);
});

test('T-F14 a limit with Retry-After is kept: nothing is asked until then, and others go on', async () => {
  await using w = await openGitHubWorld();
  const { pull, place } = await withPull(w);
  w.github.fail({ match: isComment, answer: { status: 403, headers: { 'retry-after': '60' } } });
  const fault = await faultOf(w.voice.ensureComment(place, said('one')));
  expect(fault.code).toBe('forge-limited');
  expect(secondsUntil(fault)).toBeGreaterThan(55);

  const asked = w.github.requests.length;
  expect((await faultOf(w.facts.pull(w.repository, pull.number))).code).toBe('forge-limited');
  expect(w.github.requests).toHaveLength(asked);

  const neighbour = await w.github.createRepository({ name: 'globex/site' });
  const theirs = await w.github.openPull(neighbour);
  const other = asRepository(neighbour, w.github.installationIdOf(neighbour));
  expect((await w.facts.pull(other, theirs.number))?.head.sha).toBe(theirs.sha);
});

test.for([
  { name: '429 without a header', answer: { status: 429 }, least: 55 },
  {
    name: 'an hourly quota used up',
    answer: { status: 403, headers: { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 900) } },
    least: 600,
  },
])('T-F14 $name is a limit', async ({ answer, least }) => {
  await using w = await openGitHubWorld();
  const { pull } = await withPull(w);
  w.github.fail({ match: isPull, answer });
  const fault = await faultOf(w.facts.pull(w.repository, pull.number));
  expect(fault.code).toBe('forge-limited');
  expect(secondsUntil(fault)).toBeGreaterThan(least);
});

test('T-F14 a read that met a bad gateway is repeated, a write is not', async () => {
  await using w = await openGitHubWorld();
  const { pull, place } = await withPull(w);
  w.github.fail({ match: isPull, answer: { status: 502 } });
  expect((await w.facts.pull(w.repository, pull.number))?.head.sha).toBe(pull.sha);
  w.github.fail({ match: isComment, answer: { status: 502 } });
  expect((await faultOf(w.voice.ensureComment(place, said('one')))).code).toBe('forge-unreachable');
  expect(w.github.requests.filter(isComment)).toHaveLength(1);
});

test('T-F14 an answer that never comes ends in time', async () => {
  await using w = await openGitHubWorld({ timeoutMs: 300 });
  const { pull } = await withPull(w);
  w.github.fail({ match: isPull, times: 9, answer: 'hang' });
  expect((await faultOf(w.facts.pull(w.repository, pull.number))).code).toBe('forge-unreachable');
});

test('T-F14 a locked pull is refused', async () => {
  await using w = await openGitHubWorld();
  const { pull, place } = await withPull(w);
  w.github.lock(pull);
  const fault = await faultOf(w.voice.ensureComment(place, said('one')));
  expect(fault).toMatchObject({ code: 'forge-refused', details: { cause: expect.stringContaining('403') } });
});

test.for(['uninstalled', 'suspended'] as const)('T-F14 when the app is %s, access is gone', async (how) => {
  await using w = await openGitHubWorld();
  const { pull, place } = await withPull(w);
  if (how === 'uninstalled') await w.github.uninstall('acme');
  else await w.github.suspend('acme', 'suspend');
  expect((await faultOf(w.facts.pull(w.repository, pull.number))).code).toBe('access-gone');
  expect((await faultOf(w.voice.ensureComment(place, said('one')))).code).toBe('access-gone');
  expect((await faultOf(w.source.address(w.repository))).code).toBe('access-gone');
});

test.for([404, 401, 403])('a page with %i is no verdict on what was asked', async (status) => {
  await using w = await openGitHubWorld();
  const { pull, place } = await withPull(w);
  const works = () => [
    w.facts.pull(w.repository, pull.number),
    w.facts.openPulls(w.repository),
    w.facts.repository(w.repository),
    w.voice.ensureComment(place, said('one')),
    w.source.address(w.repository),
  ];
  const codes = async () => new Set((await Promise.all(works().map(faultOf))).map(({ code }) => code));
  w.github.fail({ match: ({ path }) => path.endsWith('/access_tokens'), times: 100, answer: { status, page: 'no such page\n' } });
  expect(await codes()).toEqual(new Set(['forge-unreachable']));
  await using open = await openGitHubWorld();
  open.github.fail({ match: ({ path }) => !path.endsWith('/access_tokens'), times: 100, answer: { status: 404, page: 'none\n' } });
  expect((await faultOf(open.facts.repository(open.repository))).code).toBe('forge-unreachable');
  expect((await faultOf(open.facts.pull(open.repository, 1))).code).toBe('forge-unreachable');
});

test('T-F15 writes stay within GitHub’s limit, which is never met', async () => {
  await using w = await openGitHubWorld();
  const { pull } = await withPull(w);
  const comment = String(w.github.plantComment(pull, 'ann', '/preview').id);
  const codes: string[] = [];
  for (let i = 0; i < 90; i += 1) {
    codes.push(
      await w.voice.react({ repository: w.repository, number: pull.number }, comment, 'taken').then(
        () => 'done',
        (error: unknown) => (error instanceof Fault ? error.code : 'bug'),
      ),
    );
  }
  expect(new Set(codes)).toEqual(new Set(['done', 'forge-limited']));
  expect(w.github.requests.filter(({ status }) => status === 403)).toEqual([]);
  expect(w.github.requests.filter(({ method }) => method === 'POST').length).toBeGreaterThan(70);
});

test('I7 no token and no key is ever logged', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, new Writable({ write: (chunk, _, done) => done(void lines.push(String(chunk))) }));
  await using w = await openGitHubWorld({ log });
  const { pull, place } = await withPull(w);
  await w.voice.ensureComment(place, said('one'));
  w.github.fail({ match: isPull, times: 2, answer: { status: 500 } });
  await faultOf(w.facts.pull(w.repository, pull.number));
  await w.source.address(w.repository);
  const text = lines.join('');
  expect(lines.length).toBeGreaterThan(3);
  for (const secret of [...w.github.state.tokens.keys(), w.github.privateKey.slice(40, 100), w.github.webhookSecret])
    expect(text).not.toContain(secret);
});

test('a list of pulls that did not change is not sent again, a changed one is', async () => {
  await using w = await openGitHubWorld();
  const { pull } = await withPull(w);
  const first = await w.facts.openPulls(w.repository);
  expect(await w.facts.openPulls(w.repository)).toEqual(first);
  const statuses = () => w.github.requests.filter(({ path }) => path.endsWith('/pulls')).map(({ status }) => status);
  expect(statuses()).toEqual([200, 304]);
  await w.github.label(pull, 'preview');
  expect((await w.facts.openPulls(w.repository))[0]?.labels).toEqual(['preview']);
  expect(statuses()).toEqual([200, 304, 200]);
});

test('T-A18 what is said to a repository that was renamed meanwhile arrives, once', async () => {
  await using w = await openGitHubWorld();
  const { pull, place } = await withPull(w);
  const comment = String(w.github.plantComment(pull, 'ann', '/preview').id);
  await w.github.rename(w.repo, 'store');
  // Written first, so that it is the write that meets the redirect.
  await w.voice.react({ repository: w.repository, number: pull.number }, comment, 'taken');
  await w.voice.ensureComment(place, said('one'));
  expect(w.github.ourComments(pull)).toHaveLength(1);
  expect(w.github.commentsOf(pull)[0]?.reactions.map(({ content }) => content)).toEqual(['eyes']);
});

test('a deployment is made while checks still run, transient, and silences no other', async () => {
  await using w = await openGitHubWorld();
  const { pull, place } = await withPull(w);
  const sha = parseSha(pull.sha);
  if (!sha) throw new Error('no commit');
  await w.voice.ensureCheck(place, { sha, status: 'inProgress', title: 'Building', summary: 'It builds.', text: '', url: null }, null);
  await w.voice.ensureDeployment(place, { sha, state: 'success', url: 'https://pr-1.preview.example', description: 'A preview' }, null);
  expect(w.github.deployments(w.repo)).toMatchObject([{ environment: 'preview', transient: true, production: false }]);
  const statuses = w.github.requests.filter(({ path }) => path.endsWith('/statuses')).map(({ body }) => JSON.parse(body));
  expect(statuses).toMatchObject([{ state: 'success', auto_inactive: false, environment_url: 'https://pr-1.preview.example' }]);
});
