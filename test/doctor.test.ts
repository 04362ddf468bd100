import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, test } from 'vitest';
import { loadConfig } from '../src/config.ts';
import { renderFindings, toJson } from '../src/doctor/finding.ts';
import { examineForges } from '../src/doctor/forges.ts';
import { examineReach } from '../src/doctor/reach.ts';
import { clockFinding } from '../src/doctor/stores.ts';
import { runCommand } from './command.ts';
import { createGitHub } from './doubles/github.ts';
import { createGitLab } from './doubles/gitlab.ts';
import { createSetupWorld } from './setup-world.ts';
import { silent } from './store/open.ts';

const still = (text: string): string =>
  text
    .replace(/127\.0\.0\.1:\d+/g, 'HOST')
    .replace(/\/tmp\/\S+/g, 'DIR')
    .replace(/\d+ MiB free/g, '9999 MiB free')
    .replace(/ {2,}/g, '  ');

test('beside a Mayfly that runs: a table for people, JSON for programs, and no secret in either', async () => {
  await using w = await createSetupWorld();
  const environment = {
    ...w.environment,
    APP_ID: String(w.github.appId),
    PRIVATE_KEY: w.github.privateKey,
    WEBHOOK_SECRET: w.github.webhookSecret,
  };
  w.github.sendWebhooksTo(`${w.base}/api/github/webhooks`);
  await w.github.createRepository({ name: 'acme/shop' });
  const table = await runCommand('src/doctor.ts', environment);
  expect(still(table.out)).toMatchInlineSnapshot(`
    "WHAT  STATE  FOUND  WHAT TO DO
    settings  ok  nothing is wrong with them
    database  ok  it answers, and has this version's tables
    Mayfly  ok  runs on DIR
    queue  ok  on PostgreSQL
    clock  ok  agrees with the database
    Pulumi CLI  ok  3.259.0
    sandbox  ok  bubblewrap works
    limits  ok  cgroup v1
    disk  ok  9999 MiB free for DIR
    public address  warn  http://HOST is this machine alone  Set MAYFLY_PUBLIC_URL to an address that the forge can reach.
    preview addresses  warn  *.preview.localhost:0 is this machine alone  Set MAYFLY_PREVIEW_URL to a name with a wildcard in DNS.
    GitHub  ok  knows the App 410207
    clock  ok  agrees with HOST
    GitHub permissions  ok  just those of app.yml
    GitHub installations  ok  1, all with what is needed
    GitHub webhook  ok  leads to http://HOST/api/github/webhooks
    GitHub webhooks  warn  none was sent lately  Open a pull request to see one.

    17 looked at, 3 to see to
    "
  `);
  expect([table.code, table.errors]).toEqual([0, '']);
  const json = await runCommand(
    'src/doctor.ts',
    { ...environment, DATABASE_URL: 'postgres://mayfly:hidden-word@127.0.0.1:9/mayfly' },
    { args: ['--json'] },
  );
  const told = JSON.parse(json.out);
  expect([json.code, told.ok]).toEqual([1, false]);
  expect(told.findings.find(({ what }: { what: string }) => what === 'database')).toMatchObject({
    state: 'fail',
    todo: 'Start Mayfly, or see to DATABASE_URL.',
  });
  for (const text of [table.out, json.out]) {
    for (const secret of ['hidden-word', w.github.webhookSecret, w.environment.MAYFLY_SECRET_KEY ?? '-'])
      expect(text).not.toContain(secret);
  }
});

test('settings that are wrong are findings, and words that are not known are refused', async () => {
  const { code, out } = await runCommand('src/doctor.ts', { MAYFLY_TTL: 'soon', PORT: 'x' });
  expect([code, out]).toMatchInlineSnapshot(`
    [
      1,
      "WHAT      STATE  FOUND                                                                 WHAT TO DO
    settings  fail   PORT "x" is not a whole number from 0 to 65535                        For example: PORT=3000
    settings  fail   MAYFLY_TTL "soon" is not a duration: digits and one of s, m, h, d, w  For example: MAYFLY_TTL=3d

    2 looked at, 2 to see to
    ",
    ]
  `);
  expect((await runCommand('src/doctor.ts', {}, { args: ['--jsn'] })).code).toBe(64);
  expect((await runCommand('src/doctor.ts', {}, { args: ['--help'] })).out).toMatchInlineSnapshot(`
    "usage: npm run doctor [-- --json]

    Looks at everything that Mayfly rests on, changes nothing, and says what to do about what is wrong. Ends with 1 if anything fails.
      --json   prints the same for programs
    "
  `);
});

