import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { LaunchId, SiteId } from '../site/identity.ts';
import type { Artefacts } from './artefacts.ts';

/** Key of the artefact by launch. */
const Uses = z.record(z.string(), z.string());
type Uses = z.infer<typeof Uses>;

/** Which launches rest on which artefacts: pulls of one repository may share one, and the last that lets go of it removes it. */
export interface ArtefactUsers {
  /** Notes it before the artefact is looked for or made, so that nobody removes it in between. */
  use(site: SiteId, launch: LaunchId, key: string): Promise<void>;
  /** The site uses what `launch` was made of and nothing else; null: nothing at all. */
  useOnly(site: SiteId, launch: LaunchId | null): Promise<void>;
}

/** Opens the notes, one file a site in `<dataDir>/artefact-users`. */
export async function openArtefactUsers(dataDir: string, artefacts: Artefacts): Promise<ArtefactUsers> {
  const folder = join(dataDir, 'artefact-users');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const inTurn = oneAtATime();
  const read = async (site: string): Promise<Uses> => {
    // No file: it uses nothing.
    const text = await readFile(join(folder, site), 'utf8').catch(() => '{}');
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
        await write(site, launch === null || kept === undefined ? {} : { [launch]: kept });
        const used = await usedBySomebody();
        for (const key of new Set(Object.values(before))) if (!used.has(key)) await artefacts.remove(key);
      }),
  };
}

function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work, work);
    // Who comes next waits for it, however it ends.
    last = mine.catch(() => undefined);
    return mine;
  };
}
