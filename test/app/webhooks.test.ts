import { createHmac, randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { signature } from '../doubles/github/hooks.ts';
import { WEBHOOK_SECRET } from '../doubles/github.ts';
import { createRig, type Rig, talk } from './rig.ts';

type Wish = { readonly headers?: Record<string, string>; readonly event?: string; readonly id?: string };

async function post(rig: Pick<Rig, 'url'>, body: string | Buffer, wish: Wish = {}): Promise<Response> {
  const headers = {
    'content-type': 'application/json',
    'x-github-event': wish.event ?? 'pull_request',
    'x-github-delivery': wish.id ?? randomUUID(),
    'x-hub-signature-256': signature(WEBHOOK_SECRET, body),
    ...wish.headers,
  };
  return fetch(`${rig.url}/api/github/webhooks`, { method: 'POST', headers, body: new Uint8Array(Buffer.from(body)) });
}

const opened = (more: object = {}): object => ({
  action: 'opened',
  number: 1,
  pull_request: { number: 1, head: { sha: 'a'.repeat(40) } },
  repository: { id: 77, full_name: 'acme/shop' },
  installation: { id: 5 },
  ...more,
});

test('an accepted delivery is answered 202 once it is stored, and its job is added', async () => {
  await using rig = await createRig();
  const answer = await post(rig, JSON.stringify(opened()), { id: 'd-1' });
  expect([answer.status, await answer.text()]).toEqual([202, '']);
  expect((await rig.store.inbox.get('d-1'))?.event).toMatchObject({ type: 'pullChanged', number: 1 });
  expect(rig.enqueued).toEqual(['d-1']);
});

test('T-A01, T-A02, T-A03: whatever is not our signature gets 401 and the same body', async () => {
  await using rig = await createRig();
  const body = JSON.stringify(opened());
  const right = signature(WEBHOOK_SECRET, body);
  const of = (secret: string) => signature(secret, body);
  const sha1 = `sha1=${createHmac('sha1', WEBHOOK_SECRET).update(body).digest('hex')}`;
  const wrong = [
    '',
    'sha256=',
    sha1,
    right.slice(0, -1),
    `${right}0`,
    right.toUpperCase(),
    `sha256=${right.slice(7).toUpperCase()}`,
    right.slice(7),
    `${right}, ${right}`,
    `sha256=${'z'.repeat(64)}`,
    of(''),
    of('development'),
    of('the secret before'),
  ]; // prettier-ignore
  const bodies = new Set<string>();
  for (const header of wrong) {
    const answer = await post(rig, body, { headers: { 'x-hub-signature-256': header } });
    expect([header, answer.status]).toEqual([header, 401]);
    bodies.add(await answer.text());
  }
  expect([...bodies]).toEqual(['{"type":"about:blank","title":"The signature does not fit.","status":401,"code":"signature-invalid"}']);
  expect(await rig.store.inbox.pending(-1_000, 10)).toEqual([]);
});

test('T-A01, T-A02: no signature, and two of them, get 401', async () => {
  await using rig = await createRig();
  const body = JSON.stringify(opened());
  const head = `POST /api/github/webhooks HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: pull_request\r\nX-GitHub-Delivery: d\r\nContent-Length: ${body.length}\r\n`;
  const line = `X-Hub-Signature-256: ${signature(WEBHOOK_SECRET, body)}\r\n`;
  for (const signed of ['', `${line}${line}`])
    expect(await talk(rig.port, (it) => it.write(`${head}${signed}\r\n${body}`))).toMatch(/^HTTP\/1\.1 401 /);
  expect(await talk(rig.port, (it) => it.write(`${head}X-Hub-Signature: ${signature(WEBHOOK_SECRET, body)}\r\n\r\n${body}`))).toMatch(
    / 401 /,
  );
});

test('T-A04: the raw bytes are what is signed', async () => {
  await using rig = await createRig();
  const raw = `{"action":"x","a":"\\u00e9","b":"é 🦀","c":"\\ud800"}`;
  const signed = { 'x-hub-signature-256': signature(WEBHOOK_SECRET, raw) };
  expect((await post(rig, raw, { headers: signed })).status).toBe(202);
  const changed = [
    raw.replace('\\u00e9', 'é'),
    `${raw} `,
    JSON.stringify(JSON.parse(raw)),
    Buffer.concat([Buffer.from(raw), Buffer.from([0xff])]),
  ];
  for (const other of changed) expect((await post(rig, other, { headers: signed })).status).toBe(401);
});

test('T-A05: a body over 5 MiB gets 413 before it is read, with and without its length, and others are not kept waiting', async () => {
  await using rig = await createRig();
  const declared = await talk(rig.port, (it) =>
    it.write('POST /api/github/webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 27262976\r\n\r\n{'),
  );
  expect(declared).toMatch(/^HTTP\/1\.1 413 [\s\S]*"code":"body-too-large"/);
  const megabyte = `100000\r\n${'x'.repeat(1024 * 1024)}\r\n`;
  const goOn = Promise.withResolvers<void>();
  const chunked = talk(rig.port, async (it) => {
    it.write('POST /api/github/webhooks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
    it.write(megabyte);
    await goOn.promise;
    for (let sent = 1; sent < 26; sent++) it.write(megabyte);
  });
  expect((await post(rig, JSON.stringify(opened()))).status).toBe(202);
  goOn.resolve();
  expect(await chunked).toMatch(/^HTTP\/1\.1 413 /);
});

test('T-A05: an encoded body gets 415', async () => {
  await using rig = await createRig();
  expect((await post(rig, 'x', { headers: { 'content-encoding': 'gzip' } })).status).toBe(415);
});

test('T-A05: a body, or headers, that drip in get 408', async () => {
  await using rig = await createRig({ limits: { maxBytes: 5_000, withinMs: 200 }, patience: { headersMs: 300, requestMs: 2_000 } });
  const head = 'POST /api/github/webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n';
  const [body, headers] = await Promise.all([talk(rig.port, (it) => it.write(`${head}\r\n{`)), talk(rig.port, (it) => it.write(head))]);
  expect(body).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"body-too-slow"/);
  expect(headers).toMatch(/^HTTP\/1\.1 408 /);
});

test('T-A06: the same delivery a hundred times at once is stored once and answered 202 each time', async () => {
  await using rig = await createRig();
  const body = JSON.stringify(opened());
  const answers = await Promise.all(Array.from({ length: 100 }, () => post(rig, body, { id: 'same' })));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
  expect(await rig.store.inbox.pending(-1_000, 200)).toEqual(['same']);
  expect(new Set(rig.enqueued)).toEqual(new Set(['same']));
});

test('T-A07: the same id with another body changes nothing and is logged as a conflict', async () => {
  await using rig = await createRig();
  await post(rig, JSON.stringify(opened()), { id: 'one' });
  const other = await post(rig, JSON.stringify(opened({ action: 'closed' })), { id: 'one' });
  expect(other.status).toBe(202);
  expect(rig.enqueued).toEqual(['one']);
  expect((await rig.store.inbox.get('one'))?.event).toMatchObject({ action: 'opened' });
  expect(rig.lines.join('')).toContain('the same delivery id came with another body');
});

test('T-A09, T-A10: a delivery whose job was lost stays pending, and a redelivery brings it back; a handled one does nothing', async () => {
  await using rig = await createRig({ queueDown: true });
  const body = JSON.stringify(opened());
  expect((await post(rig, body, { id: 'lost' })).status).toBe(202);
  expect(await rig.store.inbox.pending(-1_000, 10)).toEqual(['lost']);
  await using again = await createRig();
  await post(again, body, { id: 'twice' });
  await post(again, body, { id: 'twice' });
  expect(again.enqueued).toEqual(['twice', 'twice']);
  await again.store.inbox.handled('twice');
  expect((await post(again, body, { id: 'twice' })).status).toBe(202);
  expect(again.enqueued).toHaveLength(2);
});

test('a stored delivery is answered and its job added, whatever fails after that; the log says so', async () => {
  await using rig = await createRig();
  rig.metrics.delivered = () => {
    throw new Error('no number for it');
  };
  expect((await post(rig, JSON.stringify(opened()), { id: 'd-1' })).status).toBe(202);
  expect(rig.enqueued).toEqual(['d-1']);
  expect(rig.lines.join('')).toContain('no number for it');
});

test('T-A11: what cannot be stored is answered 503', async () => {
  await using rig = await createRig({ inbox: () => ({ put: () => Promise.reject(new Error('connect ECONNREFUSED')) }) });
  const answer = await post(rig, JSON.stringify(opened()));
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '10']);
  expect(rig.enqueued).toEqual([]);
});

