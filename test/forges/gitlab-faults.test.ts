import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { createGitLabForge } from '../../src/app/forges/gitlab.ts';
import { GITLAB_WINDOWS } from '../../src/app/forges/gitlab-limit.ts';
import { createLimits } from '../../src/app/forges/limits.ts';
import { toSiteId } from '../../src/site/identity.ts';
import type { Place } from '../../src/site/ports.ts';
import { Fault } from '../../src/site/problem.ts';
import { asRepository, type GitLabWorld, openGitLabWorld } from '../contract/gitlab-world.ts';

const SITE = toSiteId('01J0000000000000000000000A');
const MARKER = `<!-- mayfly:site=${SITE} -->`;
const said = (text: string) => ({ marker: MARKER, body: `${MARKER}\n${text}`, known: null });
type Asked = { readonly method: string; readonly path: string };
const isNote = ({ method, path }: Asked): boolean => method === 'POST' && path.endsWith('/notes');
const isPull = ({ path }: Asked): boolean => /\/merge_requests\/\d+$/.test(path);

async function withPull(w: GitLabWorld) {
  const pull = await w.gitlab.openPull(w.repo);
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

test.for([
  { name: 'with Retry-After', headers: { 'retry-after': '60' }, least: 55 },
  { name: 'with the time of its end', headers: { 'ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 900) }, least: 600 },
  { name: 'that does not say how long', headers: {}, least: 55 },
])('a limit $name is kept: nothing is asked until then', async ({ headers, least }) => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  w.gitlab.fail({ match: isNote, answer: { status: 429, headers } });
  const fault = await faultOf(w.voice.ensureComment(place, said('one')));
  expect(fault.code).toBe('forge-limited');
  expect(secondsUntil(fault)).toBeGreaterThan(least);
  const asked = w.gitlab.requests.length;
  expect((await faultOf(w.facts.pull(w.repository, pull.number))).code).toBe('forge-limited');
  expect(w.gitlab.requests).toHaveLength(asked);
});

test('a read that met a bad gateway is repeated, a write is not', async () => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  w.gitlab.fail({ match: isPull, answer: { status: 502 } });
  expect((await w.facts.pull(w.repository, pull.number))?.head.sha).toBe(pull.sha);
  w.gitlab.fail({ match: isNote, answer: { status: 502 } });
  expect((await faultOf(w.voice.ensureComment(place, said('one')))).code).toBe('forge-unreachable');
  expect(w.gitlab.requests.filter(isNote)).toHaveLength(1);
});

test('an answer that never comes ends in time', async () => {
  await using w = await openGitLabWorld({ timeoutMs: 300 });
  const { pull } = await withPull(w);
  w.gitlab.fail({ match: isPull, times: 9, answer: 'hang' });
  expect((await faultOf(w.facts.pull(w.repository, pull.number))).code).toBe('forge-unreachable');
});

test('what GitLab does not let us do is refused, and says why', async () => {
  await using w = await openGitLabWorld();
  const { place } = await withPull(w);
  w.gitlab.fail({ match: isNote, answer: { status: 403, message: '403 Forbidden' } });
  expect(await faultOf(w.voice.ensureComment(place, said('one')))).toMatchObject({
    code: 'forge-refused',
    details: { cause: expect.stringContaining('403') },
  });
});

test.for([
  { name: 'a proxy that knows no way', answer: { status: 404, page: '404 page not found\n' } },
  { name: 'a proxy that asks who it is', answer: { status: 401, headers: { 'content-type': 'text/html' }, page: '<html>Sign in</html>' } },
  { name: 'JSON of another shape', answer: { status: 404, headers: { 'content-type': 'application/json' }, page: '{"detail": "none"}' } },
  { name: 'JSON that says it is a page', answer: { status: 404, headers: { 'content-type': 'text/html' }, page: '{"message": "404"}' } },
])('$name is no verdict on what was asked', async ({ answer }) => {
  await using w = await openGitLabWorld();
  const { pull, place } = await withPull(w);
  w.gitlab.fail({ times: 100, answer });
  const works = [
    w.facts.pull(w.repository, pull.number),
    w.facts.openPulls(w.repository),
    w.facts.repository(w.repository),
    w.facts.accesses(),
    w.voice.ensureComment(place, said('one')),
    w.source.address(w.repository),
  ];
  expect((await Promise.all(works.map(faultOf))).map(({ code }) => code)).toEqual(works.map(() => 'forge-unreachable'));
});

test('a token that was revoked, or whose time is up, opens nothing, and is no verdict on a project', async () => {
  for (const how of ['revokeToken', 'expireToken'] as const) {
    await using w = await openGitLabWorld();
    const { pull, place } = await withPull(w);
    w.gitlab[how]();
    expect(await w.facts.accesses()).toEqual([]);
    expect((await faultOf(w.facts.pull(w.repository, pull.number))).code).toBe('forge-unreachable');
    expect((await faultOf(w.facts.openPulls(w.repository))).code).toBe('forge-unreachable');
    expect((await faultOf(w.voice.ensureComment(place, said('one')))).code).toBe('forge-unreachable');
    expect((await faultOf(w.source.address(w.repository))).code).toBe('forge-unreachable');
  }
});

test('a token without the scope `api` is refused, not taken for revoked', async () => {
  await using w = await openGitLabWorld();
  const { place } = await withPull(w);
  const { token } = w.gitlab.mintToken({ scopes: ['read_api'] });
  const { voice } = createGitLabForge({ ...w.connection, token });
  expect((await faultOf(voice.ensureComment(place, said('one')))).code).toBe('forge-refused');
});

test('a repository of another connection is out of reach of this one', async () => {
  await using w = await openGitLabWorld();
  const { pull } = await withPull(w);
  const other = { ...w.repository, access: 'another token' };
  expect((await faultOf(w.facts.pull(other, pull.number))).code).toBe('access-gone');
  expect(await w.facts.repository(other)).toBeUndefined();
  expect((await faultOf(w.facts.repositories('another token'))).code).toBe('access-gone');
});

test('the token is never taken along by a redirect', async () => {
  const tokens: unknown[] = [];
  const elsewhere = createServer((request, response) => {
    tokens.push(request.headers['private-token']);
    response.end('{}');
  }).listen(0, '127.0.0.1');
  const front = createServer((request, response) => {
    const at = elsewhere.address();
    response.writeHead(302, { location: `http://localhost:${typeof at === 'object' && at ? at.port : 0}${request.url}` }).end();
  }).listen(0, '127.0.0.1');
  await Promise.all([once(elsewhere, 'listening'), once(front, 'listening')]);
  try {
    await using w = await openGitLabWorld();
    const at = front.address();
    const url = `http://127.0.0.1:${typeof at === 'object' && at ? at.port : 0}`;
    const fault = await faultOf(createGitLabForge({ ...w.connection, url }).facts.pull(w.repository, 1));
    expect(fault).toMatchObject({ code: 'forge-unreachable', details: { cause: expect.stringContaining('redirect') } });
    expect(tokens).toEqual([]);
  } finally {
    front.close();
    elsewhere.close();
  }
});

test.for([
  ['a page of a proxy', 'text/html', '<html>Sign in</html>'],
  ['half an answer', 'application/json', '{"id": 1,'],
  ['an answer of another shape', 'application/json', '{"hello": "world"}'],
] as const)('%s is no answer', async ([, type, body]) => {
  const server = createServer((_, response) => response.writeHead(200, { 'content-type': type }).end(body)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await using w = await openGitLabWorld();
    const at = server.address();
    const url = `http://127.0.0.1:${typeof at === 'object' && at ? at.port : 0}`;
    const { facts } = createGitLabForge({ ...w.connection, url });
    expect((await faultOf(facts.pull(w.repository, 1))).code).toBe('forge-unreachable');
    expect((await faultOf(facts.accesses())).code).toBe('forge-unreachable');
  } finally {
    server.close();
  }
});

test('neither token nor secret is in an error', async () => {
  await using w = await openGitLabWorld();
  const { pull } = await withPull(w);
  const words: string[] = [];
  for (const answer of ['hang', { status: 500 }, { status: 403 }, { status: 404 }] as const) {
    const { facts } = createGitLabForge({ ...w.connection, timeoutMs: 200 });
    w.gitlab.fail({ match: isPull, times: 2, answer });
    const error = await facts.pull(w.repository, pull.number).catch((reason: unknown) => reason);
    for (let one: unknown = error; one instanceof Error; one = one.cause) words.push(String(one), one.stack ?? '', JSON.stringify(one));
  }
  expect(words.join('\n')).not.toContain(w.gitlab.token);
});

test('what waits for its deletion is in nobody’s way any more', async () => {
  await using w = await openGitLabWorld();
  await withPull(w);
  const asked = createServer((request, response) => {
    const project = { id: w.repo.id, path_with_namespace: 'acme/web/shop-deletion_scheduled-1', marked_for_deletion_on: '2026-01-09' };
    const body = request.url?.includes('membership=true') ? [project] : project;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  }).listen(0, '127.0.0.1');
  await once(asked, 'listening');
  try {
    const at = asked.address();
    const url = `http://127.0.0.1:${typeof at === 'object' && at ? at.port : 0}`;
    const { facts } = createGitLabForge({ ...w.connection, url });
    expect(await facts.repository(w.repository)).toBeUndefined();
    expect(await facts.repositories(w.repository.access)).toEqual([]);
    expect((await faultOf(facts.openPulls(w.repository))).code).toBe('access-gone');
  } finally {
    asked.close();
  }
});

test('projects are open to us from Developer on, all pages of them', async () => {
  await using w = await openGitLabWorld();
  await w.gitlab.createRepository({ name: 'acme/seen', level: 20 });
  await w.gitlab.createRepository({ name: 'acme/unseen', installed: false });
  const more = await Promise.all(Array.from({ length: 104 }, (_, n) => w.gitlab.createRepository({ name: `acme/p${n}`, level: 30 })));
  const open = (await w.facts.repositories(w.repository.access)).map(({ id }) => id).sort();
  expect(open).toEqual([w.repository, ...more.map(asRepository)].map(({ id }) => id).sort());
});

test('GitLab’s own limits are kept: comments by the minute, and less of what is said in passing', async () => {
  let time = Date.parse('2026-01-02T03:04:05Z');
  const limits = createLimits(GITLAB_WINDOWS, () => time);
  const takeAll = async (kind: keyof typeof GITLAB_WINDOWS): Promise<number> => {
    for (let taken = 0; ; taken += 1) {
      const isLimited = await limits.take('token', kind).then(
        () => false,
        () => true,
      );
      if (isLimited) return taken;
    }
  };
  expect(await takeAll('note')).toBe(55);
  expect(await takeAll('passing')).toBe(300);
  expect(await takeAll('write')).toBe(300);
  expect(await takeAll('resend')).toBe(5);
  expect(await takeAll('read')).toBe(1_500 - 55 - 600 - 5);
  time += 63_000;
  expect(await takeAll('read')).toBe(1_500);
  expect(await takeAll('write')).toBe(400);
});

test('one answer that the token is unknown is asked for again before it is believed', async () => {
  await using w = await openGitLabWorld();
  const { pull } = await withPull(w);
  w.gitlab.fail({ match: isPull, answer: { status: 401, message: '401 Unauthorized' } });
  expect((await w.facts.pull(w.repository, pull.number))?.head.sha).toBe(pull.sha);
});
