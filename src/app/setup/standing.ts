import type { Logger } from 'pino';
import { z } from 'zod';
import type { GitHubConfig } from '../../config.ts';
import type { ForgeKind } from '../../site/identity.ts';
import { type GitHubApp, openGitHub } from '../probot.ts';
import type { Stored } from './connections.ts';

/** Whether a forge still knows who we are. `unclear`: it is away, or it is our clock that it does not like. */
export type Standing = 'known' | 'unknown' | 'unclear';

const refusal = z.object({ status: z.number(), response: z.object({ data: z.object({ message: z.string() }) }).optional() });

/** Asks about one App again and again: whether it was deleted, or the key of it that we have. */
export function openGitHubStanding(log: Logger): (config: GitHubConfig) => Promise<Standing> {
  const opened = new WeakMap<GitHubConfig, GitHubApp>();
  return async (config) => {
    const app = opened.get(config) ?? openGitHub(config, { log });
    opened.set(config, app);
    return standingOf(app);
  };
}

async function standingOf(app: GitHubApp): Promise<Standing> {
  try {
    const octokit = await app.asApp();
    await octokit.rest.apps.getAuthenticated();
    return 'known';
  } catch (error) {
    const seen = refusal.safeParse(error);
    const { status, response } = seen.success ? seen.data : { status: 0 };
    // Without GitHub's words it was not GitHub who answered.
    const said = response?.data.message ?? '';
    // With a wrong clock GitHub says which claim of the token it does not believe.
    if (status === 401) return said === '' || said.includes('claim') ? 'unclear' : 'unknown';
    return status === 404 && said === 'Integration not found' ? 'unknown' : 'unclear';
  }
}

export type Watch = {
  readonly stored: () => Stored;
  readonly ask: Readonly<Record<ForgeKind, (stored: Stored) => Promise<Standing>>>;
  readonly disconnect: (kind: ForgeKind) => Promise<void>;
  /** Milliseconds for which a forge has to say so at every look. */
  readonly patienceMs: number;
  /** Milliseconds, from any moment on, and never back. */
  readonly clock: () => number;
  readonly log: Logger;
};

/**
 * Looks whether the forges still know what is stored. What is removed does not come back, and neither do the sites, so a forge that
 * knows us no more is believed only after it has said so at every look for a long while: one that is being moved, restored or put
 * behind a proxy may say it for minutes.
 */
export function watchStanding({ stored, ask, disconnect, patienceMs, clock, log }: Watch): () => Promise<void> {
  const doubts = new Map<ForgeKind, { readonly digest: string; readonly since: number }>();
  return async () => {
    for (const kind of ['github', 'gitlab'] as const) {
      const now = stored();
      const digest = JSON.stringify(now[kind]);
      const standing = now[kind] === null ? 'known' : await ask[kind](now);
      if (standing !== 'unknown') {
        doubts.delete(kind);
        continue;
      }
      const doubt = doubts.get(kind);
      if (doubt?.digest !== digest) {
        log.warn({ forge: kind, patienceMs }, 'a forge does not know what is stored; it is believed if it goes on saying so');
        doubts.set(kind, { digest, since: clock() });
        continue;
      }
      if (clock() - doubt.since < patienceMs) continue;
      doubts.delete(kind);
      log.warn({ forge: kind }, 'a forge does not know what is stored any more: the App was deleted, or the token revoked');
      await disconnect(kind);
    }
  };
}
