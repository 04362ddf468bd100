import { describe, expect, test } from 'vitest';
import { DEFAULT_CONFIG, mergeOwn, mistakeLine, parseRepoConfig, type RepoConfig, settingsOfCommit } from '../../src/site/repo-config.ts';

const config = (text: string | undefined): RepoConfig => {
  const read = parseRepoConfig(text);
  if ('config' in read) return read.config;
  throw new Error(read.mistakes.map(mistakeLine).join('\n'));
};
const mistakes = (text: string): readonly string[] => {
  const read = parseRepoConfig(text);
  return 'mistakes' in read ? read.mistakes.map(mistakeLine) : [];
};
const DAY = 86_400_000;

describe('what is read', () => {
  test('the example of the documentation', () => {
    const text = `
previews: label         # auto | label | command
label: preview
drafts: false
root: ./apps/web/
include: [packages/shared, packages/shared/]
build: npm run build
start: node server.js
output: dist
port: 4000
health: /healthz?deep=1
env: { NODE_ENV: preview, PRICE: 1.10, DEBUG: true, EMPTY: }
database: { engine: postgres, seed: db/seed.sql }
ttl: 3d
idle: 15m
region: EU-Frankfurt
`;
    expect(config(text)).toEqual({
      previews: 'label',
      label: 'preview',
      drafts: false,
      root: 'apps/web',
      include: ['packages/shared'],
      build: 'npm run build',
      start: 'node server.js',
      output: 'dist',
      port: 4000,
      health: '/healthz?deep=1',
      env: { NODE_ENV: 'preview', PRICE: '1.10', DEBUG: 'true', EMPTY: '' },
      database: { engine: 'postgres', seed: 'db/seed.sql' },
      ttl: 3 * DAY,
      idle: 900_000,
      region: 'eu-frankfurt',
    });
  });

  test.each([
    ['no file', undefined],
    ['an empty file', ''],
    ['comments', '# later\n'],
    ['a BOM', '\ufeff'],
    ['keys without values', 'build:\nenv:\n  # none yet\n'],
    ['an empty document', '---\n'],
  ])('%s: the defaults', (_, text) => {
    expect(config(text)).toEqual(DEFAULT_CONFIG);
  });

  test('the defaults', () => {
    expect(DEFAULT_CONFIG).toMatchInlineSnapshot(`
      {
        "build": null,
        "database": null,
        "drafts": true,
        "env": {},
        "health": "/",
        "idle": null,
        "include": [],
        "label": "preview",
        "output": null,
        "port": 3000,
        "previews": "auto",
        "region": null,
        "root": ".",
        "start": null,
        "ttl": null,
      }
    `);
  });

  test.each<[string, Partial<RepoConfig>]>([
    ['build: |\n  npm ci\n  npm run build\n', { build: 'npm ci\nnpm run build' }],
    ['build: "[[ -f x ]] && echo {}"', { build: '[[ -f x ]] && echo {}' }],
    ['output: .', { output: '.' }],
    ['database: { engine: postgres }', { database: { engine: 'postgres', seed: null } }],
    ['region: europe', { region: 'europe' }],
    ['env: { DATABASE_URL: "file:./dev.db" }', { env: { DATABASE_URL: 'file:./dev.db' } }],
    ['\ufeffport: 80\r\ndrafts: false\r\n', { port: 80, drafts: false }],
    ['{"port": 5173}', { port: 5173 }],
  ])('%j', (text, expected) => {
    expect(config(text)).toEqual({ ...DEFAULT_CONFIG, ...expected });
  });
});