const rows = (findings: Awaited<ReturnType<typeof examineForges>>): readonly string[] =>
  findings.map(({ what, state, found, todo }) => still(`${state} ${what}: ${found}${todo === '' ? '' : ` → ${todo}`}`));

test('what GitHub says of an App that is not as it should be', async () => {
  await using github = await createGitHub();
  const config = loadConfig({
    APP_ID: String(github.appId),
    PRIVATE_KEY: github.privateKey,
    WEBHOOK_SECRET: github.webhookSecret,
    GITHUB_API_URL: github.url,
    GITHUB_SERVER_URL: github.serverUrl,
    MAYFLY_PUBLIC_URL: 'https://mayfly.acme.dev',
  });
  const look = async () => rows(await examineForges(config, { config, log: silent }));
  expect(await look()).toMatchInlineSnapshot(`
    [
      "ok GitHub: knows the App 410207",
      "ok clock: agrees with HOST",
      "ok GitHub permissions: just those of app.yml",
      "warn GitHub installations: the App is installed nowhere → Install it from the App's page on GitHub.",
      "fail GitHub webhook: leads nowhere → Set the App's webhook URL to https://mayfly.acme.dev/api/github/webhooks, or MAYFLY_PUBLIC_URL to where it leads.",
      "warn GitHub webhooks: none was sent lately → Open a pull request to see one.",
    ]
  `);
  const { permissions, events } = github.state;
  Object.assign(permissions, { checks: 'read', administration: 'write' });
  Object.assign(events, { 0: 'star' });
  github.sendWebhooksTo('http://127.0.0.1:9/api/github/webhooks');
  const repo = await github.createRepository({ name: 'acme/shop' });
  await github.openPull(repo);
  expect(await look()).toMatchInlineSnapshot(`
    [
      "ok GitHub: knows the App 410207",
      "ok clock: agrees with HOST",
      "fail GitHub permissions: lacks checks: write, event pull_request → Add them on the App's settings page, under Permissions & events.",
      "fail GitHub installations: acme granted less than is needed → Let an owner accept the new permissions: GitHub has sent them a mail.",
      "fail GitHub webhook: leads to http://HOST/api/github/webhooks → Set the App's webhook URL to https://mayfly.acme.dev/api/github/webhooks, or MAYFLY_PUBLIC_URL to where it leads.",
      "fail GitHub webhooks: 2 of the last 2 did not arrive, the newest among them (no answer) → See the public address above; what was missed is asked for again by itself.",
    ]
  `);
  Object.assign(permissions, { checks: 'write' });
  Object.assign(events, { 0: 'pull_request' });
  expect((await look()).filter((row) => row.includes('permissions'))).toMatchInlineSnapshot(`
    [
      "warn GitHub permissions: more than are needed: administration: write → Take them away on the App's settings page.",
    ]
  `);
  github.state.app.deleted = true;
  expect(await look()).toMatchInlineSnapshot(`
    [
      "fail GitHub: Integration not found - https://docs.github.com/rest → See to APP_ID and PRIVATE_KEY, or connect it anew at /setup.",
    ]
  `);
  expect(github.unknownRequests).toEqual([]);
});

