import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { type LaunchId, type SiteId, toSiteId } from '../site/identity.ts';
import type { Found, Stock } from '../site/ports.ts';
import { type Artefacts, artefactKeys } from './artefacts.ts';
import { namesIn } from './names-in.ts';
import { oneAtATime } from './one-at-a-time.ts';

/** Key of the artefact by launch. */
const Uses = z.record(z.string(), z.string());
type Uses = z.infer<typeof Uses>;

/** Which launches rest on which artefacts: pulls of one repository may share one, and the last that lets go of it removes it. */
export interface ArtefactUsers extends Stock {
  /** Notes it before the artefact is looked for or made, so that nobody removes it in between. */
  use(site: SiteId, launch: LaunchId, key: string): Promise<void>;
  /** The site uses what `launch` was made of and nothing else; null: nothing at all. */
  useOnly(site: SiteId, launch: LaunchId | null): Promise<void>;
  /** Removes what nobody uses: a crash came between the end of a use and the removal. @returns how many */
  removeUnused(): Promise<number>;
}

/** Opens the notes, one file a site in `<dataDir>/artefact-users`. Once in a process: what it does, it does one thing at a time. */
export async function openArtefactUsers(dataDir: string, artefacts: Artefacts): Promise<ArtefactUsers> {
  const folder = folderOf(dataDir);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const inTurn = oneAtATime();
  const write = async (site: string, uses: Uses): Promise<void> => {
    if (Object.keys(uses).length === 0) return rm(join(folder, site), { force: true });
    const half = join(folder, `.${site}`);
    await writeFile(half, JSON.stringify(uses), { mode: 0o600 });
    await rename(half, join(folder, site));
  };
  const useOnly: ArtefactUsers['useOnly'] = (site, launch) =>
    inTurn(async () => {
      const before = await readUses(folder, site);
      const kept = launch === null ? undefined : before[launch];
      const after: Uses = launch === null || kept === undefined ? {} : { [launch]: kept };
      // Notes that say it already need no room on a disk that may have none.
      if (!isDeepStrictEqual(before, after)) await write(site, after);
      const used = usedBy(await readNotes(folder));
      for (const key of new Set(Object.values(before))) if (!used.has(key)) await artefacts.remove(key);
    });
  return {
    use: (site, launch, key) => inTurn(async () => write(site, { ...(await readUses(folder, site)), [launch]: key })),
    useOnly,
    survey: () => inTurn(() => lookAtArtefacts(dataDir)),
    destroy: (_, site) => useOnly(site, null),
    discard: ({ name }) =>
      inTurn(async () => {
        if (!usedBy(await readNotes(folder)).has(name)) await artefacts.remove(name);
      }),
    removeUnused: () =>
      inTurn(async () => {
        const used = usedBy(await readNotes(folder));
        const unused = (await artefacts.keys()).filter((key) => !used.has(key));
        for (const key of unused) await artefacts.remove(key);
        return unused.length;
      }),
  };
}

/** What is noted of sites, and what is there although nobody uses it; from whatever process. */
export async function lookAtArtefacts(dataDir: string): Promise<readonly Found[]> {
  const notes = await readNotes(folderOf(dataDir));
  const used = usedBy(notes);
  const ofSites = notes.map(({ site }): Found => ({ kind: 'artefact', name: `of ${site}`, site: toSiteId(site) }));
  const unused = (await artefactKeys(dataDir)).filter((key) => !used.has(key));
  return [...ofSites, ...unused.map((name): Found => ({ kind: 'artefact', name, site: 'nobody' }))];
}

const folderOf = (dataDir: string): string => join(dataDir, 'artefact-users');

type Note = { readonly site: string; readonly uses: Uses };

async function readNotes(folder: string): Promise<readonly Note[]> {
  const sites = (await namesIn(folder)).filter((name) => !name.startsWith('.'));
  return Promise.all(sites.map(async (site) => ({ site, uses: await readUses(folder, site) })));
}

async function readUses(folder: string, site: string): Promise<Uses> {
  const text = await readFile(join(folder, site), 'utf8').catch((error: NodeJS.ErrnoException) => {
    // No file: it uses nothing. A file that can't be read is another matter: what it names may be in use.
    if (error.code === 'ENOENT') return '{}';
    throw error;
  });
  return Uses.parse(JSON.parse(text));
}

const usedBy = (notes: readonly Note[]): ReadonlySet<string> => new Set(notes.flatMap(({ uses }) => Object.values(uses)));