test('T-A13: hostile payloads are dropped or refused, never a failure', async () => {
  await using rig = await createRig();
  const hostile: readonly [string, number][] = [
    ['{"__proto__":{"action":"opened"},"action":"opened"}', 202],
    [JSON.stringify(opened({ installation: undefined })), 202],
    [JSON.stringify(opened({ pull_request: null })), 202],
    [JSON.stringify(opened({ pull_request: { number: '1', head: { sha: 'a'.repeat(40) } } })), 202],
    ['null', 202],
    ['[]', 202],
    ['"x"', 202],
    ['[['.repeat(100_000), 400],
    ['', 400],
    ['{', 400], // prettier-ignore
  ];
  for (const [body, status] of hostile) expect([body.slice(0, 60), (await post(rig, body)).status]).toEqual([body.slice(0, 60), status]);
  expect((await post(rig, JSON.stringify(opened()), { id: '../../x y' })).status).toBe(400);
  expect(await rig.store.inbox.pending(-1_000, 10)).toEqual([]);
});

test('T-A18: a repository that is not on the allow-list is answered and dropped', async () => {
  await using rig = await createRig({ repositories: 'acme/*,!acme/shop' });
  expect((await post(rig, JSON.stringify(opened()))).status).toBe(202);
  expect(await rig.store.inbox.pending(-1_000, 10)).toEqual([]);
  expect((await post(rig, JSON.stringify(opened({ repository: { id: 78, full_name: 'acme/other' } })), { id: 'ok' })).status).toBe(202);
  expect(rig.enqueued).toEqual(['ok']);
});

test('authenticated events that nobody wants get 202 and leave nothing', async () => {
  await using rig = await createRig();
  for (const event of ['check_run', 'star', 'ping', 'push'])
    expect((await post(rig, JSON.stringify(opened()), { event })).status).toBe(202);
  expect(await rig.store.inbox.pending(-1_000, 10)).toEqual([]);
  expect(await rig.metrics.text()).toContain('mayfly_deliveries_total{forge="github",outcome="unwanted"} 4');
});

test('other methods get 405, a forge that is not configured 404', async () => {
  await using rig = await createRig();
  const got = await fetch(`${rig.url}/api/github/webhooks`);
  expect([got.status, got.headers.get('allow')]).toEqual([405, 'POST']);
  expect((await fetch(`${rig.url}/api/gitlab/webhooks`, { method: 'POST', body: '{}' })).status).toBe(404);
});
