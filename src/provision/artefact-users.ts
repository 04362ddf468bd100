import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { LaunchId, SiteId } from '../site/identity.ts';
import type { Artefacts } from './artefacts.ts';
import { oneAtATime } from './one-at-a-time.ts';

/** Key of the artefact by launch. */
const Uses = z.record(z.string(), z.string());
type Uses = z.infer<typeof Uses>;

/** Which launches rest on which artefacts: pulls of one repository may share one, and the last that lets go of it removes it. */
export interface ArtefactUsers {
  /** Notes it before the artefact is looked for or made, so that nobody removes it in between. */
  use(site: SiteId, launch: LaunchId, key: string): Promise<void>;
  /** The site uses what `launch` was made of and nothing else; null: nothing at all. */
  useOnly(site: SiteId, launch: LaunchId | null): Promise<void>;
  /** Removes what nobody uses: a crash came between the end of a use and the removal. @returns how many */
  removeUnused(): Promise<number>;
}

/** Opens the notes, one file a site in `<dataDir>/artefact-users`. */
export async function openArtefactUsers(dataDir: string, artefacts: Artefacts): Promise<ArtefactUsers> {
  const folder = join(dataDir, 'artefact-users');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const inTurn = oneAtATime();
  const read = async (site: string): Promise<Uses> => {
    const text = await readFile(join(folder, site), 'utf8').catch((error: NodeJS.ErrnoException) => {
      // No file: it uses nothing. A file that can't be read is another matter: what it names may be in use.
      if (error.code === 'ENOENT') return '{}';
      throw error;
    });
    return Uses.parse(JSON.parse(text));
  };
  const write = async (site: string, uses: Uses): Promise<void> => {
    if (Object.keys(uses).length === 0) return rm(join(folder, site), { force: true });
    const half = join(folder, `.${site}`);
    await writeFile(half, JSON.stringify(uses), { mode: 0o600 });
    await rename(half, join(folder, site));
  };
  const usedBySomebody = async (): Promise<ReadonlySet<string>> => {
    const sites = (await readdir(folder)).filter((name) => !name.startsWith('.'));
    return new Set((await Promise.all(sites.map(read))).flatMap((uses) => Object.values(uses)));
  };
  return {
    use: (site, launch, key) => inTurn(async () => write(site, { ...(await read(site)), [launch]: key })),
    useOnly: (site, launch) =>
      inTurn(async () => {
        const before = await read(site);
        const kept = launch === null ? undefined : before[launch];
        const after: Uses = launch === null || kept === undefined ? {} : { [launch]: kept };
        // Notes that say it already need no room on a disk that may have none.
        if (!isDeepStrictEqual(before, after)) await write(site, after);
        const used = await usedBySomebody();
        for (const key of new Set(Object.values(before))) if (!used.has(key)) await artefacts.remove(key);
      }),
    removeUnused: () =>
      inTurn(async () => {
        const used = await usedBySomebody();
        const unused = (await artefacts.keys()).filter((key) => !used.has(key));
        for (const key of unused) await artefacts.remove(key);
        return unused.length;
      }),
  };
}
