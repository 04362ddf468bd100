import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { lookAtBackend } from './pulumi-backend.ts';
import { pulumiCliRoot } from './pulumi-cli.ts';
import { openStacks } from './stack.ts';

/**
 * Of all the project's stacks, from beside whoever works on them; none where there is no state yet. Elsewhere than in PostgreSQL it is
 * Pulumi's own answer, by a child of ours that has a folder of its own: the data dir's may be in use.
 */
export async function stackNames({
  pulumiUrl,
  credentials = null,
  log,
}: {
  readonly pulumiUrl: string | null;
  /** File of Google's credentials, for a state in one of its buckets. */
  readonly credentials?: string | null;
  readonly log: Logger;
}): Promise<readonly string[]> {
  if (pulumiUrl === null) return [];
  const seen = await lookAtBackend(pulumiUrl);
  if (seen !== null) return seen;
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-look-'));
  try {
    // Names are not encrypted, so no passphrase is asked for.
    const passphraseFile = join(folder, 'none');
    await using stacks = await openStacks({
      backendUrl: pulumiUrl,
      passphraseFile,
      plugins: credentials === null ? undefined : { credentials },
      cliRoot: pulumiCliRoot(),
      folder,
      wrap: 'setpriv',
      log,
    });
    return await stacks.list();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
