import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { ask, openReceiver, openShop } from './gitlab/asking.ts';
import { signature } from './gitlab/hooks.ts';
import { createGitLab, type GitLab, SIGNING_TOKEN } from './gitlab.ts';

test('webhooks bear the token and a signature over their bytes; one that is resent keeps its id', async () => {
  await using receiver = await openReceiver(200);
  await using gitlab = await createGitLab({ webhookUrl: receiver.url, path: '/gitlab' });
  await gitlab.openPull(await gitlab.createRepository({ name: 'acme/shop' }));
  const delivery = gitlab.deliveries.find(({ event }) => event === 'Merge Request Hook');
  if (!delivery) throw new Error('no delivery');
  await gitlab.redeliver(delivery);
  const hooks = receiver.received.filter(({ headers }) => headers['x-gitlab-event'] === 'Merge Request Hook');
  expect(hooks).toHaveLength(2);
  for (const { headers, body } of hooks) {
    const signed = { id: String(headers['webhook-id']), timestamp: String(headers['webhook-timestamp']), body };
    expect(headers['webhook-signature']).toBe(signature(SIGNING_TOKEN, signed));
    expect(headers['x-gitlab-token']).toBe(gitlab.webhookSecret);
    expect(headers['idempotency-key']).toBe(delivery.guid);
    expect(headers['webhook-id']).toBe(delivery.guid);
    expect(headers['x-gitlab-instance']).toBe(new URL(gitlab.url).origin);
    expect(headers['x-gitlab-webhook-uuid']).toBe(delivery.hook.uuid);
  }
  expect(delivery.statusCode).toBe(200);
});

test('four failures in a row disable a hook for a while, and the record of events says why', async () => {
  await using receiver = await openReceiver(500);
  await using w = await openShop({ webhookUrl: receiver.url });
  await w.gitlab.label(w.pull, 'one');
  const hooks = async () => (await ask(w.gitlab, 'GET', `${w.project}/hooks`)).json[0];
  expect((await hooks()).alert_status).toBe('executable');
  await w.gitlab.comment(w.pull, 'ann', 'fourth'); // after push, open and label
  expect(await hooks()).toMatchObject({ alert_status: 'temporarily_disabled', signing_token_present: true, token_present: true });
  await w.gitlab.comment(w.pull, 'ann', 'unheard');
  expect(receiver.received).toHaveLength(4);
  const events = `${w.project}/hooks/${(await hooks()).id}/events`;
  expect((await ask(w.gitlab, 'GET', `${events}?per_page=100`)).status).toBe(400);
  const { json } = await ask(w.gitlab, 'GET', `${events}?status=server_failure`);
  expect(json[0]).toMatchObject({ trigger: 'note_hooks', response_status: '500', request_headers: { 'X-Gitlab-Token': '[REDACTED]' } });
  expect((await ask(w.gitlab, 'POST', `${events}/${json[0].id}/resend`)).status).toBe(422);
  receiver.status = 200;
  w.gitlab.wakeHooks();
  expect((await ask(w.gitlab, 'POST', `${events}/${json[0].id}/resend`)).json).toEqual({ response_status: 200 });
  expect((await hooks()).alert_status).toBe('executable');
});

test('an internal note comes under another name, and only to hooks that ask for it', async () => {
  await using receiver = await openReceiver(200);
  await using w = await openShop({ webhookUrl: receiver.url });
  await w.gitlab.commentInternally(w.pull, 'ann', 'quiet');
  expect(receiver.received.map(({ headers }) => headers['x-gitlab-event'])).toEqual(['Push Hook', 'Merge Request Hook']);
  const [hook] = w.gitlab.hooksOf(w.repo);
  hook?.events.set('confidential_note_events', true);
  await w.gitlab.commentInternally(w.pull, 'ann', 'quiet');
  const { headers, body } = receiver.received.at(-1) ?? { headers: {}, body: '{}' };
  expect(headers['x-gitlab-event']).toBe('Confidential Note Hook');
  expect(JSON.parse(body)).toMatchObject({ object_kind: 'note', event_type: 'confidential_note', object_attributes: { internal: true } });
});

test('an older GitLab passes over a signing token', async () => {
  await using w = await openShop({ signing: 'cannot sign' });
  const body = { url: 'http://127.0.0.1:9/', signing_token: SIGNING_TOKEN };
  const { status, json } = await ask(w.gitlab, 'POST', `${w.project}/hooks`, { body });
  expect([status, 'signing_token_present' in json]).toEqual([201, false]);
});

/** The bodies that the double sent, the oldest first. */
const bodies = (gitlab: GitLab) => gitlab.deliveries.map(({ body }) => JSON.parse(body));

