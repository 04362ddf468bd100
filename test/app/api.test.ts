import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createApi } from '../../src/app/api.ts';
import { toLaunchId } from '../../src/site/identity.ts';
import { day } from '../store/open.ts';
import { createRig, type Rig, TOKEN } from './rig.ts';

async function withSites(rig: Rig, count: number) {
  const repo = await rig.github.createRepository({ name: 'acme/shop' });
  const pulls = [];
  for (let number = 1; number <= count; number++) pulls.push(await rig.github.openPull(repo));
  await rig.settle();
  return pulls;
}

type Shown = { readonly pull: number; readonly status: string; readonly endsAt: string; readonly reason: string | null };
type Page = { readonly sites: readonly Shown[]; readonly next: string | null };
// Parse boundary: what is read is compared, and a wrong shape fails the comparison.
const read = async <T = Shown>(answer: Response | Promise<Response>): Promise<T> => (await (await answer).json()) as T;

const problemOf = async (answer: Response) => {
  const { code } = await read<{ code: string }>(answer);
  return [answer.status, code, answer.headers.get('content-type')];
};
const PROBLEM = 'application/problem+json; charset=utf-8';

test('without the right bearer token every address answers 401', async () => {
  await using rig = await createRig();
  const wrong = [
    undefined,
    'Bearer',
    `Basic ${TOKEN}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(0, -1)}`,
    'Bearer null',
    `Bearer ${TOKEN} x`,
  ];
  for (const authorization of wrong) {
    for (const [method, path] of [
      ['GET', '/sites'],
      ['GET', '/sites/x'],
      ['POST', '/sites/x/extend'],
      ['DELETE', '/sites/x'],
      ['GET', '/none'],
    ]) {
      const answer = await fetch(`${rig.url}/api/v1${path}`, {
        method: method ?? '',
        headers: authorization === undefined ? {} : { authorization },
      });
      expect(await problemOf(answer)).toEqual([401, 'unauthorized', PROBLEM]);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="mayfly"');
    }
  }
});

test('a site is shown with exactly its fields', async () => {
  await using rig = await createRig();
  const [pull = raise()] = await withSites(rig, 1);
  const site = await rig.getSite(pull);
  const launch = { launch: toLaunchId('launch1'), sha: site.head.sha };
  await rig.store.launches.start({ id: launch.launch, site: site.id, sha: launch.sha, queuedMs: 7 });
  await rig.store.apply(site.id, { type: 'launchStarted', ...launch });
  await rig.store.launches.note(launch.launch, { stages: { fetch: 12 } });
  const reason = { during: 'build', code: 'build-failed', details: { command: 'npm run build', exit: '1' } } as const;
  await rig.store.launches.finish(launch.launch, { outcome: 'failed', reason, tail: 'boom' });
  await rig.store.apply(site.id, { type: 'launchFailed', ...launch, ...reason });
  const sentence = expect.stringContaining('`npm run build` exited with 1');
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const shown = await read(rig.api(`/sites/${site.id}`));
  expect(shown).toEqual({
    id: site.id,
    forge: 'github',
    repository: 'acme/shop',
    pull: 1,
    branch: pull.branch,
    sha: pull.sha,
    status: 'failed',
    live: null,
    url: `http://${site.host}.preview.localhost:8080`,
    region: 'europe-west1',
    endsAt: time,
    createdAt: time,
    reason: sentence,
    launches: [
      {
        id: 'launch1',
        sha: pull.sha,
        outcome: 'failed',
        reason: sentence,
        startedAt: time,
        finishedAt: time,
        stages: { queued: 7, fetch: 12, build: null, deploy: null, check: null },
      },
    ],
  });
  expect(await read<Page>(rig.api('/sites'))).toEqual({ sites: [shown], next: null });
});

test('on Google Cloud a site is shown with what it costs, by its region and what it was used', async () => {
  await using rig = await createRig();
  const [pull = raise()] = await withSites(rig, 1);
  const { id } = await rig.getSite(pull);
  const api = createApi({
    store: rig.store,
    token: TOKEN,
    word: '/preview',
    previewUrl: new URL('https://preview.acme.dev'),
    target: 'gcp',
  });
  const cost = async () =>
    (await read<{ cost: object }>(api.request(`/sites/${id}`, { headers: { authorization: `Bearer ${TOKEN}` } }))).cost;
  const rate = { currency: 'USD', asleepPerHour: 0, awakePerHour: 0.0909, pricesAsOf: '2025-09-04' };
  expect(await cost()).toEqual({ ...rate, soFar: 0 });
  await rig.store.usage.add(new Map([[id, { busyMs: 7_200_000, requests: 1_000 }]]));
  expect(await cost()).toEqual({ ...rate, soFar: 0.1822 });
});

const raise = (): never => {
  throw new Error('there is none');
};

