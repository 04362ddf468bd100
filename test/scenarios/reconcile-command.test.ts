import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createChildWorld } from '../child.ts';
import { plainTable, runReconcile } from '../command.ts';
import { createWorld, until } from '../world.ts';
import { nodeApp } from './apps.ts';
import { plant, serverOfTests } from './planted.ts';

const MINUTES_4 = 240_000;

test('beside a Mayfly that runs: a dry run prints what would be done and changes nothing, anywhere; for real it does what it may', {
  timeout: MINUTES_4,
}, async () => {
  // Without the clock it compares nothing with the forge by itself.
  await using w = await createWorld({ MAYFLY_ROLES: 'web,gate,worker' });
  const repo = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const [closes, moves] = [await w.github.openPull(repo), await w.github.openPull(repo, { files: nodeApp('one') })];
  for (const pull of [closes, moves]) await w.reaches(pull, 'ready');
  const quiet = await runReconcile(w.environment, '--dry-run');
  expect(quiet).toEqual({ code: 0, out: 'nothing to do\n', errors: '' });

  w.github.sendWebhooksTo(null);
  await w.github.close(closes);
  await w.github.push(moves, nodeApp('two'));
  await w.github.openPull(repo, { files: nodeApp('three') });
  w.github.sendWebhooksTo('http://127.0.0.1:9/');
  await w.github.comment(moves, 'dev', 'a word');
  w.github.sendWebhooksTo(w.webhooks());
  w.github.plantDeployment(repo, { sha: moves.sha, site: '01J0000000000000000000000A', by: 'us' });
  await using planted = await plant({ dataDir: w.dataDir, database: w.database.name, server: serverOfTests() }, 'of a site');
  // Its own look at this machine, every minute, leaves them alone meanwhile.
  await using held = await w.mayfly.store.leases.take(`site:${planted.site}`);
  expect(held).toBeDefined();
  const before = await planted.left();
  const asked = w.github.requests.length;
  const versions = async () => Promise.all([closes, moves].map(async (pull) => (await w.siteOf(pull))?.version));
  const rows = await versions();

  const dry = await runReconcile(w.environment, '--dry-run');
  expect(dry.errors).toBe('');
  expect(plainTable(dry.out)).toMatchInlineSnapshot(`
    "WHAT  WHERE  WHY  WOULD BE
    pull #2  acme/shop  at commit, and its site at commit  moved to commit
    pull #3  acme/shop  open, and has no site  given a site, if its settings want one
    pull #1  acme/shop  not open any more  ended
    deployment of #9  acme/shop  no site SITE is known  removed
    delivery issue_comment.created guid  github  not delivered at time  asked for again
    stack local-0-by-hand  this machine  nobody can tell whose it is  left alone
    stack local-tag-SITE  this machine  no site SITE is known  left to the Mayfly that runs here
    database mf_tag_SITE_00000000  this machine  no site SITE is known  left to the Mayfly that runs here
    artefact of SITE  this machine  no site SITE is known  left to the Mayfly that runs here

    9 findings; this was a dry run, nothing was changed
    "
  `);
  expect(dry.code).toBe(0);
  const writes = w.github.requests.slice(asked).filter(({ method, path }) => method !== 'GET' && !path.endsWith('/access_tokens'));
  expect(writes).toEqual([]);
  expect(await planted.left()).toEqual(before);
  expect(await versions()).toEqual(rows);

  const real = await runReconcile(w.environment);
  expect(real.errors).toBe('');
  expect(plainTable(real.out)).toMatchInlineSnapshot(`
    "WHAT  WHERE  WHY  WAS
    pull #2  acme/shop  at commit, and its site at commit  moved to commit
    pull #3  acme/shop  open, and has no site  given a site, if its settings want one
    pull #1  acme/shop  not open any more  ended
    deployment of #9  acme/shop  no site SITE is known  removed
    delivery issue_comment.created guid  github  not delivered at time  asked for again
    stack local-0-by-hand  this machine  nobody can tell whose it is  left alone
    stack local-tag-SITE  this machine  no site SITE is known  left to the Mayfly that runs here
    database mf_tag_SITE_00000000  this machine  no site SITE is known  left to the Mayfly that runs here
    artefact of SITE  this machine  no site SITE is known  left to the Mayfly that runs here

    9 findings: 5 done, 4 left
    "
  `);
  expect(real.code).toBe(0);
  await w.reaches(closes, 'ended');
  await w.reaches(moves, 'ready', moves.sha);
  expect((await w.visit(moves)).body).toBe('two');
});

test('where no Mayfly runs, on its own databases: a dry run finds the same, and for real it all goes', { timeout: MINUTES_4 }, async () => {
  await using w = await createChildWorld('embedded');
  const never = await runReconcile(w.environment, '--dry-run');
  expect([never.code, never.errors]).toEqual([1, `There is no database in ${w.dataDir} yet. Start Mayfly on it first.\n`]);
  await w.start();
  const repo = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const pull = await w.github.openPull(repo, { files: nodeApp('kept') });
  await w.reaches(pull, 'ready');
  // Beside a Mayfly whose database is its own child.
  await until('all to be said', async () => (await runReconcile(w.environment, '--dry-run')).out === 'nothing to do\n');
  await w.end('SIGTERM');
  await writeFile(join(w.dataDir, 'run', 's', '0123456789abcdef.sock'), '');
  w.github.plantDeployment(repo, { sha: pull.sha, site: '01J0000000000000000000000A', by: 'us' });
  await w.github.close(pull);

  const dry = await runReconcile(w.environment, '--dry-run');
  expect(dry.errors).toBe('');
  expect(plainTable(dry.out)).toMatchInlineSnapshot(`
    "WHAT  WHERE  WHY  WOULD BE
    pull #1  acme/shop  not open any more  ended
    deployment of #9  acme/shop  no site SITE is known  removed
    delivery pull_request.closed guid  github  not delivered at time  left until Mayfly runs
    socket 0123456789abcdef.sock  this machine  no site has it  removed

    4 findings; this was a dry run, nothing was changed
    "
  `);
  const real = await runReconcile(w.environment);
  expect(real.errors).toBe('');
  expect(plainTable(real.out)).toMatchInlineSnapshot(`
    "WHAT  WHERE  WHY  WAS
    pull #1  acme/shop  not open any more  ended
    deployment of #9  acme/shop  no site SITE is known  removed
    delivery pull_request.closed guid  github  not delivered at time  left until Mayfly runs
    socket 0123456789abcdef.sock  this machine  no site has it  removed

    4 findings: 3 done, 1 left
    "
  `);
  await w.start();
  await w.reaches(pull, 'ended');
});

test('a table is never printed for settings that are wrong, or for words that are not known', async () => {
  const wrong = await runReconcile({ MAYFLY_TTL: 'soon', APP_ID: 'x' }, '--dry-run');
  expect([wrong.code, wrong.out]).toEqual([78, '']);
  for (const name of ['MAYFLY_TTL', 'APP_ID']) expect(wrong.errors).toContain(name);
  const unknown = await runReconcile({}, '--dry-runn');
  expect(unknown).toMatchInlineSnapshot(`
    {
      "code": 64,
      "errors": "usage: npm run reconcile [-- --dry-run]

    Compares what should exist with what does, on the forges and where sites run, once, and puts right what differs.
      --dry-run   changes nothing, and prints what would be done
    ",
      "out": "",
    }
  `);
  expect((await runReconcile({}, '--help')).out).toBe(unknown.errors);
});
