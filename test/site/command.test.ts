import { describe, expect, test } from 'vitest';
import { type Command, parseCommands } from '../../src/site/command.ts';

const one = (line: string): Command | string => parseCommands(line)[0]?.meant ?? 'nothing';
/** The commands in it, and what is wrong with what was meant as one. */
const parsed = (comment: string, word?: string) => {
  const meant = parseCommands(comment, word).map((line) => line.meant);
  return { commands: meant.filter((one) => typeof one !== 'string'), mistakes: meant.filter((one) => typeof one === 'string') };
};

describe('every command', () => {
  test.each<[string, Command]>([
    ['/preview', { type: 'deploy' }],
    ['/preview deploy', { type: 'deploy' }],
    ['/PREVIEW Deploy', { type: 'deploy' }],
    ['  /preview \t rebuild  ', { type: 'rebuild' }],
    ['/preview status', { type: 'status' }],
    ['/preview extend 36h', { type: 'extend', byMs: 36 * 3_600_000 }],
    ['/preview keep', { type: 'keep' }],
    ['/preview stop', { type: 'stop' }],
    ['/preview delete', { type: 'stop' }],
    ['/preview sleep', { type: 'sleep' }],
    ['/preview wake', { type: 'wake' }],
    ['/preview approve', { type: 'approve', sha: null }],
    ['/preview approve 3F2A9C1', { type: 'approve', sha: '3f2a9c1' }],
    ['/preview logs', { type: 'logs', of: 'build', lines: 30 }],
    ['/preview logs app', { type: 'logs', of: 'app', lines: 30 }],
    ['/preview logs app 50', { type: 'logs', of: 'app', lines: 50 }],
    ['/preview logs 200', { type: 'logs', of: 'build', lines: 200 }],
    ['/preview region EU-Frankfurt', { type: 'region', name: 'eu-frankfurt' }],
    ['/preview help', { type: 'help' }],
    ['/preview ping', { type: 'ping' }],
  ])('%j', (line, command) => {
    expect(one(line)).toEqual(command);
  });
});

describe('lines that were meant as commands', () => {
  test.each([
    ['/preview deplyo', 'There is no such command. Did you mean `/preview deploy`?'],
    ['/preview restart', 'There is no such command. `/preview help` lists what there is.'],
    ['/preview constructor', 'There is no such command. `/preview help` lists what there is.'],
    ['/preview __proto__', 'There is no such command. `/preview help` lists what there is.'],
    ['/preview extend', 'Say for how long: `/preview extend 3d` (90s, 15m, 36h, 3d, 2w).'],
    ['/preview extend forever', 'Say for how long: `/preview extend 3d` (90s, 15m, 36h, 3d, 2w).'],
    ['/preview extend 9999999d', 'Say for how long: `/preview extend 3d` (90s, 15m, 36h, 3d, 2w).'],
    ['/preview extend 1d 2d', 'Say for how long: `/preview extend 3d` (90s, 15m, 36h, 3d, 2w).'],
    ['/preview deploy $(id)', '`/preview deploy` takes nothing after it.'],
    ['/preview deploy; id', 'There is no such command. Did you mean `/preview deploy`?'],
    ['/preview deploy --config /etc/passwd', '`/preview deploy` takes nothing after it.'],
    ['/preview stop -var-file ../..', '`/preview stop` takes nothing after it.'],
    ['/preview approve main', 'Name one commit by 7 or more of its digits: `/preview approve 3f2a9c1`.'],
    ['/preview logs app 201', 'Write `/preview logs`, `/preview logs build 50` or `/preview logs app 50`, at most 200 lines.'],
    ['/preview logs ../../etc/passwd', 'Write `/preview logs`, `/preview logs build 50` or `/preview logs app 50`, at most 200 lines.'],
    ['/preview region', 'Name one region: `/preview region eu-frankfurt`.'],
    ['/preview sto\u0000p', 'There is no such command. Did you mean `/preview stop`?'],
  ])('T-B11: %j', (line, problem) => {
    expect(one(line)).toBe(problem);
  });
});