test('the list is filtered, and walked by its cursor, newest first', async () => {
  await using rig = await createRig();
  const [, second = raise()] = await withSites(rig, 5);
  await rig.github.close(second);
  await rig.settle();
  const pullsOf = async (query: string): Promise<number[]> => (await read<Page>(rig.api(`/sites?${query}`))).sites.map(({ pull }) => pull);
  expect(await pullsOf('status=ending')).toEqual([2]);
  expect(await pullsOf('pull=3')).toEqual([3]);
  expect(await pullsOf('repository=acme/shop&status=queued')).toEqual([5, 4, 3, 1]);
  expect(await pullsOf('repository=acme/none')).toEqual([]);
  const seen: number[] = [];
  let next: string | null = '';
  while (next !== null) {
    const page: Page = await read<Page>(rig.api(`/sites?limit=2${next ? `&cursor=${next}` : ''}`));
    seen.push(...page.sites.map(({ pull }) => pull));
    next = page.next;
  }
  expect(seen).toEqual([5, 4, 3, 2, 1]);
});

test('a query that cannot be meant gets 400', async () => {
  await using rig = await createRig();
  for (const query of ['status=gone', 'status=', 'pull=0', 'pull=x', 'pull=99999999999', 'limit=101', 'order=up', 'repository='])
    expect([query, ...(await problemOf(await rig.api(`/sites?${query}`)))]).toEqual([query, 400, 'query-invalid', PROBLEM]);
});

test('extend adds to the end, never past the limit, and says so', async () => {
  await using rig = await createRig();
  const [pull = raise()] = await withSites(rig, 1);
  const site = await rig.getSite(pull);
  const extend = (body: string, id: string = site.id) => rig.api(`/sites/${id}/extend`, { method: 'POST', body });
  const shown = await read(extend('{"for":"2d"}'));
  expect(Date.parse(shown.endsAt)).toBe(site.endsAt.getTime() + 2 * day);
  await extend('{"for":"9w"}');
  expect((await rig.getSite(pull)).endsAt.getTime()).toBe(site.clockStart.getTime() + 14 * day);
  expect(await problemOf(await extend('{"for":"1d"}'))).toEqual([409, 'limit-reached', PROBLEM]);
  for (const body of ['{"for":"2 days"}', '{"for":2}', '{}', '{"for":"2d","by":"me"}', '[]', '{"for":"-2d"}'])
    expect(await problemOf(await extend(body))).toEqual([400, 'duration-invalid', PROBLEM]);
  expect(await problemOf(await extend('{'))).toEqual([400, 'not-json', PROBLEM]);
  expect(await problemOf(await extend('x'.repeat(20_000)))).toEqual([413, 'body-too-large', PROBLEM]);
  expect(await problemOf(await extend('{"for":"2d"}', 'none'))).toEqual([404, 'site-unknown', PROBLEM]);
});

test('delete ends a site, as stop does, and may be repeated', async () => {
  await using rig = await createRig();
  const [pull = raise()] = await withSites(rig, 1);
  const { id } = await rig.getSite(pull);
  const end = () => rig.api(`/sites/${id}`, { method: 'DELETE' });
  const first = await end();
  expect([first.status, (await read(first)).reason]).toEqual([202, 'stopped by the operator']);
  expect((await end()).status).toBe(202);
  expect(await problemOf(await rig.api(`/sites/${id}/extend`, { method: 'POST', body: '{"for":"2d"}' }))).toEqual([
    409,
    'site-over',
    PROBLEM,
  ]);
  await rig.store.apply(id, { type: 'removalFinished' });
  const after = await end();
  expect([after.status, (await read(after)).status]).toEqual([200, 'ended']);
  expect(await problemOf(await rig.api('/sites/none', { method: 'DELETE' }))).toEqual([404, 'site-unknown', PROBLEM]);
});

test('what the operator ended is not brought back by a command that was typed before and comes after', async () => {
  await using rig = await createRig();
  const [pull = raise()] = await withSites(rig, 1);
  rig.github.setPermission(pull.repository, 'ada', 'write');
  const { id } = await rig.getSite(pull);
  rig.github.sendWebhooksTo(null);
  const typed = await rig.github.comment(pull, 'ada', '/preview deploy');
  const [late = raise()] = rig.github.deliveries.slice(-1);
  rig.github.sendWebhooksTo(`${rig.url}/api/github/webhooks`);
  // Times of comments are whole seconds, and so is what is told of them.
  await delay(1_000 - (Date.now() % 1_000) + 5);
  await rig.api(`/sites/${id}`, { method: 'DELETE' });
  await rig.github.redeliver(late);
  await rig.settle();
  expect(typed.reacted).toEqual(['eyes', '-1']);
  expect((await rig.getSite(pull)).status).toBe('ending');
  await rig.github.comment(pull, 'ada', '/preview deploy');
  await rig.settle();
  expect(await rig.getSite(pull)).toMatchObject({ status: 'ending', revive: true });
});

test('other addresses and methods are problems too', async () => {
  await using rig = await createRig();
  expect(await problemOf(await rig.api('/none'))).toEqual([404, 'not-found', PROBLEM]);
  expect(await problemOf(await rig.api('/sites', { method: 'POST' }))).toEqual([405, 'method-not-allowed', PROBLEM]);
  expect(await problemOf(await rig.api('/sites/x/extend'))).toEqual([405, 'method-not-allowed', PROBLEM]);
});
