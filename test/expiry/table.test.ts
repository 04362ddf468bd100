import { expect, test } from 'vitest';
import { type Done, type Finding, LEFT_ALONE, NOT_COMPARED } from '../../src/expiry/plan.ts';
import { renderDone, renderPlan } from '../../src/expiry/table.ts';

const deed = (word: string): Finding['deed'] => ({ word, run: async () => true });
const findings: readonly Finding[] = [
  { kind: 'pull', name: '#7', where: 'acme/shop', why: 'open, and has no site', deed: deed('given a site, if its settings want one') },
  { kind: 'artefact', name: 'a'.repeat(64), where: 'this machine', why: 'no site has it', deed: deed('removed') },
  { kind: 'socket', name: '\u001b[2J\nx.sock', where: 'this machine', why: 'no site has it', deed: deed('removed') },
  { kind: 'stack', name: 'local-by-hand', where: 'this machine', why: 'nobody can tell whose it is', deed: LEFT_ALONE },
  { kind: 'repository', name: 'acme/away', where: 'github', why: 'the forge could not be reached', deed: NOT_COMPARED },
];

test('a plan is a table, in which nothing moves the cursor', () => {
  expect(renderPlan(findings)).toMatchInlineSnapshot(`
    "WHAT                    WHERE         WHY                             WOULD BE
    pull #7                 acme/shop     open, and has no site           given a site, if its settings want one
    artefact aaaaaaaaaaaa…  this machine  no site has it                  removed
    socket ?[2J?x.sock      this machine  no site has it                  removed
    stack local-by-hand     this machine  nobody can tell whose it is     left alone
    repository acme/away    github        the forge could not be reached  not compared

    5 findings; this was a dry run, nothing was changed
    "
  `);
  expect(renderPlan([])).toBe('nothing to do\n');
});

test('what was done is the same table in the past tense', () => {
  const outcomes: readonly Done['outcome'][] = ['done', 'not needed', 'failed', 'left', 'left'];
  const done = findings.map((finding, n): Done => ({ finding, outcome: outcomes[n] ?? 'done' }));
  expect(renderDone(done)).toMatchInlineSnapshot(`
    "WHAT                    WHERE         WHY                             WAS
    pull #7                 acme/shop     open, and has no site           given a site, if its settings want one
    artefact aaaaaaaaaaaa…  this machine  no site has it                  as it should be, on a closer look
    socket ?[2J?x.sock      this machine  no site has it                  not removed: it failed, see the log
    stack local-by-hand     this machine  nobody can tell whose it is     left alone
    repository acme/away    github        the forge could not be reached  not compared

    5 findings: 1 done, 1 not needed, 2 left, 1 failed
    "
  `);
  expect(renderDone([])).toBe('nothing to do\n');
});
