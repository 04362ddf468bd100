import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ulid } from 'ulid';
import { sha256 } from '../../src/provision/artefacts.ts';
import { type BuilderOptions, type BuildOrder, openBuilder } from '../../src/provision/build.ts';
import { openEgress } from '../../src/provision/egress.ts';
import { openSandbox } from '../../src/provision/sandbox.ts';
import type { Snapshot } from '../../src/provision/snapshot.ts';
import { parseSha, toLaunchId, toSiteId } from '../../src/site/identity.ts';
import { watching } from '../contract/target.ts';

export type Files = Readonly<Record<string, string | { readonly link: string }>>;
const SHA = parseSha('a'.repeat(40));

/** A commit that is made of these files. */
export function snapshotOf(files: Files): Snapshot {
  if (SHA === undefined) throw new Error('no sha');
  return {
    sha: SHA,
    tree: async (path) => sha256(JSON.stringify([path, files])),
    read: async () => undefined,
    save: async () => undefined,
    async checkout(_, folder) {
      await mkdir(folder, { recursive: true });
      for (const [name, content] of Object.entries(files)) {
        await mkdir(join(folder, dirname(name)), { recursive: true });
        if (typeof content === 'string') await writeFile(join(folder, name), content);
        else await symlink(content.link, join(folder, name));
      }
    },
  };
}

type More = Partial<Omit<BuildOrder, 'config'>> & { readonly config?: Partial<BuildOrder['config']> };

/** A builder on a data dir of its own, with the real sandbox and the real way to the registries. */
export async function createBuilder(more: Partial<BuilderOptions> & { readonly mode?: 'none' } = {}) {
  const dataDir = more.dataDir ?? (await mkdtemp(join(tmpdir(), 'mayfly-build-')));
  const sandbox = await openSandbox({ mode: more.mode ?? 'auto', dataDir, log: () => {} });
  const egress = await openEgress({ socket: join(dataDir, 'egress.sock'), log: () => {} });
  const builder = await openBuilder({ dataDir, sandbox, egress, ...more });
  const log: string[] = [];
  let launches = 0;
  return {
    dataDir,
    builder,
    /** Everything that builds printed. */
    said: (): string => log.join(''),
    build(files: Files, { config, ...order }: More = {}) {
      launches += 1;
      return builder.ensureArtefact({
        snapshot: snapshotOf(files),
        config: { root: '.', include: [], build: null, start: null, output: null, env: {}, ...config },
        site: toSiteId(ulid()),
        region: 'local',
        repository: 'github-1',
        trust: 'trusted',
        launch: toLaunchId(`L${launches}`),
        watch: watching({ log: (chunk) => void log.push(chunk) }),
        caches: 'use',
        ...order,
      });
    },
    async [Symbol.asyncDispose]() {
      await builder[Symbol.asyncDispose]();
      await egress[Symbol.asyncDispose]();
      if (more.dataDir === undefined) await rm(dataDir, { recursive: true, force: true });
    },
  };
}