describe('what is refused, and where', () => {
  test.each([
    ['bild: x', 'line 1, column 1: there is no setting "bild"; did you mean "build"?'],
    ['\n\n  timeout: 5', 'line 3, column 3: there is no setting "timeout"'],
    ['build: a\nbuild: b', 'line 2, column 1: "build" is there twice, first on line 1'],
    ['env: { A: 1, A: 2 }', 'line 1, column 14: "A" is there twice, first on line 1'],
    ['port: "3000"', 'line 1, column 7: "port" must be a whole number from 1 to 65535, like 3000, not text in quotes'],
    ['port: 0', 'line 1, column 7: "port" must be a whole number from 1 to 65535, like 3000, not the number 0'],
    ['port: 65536', 'line 1, column 7: "port" must be a whole number from 1 to 65535, like 3000, not the number 65536'],
    ['port: 80.5', 'line 1, column 7: "port" must be a whole number from 1 to 65535, like 3000, not the number 80.5'],
    ['drafts: "yes"', 'line 1, column 9: "drafts" must be true or false, not text'],
    ['drafts: yes', 'line 1, column 9: "drafts" must be true or false, not text'],
    ['previews: labels', 'line 1, column 11: "previews" must be auto, label or command; did you mean label?'],
    ['previews: true', 'line 1, column 11: "previews" must be auto, label or command, not true'],
    ['build: [npm, ci]', 'line 1, column 8: "build" must be text, not a list; put it in quotes'],
    ['build: ""', 'line 1, column 8: "build" is empty; leave it out instead'],
    ['label: "a\\nb"', 'line 1, column 8: "label" must be one line'],
    ['root: ../other', 'line 1, column 7: "root" must stay inside the repository, so it cannot have ".." in it'],
    ['root: a/../../b', 'line 1, column 7: "root" must stay inside the repository, so it cannot have ".." in it'],
    ['root: /etc', 'line 1, column 7: "root" must be relative to the repository, so it cannot start with "/"'],
    ['root: .git/hooks', 'line 1, column 7: "root" cannot be inside ".git"'],
    ['root: "a\\0b"', 'line 1, column 7: has the character NUL in it'],
    ['env: { A: "a\\ud800b" }', 'line 1, column 11: has half a character in it'],
    ['output: a\\b', 'line 1, column 9: "output" is not a path; folders are parted by "/"'],
    ['include: packages', 'line 1, column 10: "include" must be a list of paths, like [packages/shared], not text'],
    ['include: [ok, 5, ../up]', 'line 1, column 15: "include" must be a path inside the repository, not the number 5'],
    [
      'health: http://169.254.169.254/',
      'line 1, column 9: "health" must be a path of the site, like /healthz, not an address: only the site itself is asked',
    ],
    [
      'health: //metadata.google.internal/',
      'line 1, column 9: "health" must be a path of the site, like /healthz, not an address: only the site itself is asked',
    ],
    ['health: healthz', 'line 1, column 9: "health" must start with "/", like /healthz'],
    ['health: "/a b"', 'line 1, column 9: "health" must be a path as in an address: no spaces, "#" or "\\"'],
    ['env: [A]', 'line 1, column 6: "env" must be names with values, like { NODE_ENV: preview }, not a list'],
    ['env: { A-B: x }', 'line 1, column 8: "env" has "A-B", which is no name of a variable: letters, digits and "_" only'],
    ['env: { PORT: 80 }', 'line 1, column 8: "env" has "PORT", which is set to the setting "port"'],
    ['env: { LD_PRELOAD: x }', 'line 1, column 8: "env" has "LD_PRELOAD", which starts with letters that are kept for the sandbox'],
    ['env: { A: [1] }', 'line 1, column 8: "env" has "A", which must be text, not a list'],
    ['env: { __proto__: x }', 'line 1, column 8: "env" has "__proto__", which is no name of a variable: letters, digits and "_" only'],
    ['database: postgres', 'line 1, column 11: "database" must be like { engine: postgres, seed: db/seed.sql }'],
    ['database:', 'line 1, column 10: "database" must be like { engine: postgres, seed: db/seed.sql }'],
    ['database: { engine: mysql }', 'line 1, column 21: "database" needs "engine: postgres", the one engine there is'],
    ['database: { seed: a.sql }', 'line 1, column 11: "database" needs "engine: postgres", the one engine there is'],
    ['database: { engine: postgres, seeds: a }', 'line 1, column 31: "database" has no part "seeds"; did you mean "seed"?'],
    [
      'database: { engine: postgres, seed: ../x }',
      'line 1, column 37: "database" has a "seed" that must stay inside the repository, so it cannot have ".." in it',
    ],
    [
      'database: { engine: postgres }\nenv: { DATABASE_URL: x }',
      'line 2, column 8: "env" has "DATABASE_URL", which is set to the database of the setting "database"',
    ],
    ['ttl: 3', 'line 1, column 6: "ttl" must be a length of time: 90s, 15m, 36h, 3d or 2w'],
    ['idle: 0s', 'line 1, column 7: "idle" must be a length of time: 90s, 15m, 36h, 3d or 2w'],
    ['ttl: 99999w', 'line 1, column 6: "ttl" must be a length of time: 90s, 15m, 36h, 3d or 2w'],
    ['region: eu-frankfrut', 'line 1, column 9: "region" names a region that does not exist, "eu-frankfrut"; did you mean eu-frankfurt?'],
    ['- a', 'line 1, column 1: must be settings, one "key: value" a line'],
    ['just text', 'line 1, column 1: must be settings, one "key: value" a line'],
  ])('%j', (text, expected) => {
    expect(mistakes(text)[0]).toBe(expected);
  });

  test('every mistake is told, in the order of the file', () => {
    expect(mistakes('port: x\nroot: /\nbild: 1\nttl: soon\n').map((line) => line.slice(0, 6))).toEqual([
      'line 1',
      'line 2',
      'line 3',
      'line 4',
    ]);
  });
});

