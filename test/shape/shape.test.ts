import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');

type Source = { readonly path: string; readonly text: string; readonly imports: readonly string[] };

/** Every TypeScript file below a folder of the project, with the project's files that it imports. */
function sourcesOf(folder: string): readonly Source[] {
  const names = readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return names.map((name) => {
    const path = join(folder, name);
    const text = readFileSync(join(ROOT, path), 'utf8');
    const own = [...text.matchAll(/from '(\.{1,2}\/[^']+)'/g)].map((match) => relative(ROOT, resolve(ROOT, dirname(path), match[1] ?? '')));
    return { path, text, imports: own };
  });
}

const sources = [...sourcesOf('src'), ...sourcesOf('infra')];
/** The room that a file is in: `src/gate/proxy.ts` is in `src/gate`, `src/queues.ts` in itself. */
const roomOf = (path: string): string => (path.split('/').length > 2 ? path.split('/').slice(0, 2).join('/') : path);

/** What each room may import besides itself. `main` and what it opens may import everything. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'src/site': [],
  'src/store': ['src/site', 'src/fault-points.ts', 'src/together.ts'],
  'src/app': ['src/site', 'src/store', 'src/config.ts', 'src/fault-points.ts'],
  'src/gate': ['src/site', 'src/store'],
  'src/expiry': ['src/site', 'src/store', 'src/queues.ts'],
  'src/provision': [
    'src/site',
    'src/store',
    'src/masking/',
    'src/fault-points.ts',
    'src/config-platform.ts',
    'infra/labels.ts',
    'infra/preview-local.ts',
    'infra/preview-gcp.ts',
  ],
};

test.each(Object.entries(MAY_IMPORT))('%s imports only what is below it', (room, allowed) => {
  const strays = sources
    .filter(({ path }) => roomOf(path) === room)
    .flatMap(({ path, imports }) =>
      imports.filter((it) => roomOf(it) !== room && !allowed.some((one) => it.startsWith(one))).map((it) => `${path} → ${it}`),
    );
  expect(strays).toEqual([]);
});

test('the core does no I/O and knows no time', () => {
  const core = sources.filter(({ path }) => roomOf(path) === 'src/site');
  expect(
    core.filter(({ text }) => /from 'node:(?!crypto)|Date\.now|new Date\(\)|Math\.random|randomUUID/.test(text)).map(({ path }) => path),
  ).toEqual([]);
});

test('Pulumi programs are imported by targets and their child, and by the command that makes the platform', () => {
  const importers = sources.filter(({ path, imports }) => path.startsWith('src/') && imports.some((it) => it.startsWith('infra/')));
  expect(importers.map(({ path }) => path).filter((path) => !/^src\/(?:provision\/(?:targets\/|pulumi-)|platform\/)/.test(path))).toEqual(
    [],
  );
});

test('the environment is read in one place', () => {
  const readers = sources.filter(({ text }) => /\bprocess\.env\b/.test(text)).map(({ path }) => path);
  expect(readers).toEqual(['src/config.ts']);
});

test('only tests arm a fault point', () => {
  const armers = sources.filter(({ text }) => /\barmFaultPoints\b/.test(text)).map(({ path }) => path);
  expect(armers).toEqual(['src/fault-points.ts']);
});

test('SQL is written in the store, and for the sites’ own databases in their target', () => {
  const writers = sources.filter(({ text }) => /\bfrom 'kysely'|\bfrom 'pg'/.test(text)).map(({ path }) => path);
  expect(writers.filter((path) => !/^src\/(?:store|provision\/targets)\//.test(path) && path !== 'src/queue-backends.ts')).toEqual([]);
});

test('files stay short enough to be read at a sitting', () => {
  const long = sources.map(({ path, text }) => ({ path, lines: text.split('\n').length })).filter(({ lines }) => lines > 300);
  expect(long).toEqual([]);
});
