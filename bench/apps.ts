import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Files } from '../test/doubles/github.ts';

const SEED_MB = 50;

/** An app that is launched, and how a person would start it by hand. */
export type BenchApp = {
  readonly name: string;
  /** Anew each time: a seed that was run once is not run again. */
  readonly files: () => Files;
  /** The same with other content, and with nothing else to install. */
  readonly changed: (round: string) => Files;
  /** What `changed(round)` answers contains this. */
  readonly shows: (round: string) => string;
  /** Commands after a clone, without installing where there is nothing to install; the last starts it on `$PORT`. */
  readonly byHand: readonly string[];
  readonly hasDatabase: boolean;
};

/** Every file of a folder here, by its path in it. */
function read(folder: string): Record<string, string> {
  const root = join(import.meta.dirname, 'apps', folder);
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    files.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [path.slice(root.length + 1), readFileSync(path, 'utf8')];
    }),
  );
}

const SERVER = `
const { createServer } = require('node:http');
const page = require('node:fs').readFileSync('page.txt');
createServer((request, response) => response.end(page)).listen(process.env.PORT);
`;

const plain: BenchApp = {
  name: 'server without dependencies',
  files: () => ({
    'package.json': JSON.stringify({ name: 'plain', private: true, scripts: { start: 'node server.js' } }),
    'server.js': SERVER,
    'page.txt': 'first',
  }),
  changed: (round) => ({ 'page.txt': round }),
  shows: (round) => round,
  byHand: ['npm start'],
  hasDatabase: false,
};

const astro: BenchApp = {
  name: 'Astro site, 292 packages',
  files: () => read('astro'),
  changed: (round) => ({ 'src/pages/round.json.js': `export const GET = () => new Response('${round}');\n` }),
  shows: (round) => round,
  byHand: ['npm ci', 'npm run build', 'npx astro preview --host 127.0.0.1 --port $PORT'],
  hasDatabase: false,
};

/** SQL of so many megabytes that makes one table of it, and is like no other. */
function seed(): string {
  const text = 'x'.repeat(900);
  const rows = Array.from({ length: 1_000 }, (_, n) => `(${n}, '${text}')`).join(',\n');
  const insert = `insert into products values\n${rows};\n`;
  return `-- ${randomUUID()}\ncreate table products (id int, text text);\n${insert.repeat(Math.round((SEED_MB * 1e6) / insert.length))}`;
}

const store: BenchApp = {
  name: `app with PostgreSQL and a seed of ${SEED_MB} MB`,
  files: () => ({
    ...read('store'),
    ...{ 'page.txt': 'first', 'seed.sql': seed(), '.mayfly.yml': 'database: { engine: postgres, seed: seed.sql }\n' },
  }),
  changed: (round) => ({ 'page.txt': round }),
  shows: (round) => `${round} `,
  byHand: ['npm ci', 'npm start'],
  hasDatabase: true,
};

export const APPS = { plain, astro, store } as const;