test('what GitLab says of webhooks that fail', async () => {
  await using gitlab = await createGitLab();
  const config = loadConfig({
    GITLAB_URL: gitlab.url,
    GITLAB_TOKEN: gitlab.token,
    GITLAB_WEBHOOK_SECRET: gitlab.webhookSecret ?? '',
    MAYFLY_PUBLIC_URL: 'http://127.0.0.1:9',
  });
  const look = async () => rows(await examineForges(config, { config, log: silent }));
  expect(await look()).toMatchInlineSnapshot(`
    [
      "ok GitLab: knows the token, a Maintainer of 0 projects",
      "warn GitLab webhooks: none leads to http://HOST/api/gitlab/webhooks → Choose projects at /setup, or with npm run connect.",
    ]
  `);
  gitlab.sendWebhooksTo('http://127.0.0.1:9/api/gitlab/webhooks');
  const repo = await gitlab.createRepository({ name: 'acme/shop' });
  expect(await look()).toMatchInlineSnapshot(`
    [
      "ok GitLab: knows the token, a Maintainer of 1 project",
      "warn webhook of acme/shop: enabled, none was sent lately → Open a merge request to see one.",
    ]
  `);
  const pull = await gitlab.openPull(repo);
  expect((await look()).at(-1)).toMatchInlineSnapshot(
    `"warn webhook of acme/shop: 2 of the last 2 failed (internal error) → See the public address above; what was missed is asked for again by itself."`,
  );
  for (let n = 0; n < 4; n += 1) await gitlab.push(pull, { [`${n}`]: 'x' });
  expect((await look()).at(-1)).toMatchInlineSnapshot(
    `"fail webhook of acme/shop: GitLab pauses it after failures → See the public address above; it is tried again by itself."`,
  );
  for (const hook of gitlab.hooksOf(repo)) hook.failures = 40;
  expect((await look()).at(-1)).toMatchInlineSnapshot(
    `"fail webhook of acme/shop: GitLab has disabled it after many failures → See the public address above; then press Test on its page, which enables it."`,
  );
  gitlab.plantHook(repo);
  expect((await look()).at(-1)).toMatchInlineSnapshot(
    `"warn webhook of acme/shop: 2 lead to us → Delete all but one in the project's settings."`,
  );
  gitlab.revokeToken();
  expect(await look()).toMatchInlineSnapshot(`
    [
      "fail GitLab: GitLab does not know this token: it was revoked, has expired, or belongs to another GitLab. → Connect it anew: at /setup, or with npm run connect.",
    ]
  `);
  expect(gitlab.unknownRequests).toEqual([]);
});

test('clocks that disagree, and a table of several findings', () => {
  const findings = [clockFinding('the database', 900), clockFinding('the database', -7_000), clockFinding('github.com', 61_000)];
  expect(renderFindings(findings)).toMatchInlineSnapshot(`
    "WHAT   STATE  FOUND                     WHAT TO DO
    clock  ok     agrees with the database
    clock  warn   7 s before the database   Let this machine keep time, with chrony or systemd-timesyncd.
    clock  fail   61 s behind github.com    Let this machine keep time, with chrony or systemd-timesyncd.

    3 looked at, 2 to see to
    "
  `);
  expect(renderFindings(findings.slice(0, 1))).toContain('all is well');
  expect(JSON.parse(toJson(findings.slice(0, 2))).ok).toBe(true);
});

/** Something that answers every request with this, on every address of this machine. */
async function answering(body: string): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer((_, response) => void response.end(body)).listen(0, '0.0.0.0');
  await once(server, 'listening');
  const address = server.address();
  const close = async (): Promise<void> => void (await new Promise((resolve) => server.close(resolve)));
  return { port: typeof address === 'object' && address ? address.port : 0, [Symbol.asyncDispose]: close };
}

test('whether our addresses lead to us, as far as can be told from here', async () => {
  const look = async (publicUrl: string, previewUrl = 'https://preview.invalid') =>
    rows(await examineReach(loadConfig({ MAYFLY_PUBLIC_URL: publicUrl, MAYFLY_PREVIEW_URL: previewUrl }))).map((row) =>
      row.replace(/0\.0\.0\.0:\d+/g, 'HOST'),
    );
  await using mayfly = await answering('{"status":"ok"}');
  await using other = await answering('<h1>It works!</h1>');
  expect(await look(`http://0.0.0.0:${mayfly.port}`)).toMatchInlineSnapshot(`
    [
      "warn public address: http://HOST answers here, without encryption → Put a proxy with https before it.",
      "fail preview addresses: mayfly-doctor.preview.invalid is no name in DNS → Let *.preview.invalid lead to the gate in DNS, and pass the Host header on.",
    ]
  `);
  expect((await look(`http://0.0.0.0:${other.port}`))[0]).toMatchInlineSnapshot(
    `"fail public address: http://HOST is answered by something else (200) → See to DNS, the proxy before Mayfly, and that it passes /api, /setup and /healthz on."`,
  );
  expect((await look('http://mayfly.invalid'))[0]).toMatchInlineSnapshot(
    `"fail public address: http://mayfly.invalid does not answer → See to DNS, the proxy before Mayfly, and that it passes /api, /setup and /healthz on."`,
  );
  expect(await look('http://localhost:3000', 'http://preview.localhost:8080')).toMatchInlineSnapshot(`
    [
      "warn public address: http://localhost:3000 is this machine alone → Set MAYFLY_PUBLIC_URL to an address that the forge can reach.",
      "warn preview addresses: *.preview.localhost:8080 is this machine alone → Set MAYFLY_PREVIEW_URL to a name with a wildcard in DNS.",
    ]
  `);
});
