import { createHash, randomBytes } from 'node:crypto';
import { ulid } from 'ulid';
import { parseRepositoryId, toForgeId, toLaunchId, toSiteId } from '../../src/site/identity.ts';
import type { DeployOrder, FolderArtefact, Held } from '../../src/site/ports.ts';
import { builtAlready, HERE, targetContract } from '../contract/target.ts';
import { type Behaviour, createGrounds, openTargetDouble } from './target.ts';

/** What the contract's scripts come to; nothing is run. */
function behaviourOf(script: string): Behaviour {
  const says = /console\.log\("([^"]*)"\)/.exec(script)?.[1];
  if (script.includes('process.exit')) return { ends: says ?? '' };
  if (says !== undefined) return { says };
  return { answers: /\.end\("([^"]*)"\)/.exec(script)?.[1] ?? '' };
}

const hold = (): Held => ({ name: 'site:test', holder: 'test', epoch: 1, signal: new AbortController().signal });
/** What PostgreSQL would say of the contract's seed. */
const seedProblem = (sql: string): string | undefined =>
  sql.includes('select c from a') ? 'column "c" does not exist (line 3)' : undefined;

targetContract('the double of a target', async () => {
  const grounds = createGrounds();
  const files = new Map<string, Readonly<Record<string, string>>>();
  const seeds = new Map<string, string>();
  const target = openTargetDouble({
    grounds,
    behaviourOf: ({ folder }) => behaviourOf(files.get(folder)?.['server.js'] ?? ''),
    check: async () => undefined,
    seedProblem: (file) => seedProblem(seeds.get(file) ?? ''),
  });
  const run = { env: {}, port: 3000, health: '/', idleMs: 60_000 };
  return {
    ...HERE,
    target,
    hold,
    async artefact(content, runtime = { kind: 'process', command: 'node server.js', cwd: '.' }): Promise<FolderArtefact> {
      const folder = `/${randomBytes(6).toString('hex')}`;
      files.set(folder, content);
      return { key: folder, folder, runtime, detected: 'a server' };
    },
    async seed(sql) {
      const sha256 = createHash('sha256').update(sql).digest('hex');
      seeds.set(`/${sha256}`, sql);
      return { engine: 'postgres', seed: { name: 'db/seed.sql', file: `/${sha256}`, sha256 } };
    },
    order(part): DeployOrder {
      const repository = parseRepositoryId(1);
      if (repository === undefined) throw new Error('1 is no repository');
      const pull = { forge: toForgeId('github'), repository, number: 1 };
      const about = { site: toSiteId(ulid()), revision: toLaunchId(ulid()), live: null, database: null } as const;
      return { ...about, pull, run, region: 'europe-west1', trust: 'trusted', ...builtAlready(part) };
    },
    async visit(served, path = '/') {
      if (served.kind === 'static') return files.get(served.folder)?.[path.slice(1)] ?? '';
      if (served.kind === 'remote') throw new Error('this target serves nothing from elsewhere');
      return grounds.services.get(served.service)?.answer ?? '';
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
});