describe('T-B10: what is no command at all', () => {
  test.each([
    ['prose', 'please /preview deploy'],
    ['a longer word', '/previews deploy'],
    ['a path', '/preview/deploy'],
    ['a quote', '> /preview deploy'],
    ['a quote in a quote', '>> /preview deploy'],
    ['an indented quote', '   > /preview deploy'],
    ['a code block', '```\n/preview deploy\n```'],
    ['a code block of tildes', '~~~sh\n/preview deploy\n```\n/preview stop\n~~~'],
    ['a code block with a shorter fence inside', '````\n```\n/preview deploy\n```\n````'],
    ['a code block that is never closed', '```\n/preview deploy'],
    ['a code block in a list', '- ```\n  /preview deploy\n  ```'],
    ['a code block in a numbered list', '1. ~~~\n   /preview deploy\n   ~~~'],
    ['code by four spaces', '    /preview deploy'],
    ['code by a tab', '\t/preview deploy'],
    ['an HTML comment', '<!-- /preview deploy -->'],
    ['an HTML comment over lines', 'hello <!-- \n/preview deploy\n-->'],
    ['an HTML comment that is never closed', '<!--\n/preview deploy'],
    ['preformatted HTML', '<pre>\n/preview deploy\n</pre>'],
    ['a quote in HTML', '<blockquote>\n\n/preview deploy\n\n</blockquote>'],
    ['a code span', '`/preview deploy`'],
    ['bold', '**/preview deploy**'],
    ['a list', '- /preview deploy'],
    ['a zero-width space before it', '\u200b/preview deploy'],
    ['a zero-width joiner in it', '/pre\u200dview deploy'],
    ['a byte order mark', '\ufeff/preview deploy'],
    ['a homoglyph slash', '\u2215preview deploy'],
    ['a homoglyph letter', '/prev\u0456ew deploy'],
    ['full-width letters', '/\uff50review deploy'],
    ['a no-break space', '/preview\u00a0deploy'],
    ['a line separator', 'hello\u2028/preview deploy'],
    ['nothing', ''],
    ['a very long line', `/preview deploy ${'x'.repeat(400)}`],
  ])('%s', (_, comment) => {
    expect(parseCommands(comment)).toEqual([]);
  });

  test('the Kelvin sign is no k', () => {
    expect(parsed('/\u212aeep', '/keep').commands).toEqual([]);
  });
});

describe('several lines', () => {
  test('are several commands, whatever ends the lines and stands between them', () => {
    const comment =
      'Thanks!\r\n\r\n/preview rebuild\r\n> /preview stop\r\n/preview extend 2d\n```\n/preview stop\n```\r/preview status\n<!-- x -->\n/preview ping';
    expect(parsed(comment).commands.map(({ type }) => type)).toEqual(['rebuild', 'extend', 'status', 'ping']);
  });

  test('code that mentions a comment or a fence hides nothing', () => {
    expect(parsed('Write `<!--` or ``` x ``` here.\n/preview ping').commands).toEqual([{ type: 'ping' }]);
  });

  test('are looked at up to five', () => {
    const { commands, mistakes } = parsed('/preview ping\n/preview pong\n'.repeat(250));
    expect([commands.length, mistakes.length, mistakes.at(-1)]).toEqual([3, 3, 'Only the first 5 commands of a comment are looked at.']);
  });

  test('of an operator with another word', () => {
    expect(parsed('/preview ping\n/Site ping', '/site').commands).toEqual([{ type: 'ping' }]);
  });
});

test.each([
  ['spaces', ' '.repeat(60_000), 1],
  ['ticks, which open a code block', '`'.repeat(60_000), 0],
  ['list markers', '- '.repeat(30_000), 1],
  ['numbers', '1. '.repeat(20_000), 1],
  ['comments that stay open', '<!--'.repeat(15_000), 0],
  ['ticks and comments that stay open', '`<!--'.repeat(12_000), 0],
  ['quotes', '> '.repeat(30_000), 1],
  ['line ends', '\r\n'.repeat(30_000), 1],
  ['words in one line', '/preview '.repeat(6_600), 1],
  ['tags that stay open', '<pre '.repeat(12_000), 0],
])('T-B10: after 60 KB of %s', (_, comment, commands) => {
  expect(parsed(`${comment}\n\n/preview ping`).commands).toHaveLength(commands);
});
