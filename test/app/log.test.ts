import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { createScrubber, openLog } from '../../src/log.ts';
import { Fault } from '../../src/site/problem.ts';

const CANARY = `${randomBytes(12).toString('base64')}"\\/+ü`;
const KEY = `-----BEGIN RSA PRIVATE KEY-----\n${randomBytes(48).toString('base64')}\n${randomBytes(48).toString('base64')}\n-----END RSA PRIVATE KEY-----\n`;

function open(readable = false) {
  const lines: string[] = [];
  const scrubber = createScrubber([CANARY, KEY]);
  return { lines, scrubber, log: openLog({ level: 'debug', scrubber, readable, write: (line) => void lines.push(line) }) };
}

test('lines are JSON with what was bound', () => {
  const { lines, log } = open();
  log.child({ delivery: 'd1', site: 's1' }).info({ sha: 'abc' }, 'hello');
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ level: 'info', delivery: 'd1', site: 's1', sha: 'abc', msg: 'hello' });
});

test('I7: a secret does not get out by value, in any form, from any place', () => {
  const { lines, log } = open();
  const forms = [
    CANARY,
    encodeURIComponent(CANARY),
    JSON.stringify(CANARY),
    Buffer.from(CANARY).toString('base64'),
    Buffer.from(CANARY).toString('base64url'),
  ];
  for (const form of forms) {
    log.child({ bound: form }).warn({ deep: { in: [form] }, err: new Error(`no ${form}`, { cause: new Error(form) }) }, `said ${form}`);
  }
  log.info(KEY);
  const [, body = ''] = KEY.split('\n');
  log.info({ body }, 'a line of the key');
  const said = lines.join('');
  expect(said).toContain('[hidden]');
  for (const form of [...forms, body, JSON.stringify(CANARY).slice(1, -1)]) expect(said).not.toContain(form);
});

test('I7: what is shaped like a credential is hidden though nobody knows it', () => {
  const { lines, log } = open();
  const made = randomBytes(18).toString('hex');
  const shapes = [
    `ghs_${made}`,
    `github_pat_${made}`,
    `glpat-${made}`,
    `Bearer ${made}`,
    `basic ${made}`,
    `postgres://mayfly:${made}@db/x`,
    `eyJhbGciOi.eyJpc3Mi${made}.${made}`,
  ];
  for (const shape of shapes) log.info({ shape }, shape);
  expect(lines.join('')).not.toContain(made);
});

test('I7: secret keys are hidden wherever they stand, also those of an error', () => {
  const { lines, log } = open();
  const made = randomBytes(6).toString('hex');
  const error = Object.assign(new Fault('forge-refused', { cause: Object.assign(new Error('403'), { status: 403 }) }), {
    request: { headers: { authorization: made } },
  });
  log.info(
    { authorization: made, headers: { Authorization: made }, config: { privateKey: made, webhook: { secret: made } }, err: error },
    'x',
  );
  log.info({ other: error }, 'x');
  expect(lines.join('')).not.toContain(made);
  expect(JSON.parse(lines[0] ?? '').err).toMatchObject({ type: 'Fault', code: 'forge-refused', cause: { status: 403 } });
});

test('a secret that is learnt later is hidden from then on', () => {
  const { lines, log, scrubber } = open();
  scrubber.hide('minted-just-now');
  log.info('minted-just-now');
  expect(lines.join('')).not.toContain('minted');
});

test('on a terminal a line is readable', () => {
  const { lines, log } = open(true);
  log.warn({ site: 's1', count: 2 }, 'it happened');
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d warn {2}it happened site=s1 count=2\n$/);
});