describe('T-C10: files made to do harm', () => {
  const bomb = [
    'a: &a [x, x]',
    ...'bcdefgh'.split('').map((name, index) => `${name}: &${name} [*${'abcdefgh'[index]}, *${'abcdefgh'[index]}]`),
  ].join('\n');
  test.each([
    ['aliases', bomb, /aliases/],
    ['a merge key', 'base: &b { port: 1 }\n<<: *b', /aliases|no setting/],
    ['a function', 'start: !!js/function "function () { return 1 }"', /tags/],
    ['a tag of its own', 'start: !secret x', /tags/],
    ['__proto__', '__proto__: { port: 1 }', /no setting "__proto__"/],
    ['constructor', 'constructor: 1', /no setting "constructor"/],
    ['a tab', 'env:\n\tA: b', /a tab cannot indent/],
    ['two documents', 'port: 1\n---\nport: 2', /second document/],
    ['a key that is a list', '[a, b]: 1', /a key must be a word/],
    ['a character that is no text', 'start: "a\u0007"', /line 1, column 10: has a character/],
    ['broken UTF-8', 'start: a\nlabel: b\ufffd', /line 2, column 9: is not UTF-8/],
    ['an open quote', 'start: "node', /not valid YAML/],
    ['64 KiB and one', `#${'x'.repeat(64 * 1024)}`, /larger than 64 KiB/],
    ['64 KiB of two bytes a letter', `#${'é'.repeat(33 * 1024)}`, /larger than 64 KiB/],
    ['60,000 brackets', `env: ${'['.repeat(60_000)}`, /nested too deeply/],
    ['60,000 braces', '{'.repeat(60_000), /nested too deeply/],
    ['lists in lists', `env:\n${'- '.repeat(30_000)}x`, /nested too deeply/],
    ['keys in keys', Array.from({ length: 300 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'), /nested too deeply/],
    ['many keys', Array.from({ length: 1_500 }, (_, index) => `k${index}:`).join('\n'), /no setting "k0"/],
    ['60,000 lines', 'a:\n'.repeat(20_000), /far more than settings/],
  ])('%s', (_, text, expected) => {
    expect(mistakes(text)[0]).toMatch(expected);
    expect(mistakes(text).length).toBeLessThanOrEqual(20);
  });
});

describe("the commit's own file", () => {
  const base = config('start: node server.js\nport: 4000\nttl: 2d\nenv: { A: a, B: b }');

  test('only what describes the commit counts; the rest that differs is named', () => {
    const own = 'start: node next.js\nenv: { A: other }\nttl: 9d\nregion: sydney\nport: 4000\ndrafts: true\n';
    expect(mergeOwn(base, own)).toEqual({ config: { ...base, start: 'node next.js', env: { A: 'other' } }, ignored: ['ttl', 'region'] });
  });

  test('T-B14: settings that do not exist, or are wrong, are ignored and not believed', () => {
    const own = 'auth: none\nserviceAccount: root@x\nttl: 9999d\nprevious: {}\n__proto__: { port: 1 }\ndatabase: mysql\n';
    expect(mergeOwn(base, own)).toEqual({ config: base, ignored: ['auth', 'serviceAccount', 'ttl', 'previous', '__proto__', 'database'] });
  });

  test.each([
    ['no file', undefined],
    ['the same file', 'start: node server.js\nport: 4000\nttl: 2d\nenv: { A: a, B: b }'],
    ['an empty file', ''],
  ])('%s changes nothing', (_, own) => {
    expect(mergeOwn(base, own)).toEqual({ config: base, ignored: [] });
  });

  test('a key without a value is found out again', () => {
    expect(mergeOwn(base, 'start:\n')).toEqual({ config: { ...base, start: null }, ignored: [] });
  });

  test('a mistake in what counts is one', () => {
    expect(mergeOwn(base, 'port: http')).toMatchObject({ mistakes: [{ line: 1, column: 7 }] });
    expect(mergeOwn(base, 'port: [')).toMatchObject({ mistakes: [{ line: 1 }] });
    expect(mergeOwn(config('database: { engine: postgres }'), 'env: { DATABASE_URL: x }')).toMatchObject({
      mistakes: [{ line: 1, column: 8 }],
    });
  });
});

describe('the settings of a commit', () => {
  test("are the base branch's with its own", () => {
    expect(settingsOfCommit(parseRepoConfig('start: a\nttl: 1d'), 'start: b\nttl: 2d')).toEqual({
      config: { ...DEFAULT_CONFIG, start: 'b', ttl: DAY },
      ignored: ['ttl'],
    });
    expect(settingsOfCommit(parseRepoConfig(undefined), undefined)).toEqual({ config: DEFAULT_CONFIG, ignored: [] });
  });

  test.each([
    ['port: x', 'start: b', 'a mistake on the base branch', 1],
    ['bild: x\nstrat: y', undefined, '2 mistakes on the base branch', 2],
    [undefined, 'port: x', 'a mistake in this commit', 1],
  ])('base %j, own %j: %s', (base, own, count, lines) => {
    expect(settingsOfCommit(parseRepoConfig(base), own)).toMatchObject({
      fault: { code: 'config-invalid', details: { count } },
      lines: { length: lines },
    });
  });

  test('a key of 60 KB does not make a message of 60 KB', () => {
    expect(mistakes(`${'k'.repeat(60_000)}: 1`)[0]?.length).toBeLessThan(300);
  });
});
