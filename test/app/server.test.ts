import { expect, test } from 'vitest';
import { createRig, type Rig } from './rig.ts';

test('healthz is alive; readyz names what is not reachable', async () => {
  await using rig = await createRig();
  expect((await fetch(`${rig.url}/healthz`)).status).toBe(200);
  const ready = await fetch(`${rig.url}/readyz`);
  expect([ready.status, await ready.json()]).toEqual([
    200,
    { status: 'ready', database: 'reachable', queue: 'reachable', forges: ['github'] },
  ]);
  rig.up.queue = false;
  const unready = await fetch(`${rig.url}/readyz`);
  expect([unready.status, await unready.json()]).toEqual([
    503,
    { status: 'not ready', database: 'reachable', queue: 'unreachable', forges: ['github'] },
  ]);
});

test('metrics are Prometheus text, with routes as patterns', async () => {
  await using rig = await createRig();
  await rig.api('/sites/01J');
  rig.metrics.launched('failed', 'build-failed');
  rig.metrics.staged('build', 1_500);
  rig.metrics.found('pull');
  const answer = await fetch(`${rig.url}/metrics`);
  expect(answer.headers.get('content-type')).toContain('text/plain');
  const text = await answer.text();
  for (const line of [
    'mayfly_http_request_seconds_count{route="/api/v1/sites/:id",method="GET",status="404"} 1',
    'mayfly_launches_total{outcome="failed",code="build-failed"} 1',
    'mayfly_launch_stage_seconds_sum{stage="build"} 1.5',
    'mayfly_reconcile_findings_total{kind="pull"} 1',
    'mayfly_sites{status="queued"} 0',
    'mayfly_queue_jobs{queue="intake"} 0',
  ])
    expect(text).toContain(line);
});

test('everything has security headers; an unknown address is a problem document', async () => {
  await using rig = await createRig();
  for (const path of ['/', '/none', '/healthz', '/api/v1/sites', '/api/github/webhooks']) {
    const answer = await fetch(`${rig.url}${path}`);
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    expect(answer.headers.get('content-security-policy')).toContain("default-src 'none'");
  }
  const answer = await fetch(`${rig.url}/none`);
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  expect(await answer.json()).toMatchObject({ status: 404, code: 'not-found' });
});

test('stopping answers what is in flight and takes nothing more', async () => {
  let stopping: Promise<void> | undefined;
  await using rig: Rig = await createRig({
    inbox: (store) => ({
      put(delivery) {
        stopping = rig.stopServer();
        return store.inbox.put(delivery);
      },
    }),
  });
  const repo = await rig.github.createRepository({ name: 'acme/shop' });
  await rig.github.openPull(repo);
  expect(rig.github.deliveries.at(-1)?.statusCode).toBe(202);
  expect(rig.enqueued).toHaveLength(1);
  await stopping;
  await expect(fetch(`${rig.url}/healthz`)).rejects.toThrow();
});
