import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { toSiteId } from '../site/identity.ts';
import type { Store } from '../store/store.ts';

/** How long the logs of a site outlive it, for those who want to know why it ended. */
const KEPT_MS = 7 * 86_400_000;

/** Removes the log folders of sites that ended, or are unknown, and were last written to more than seven days ago. Returns how many. */
export async function removeOldLogs(dataDir: string, store: Pick<Store, 'sites' | 'now'>): Promise<number> {
  const logs = join(dataDir, 'logs');
  const oldest = (await store.now()).getTime() - KEPT_MS;
  let removed = 0;
  for (const name of await readdir(logs)) {
    const folder = join(logs, name);
    const { mtimeMs } = await stat(folder);
    if (mtimeMs > oldest) continue;
    const site = await store.sites.find(toSiteId(name));
    if (site !== undefined && (site.status !== 'ended' || site.endedAt.getTime() > oldest)) continue;
    await rm(folder, { recursive: true, force: true });
    removed++;
  }
  return removed;
}
