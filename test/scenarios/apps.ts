import type { Files } from '../doubles/github.ts';

/** A server without dependencies that answers with `text`; `/healthz` is ready at once. */
export const nodeApp = (text: string): Files => ({
  'package.json': JSON.stringify({ name: 'app', private: true, scripts: { start: 'node server.js' } }),
  'server.js': `
    const { createServer } = require('node:http');
    createServer((request, response) => response.end(${JSON.stringify(text)})).listen(process.env.PORT);
  `,
});

/** The same with a build that writes what is served; the build prints a line. */
export const builtApp = (text: string): Files => ({
  'package.json': JSON.stringify({ name: 'built', private: true, scripts: { build: 'node build.js', start: 'node server.js' } }),
  'build.js': `
    console.log('building ' + ${JSON.stringify(text)});
    require('node:fs').writeFileSync('page.txt', ${JSON.stringify(text)});
  `,
  'server.js': `
    const { createServer } = require('node:http');
    const { readFileSync } = require('node:fs');
    createServer((request, response) => response.end(readFileSync('page.txt'))).listen(process.env.PORT);
  `,
});

/** A build that goes on until somebody writes the file that it waits for, which nobody does. */
export const slowBuild = (text: string): Files => ({
  ...builtApp(text),
  'build.js': `console.log('slow build of ${text} began'); setInterval(() => {}, 1000);`,
});

/** The same with a database that is made from a seed; what is on the base branch declares it. */
export const storedApp = (text: string): Files => ({
  ...builtApp(text),
  'seed.sql': 'create table visits (at timestamptz);',
  '.mayfly.yml': 'database: { engine: postgres, seed: seed.sql }\n',
});