test('what happens to a merge request is told as GitLab tells it', async () => {
  await using w = await openShop();
  const { gitlab, pull } = w;
  const first = pull.sha;
  await gitlab.push(pull, { 'a.txt': 'more' });
  await gitlab.draft(pull);
  await gitlab.retarget(pull, 'next');
  await gitlab.close(pull);
  const told = bodies(gitlab).filter(({ object_kind }) => object_kind === 'merge_request');
  expect(told.map(({ object_attributes }) => object_attributes.action)).toEqual(['open', 'update', 'update', 'update', 'close']);
  expect(told.map(({ object_attributes }) => object_attributes.oldrev)).toEqual([undefined, first, undefined, undefined, undefined]);
  expect(told[2].changes).toMatchObject({ draft: { previous: false, current: true }, title: { current: 'Draft: Change 1' } });
  expect(told[3].changes).toMatchObject({ target_branch: { previous: 'main', current: 'next' } });
  const stored = JSON.parse(await readFile(new URL('../payloads/gitlab/merge_request.open.json', import.meta.url), 'utf8'));
  expect(Object.keys(told[0].object_attributes)).toEqual(Object.keys(stored.object_attributes));
});

test('what is pushed to a closed merge request becomes its head once it is reopened', async () => {
  await using w = await openShop();
  const head = w.pull.sha;
  await w.gitlab.close(w.pull);
  const pushed = await w.gitlab.push(w.pull, { 'a.txt': 'later' });
  expect(w.pull.sha).toBe(head);
  await w.gitlab.reopen(w.pull);
  expect(w.pull.sha).toBe(pushed);
});

test('a push of many commits shows the newest twenty, with their files', async () => {
  await using w = await openShop();
  await w.gitlab.pushCommits(w.repo, 'main', [
    { '.mayfly.yml': 'root: .' },
    ...Array.from({ length: 21 }, (_, i) => ({ 'README.md': `${i}` })),
  ]);
  const push = bodies(w.gitlab).at(-1);
  expect([push.total_commits_count, push.commits.length, push.commits[0].modified]).toEqual([22, 20, ['README.md']]);
  await w.gitlab.deleteBranch(w.repo, w.pull.branch);
  const [gone, closed] = bodies(w.gitlab).slice(-2);
  expect([gone.after, gone.checkout_sha, gone.commits]).toEqual(['0'.repeat(40), null, []]);
  expect(closed.object_attributes).toMatchObject({ action: 'close', state: 'closed' });
});

test('a hook made through the API is heard, tested and forgotten', async () => {
  await using receiver = await openReceiver(200);
  await using gitlab = await createGitLab();
  const repo = await gitlab.createRepository({ name: 'acme/shop', hook: 'none' });
  const hooks = `/projects/${repo.id}/hooks`;
  const wish = { url: receiver.url, token: 'secret', signing_token: SIGNING_TOKEN, note_events: true, push_events: false };
  const { json: hook } = await ask(gitlab, 'POST', hooks, { body: wish });
  expect(hook).toMatchObject({ note_events: true, push_events: false, token_present: true, signing_token_present: true });
  expect(JSON.stringify(hook)).not.toMatch(/whsec_|"secret"/);
  const pull = await gitlab.openPull(repo);
  await gitlab.comment(pull, 'ann', 'hello');
  expect((await ask(gitlab, 'POST', `${hooks}/${hook.id}/test/push_events`)).json).toEqual({ message: '201 Created' });
  expect(receiver.received.map(({ headers }) => headers['x-gitlab-event'])).toEqual(['Note Hook', 'Push Hook']);
  const moved = { url: 'http://127.0.0.1:9/' };
  expect((await ask(gitlab, 'PUT', `${hooks}/${hook.id}`, { body: moved })).json).toMatchObject({ token_present: false });
  expect((await ask(gitlab, 'DELETE', `${hooks}/${hook.id}`)).status).toBe(204);
  expect((await ask(gitlab, 'GET', hooks)).json).toEqual([]);
});

test('our own note comes back as a webhook', async () => {
  await using receiver = await openReceiver(200);
  await using w = await openShop({ webhookUrl: receiver.url });
  await ask(w.gitlab, 'POST', w.notes, { body: { body: 'ours' } });
  await expect.poll(() => receiver.received.at(-1)?.headers['x-gitlab-event']).toBe('Note Hook');
  expect(JSON.parse(receiver.received.at(-1)?.body ?? '')).toMatchObject({
    user: { id: w.gitlab.us.id },
    object_attributes: { note: 'ours' },
  });
});
