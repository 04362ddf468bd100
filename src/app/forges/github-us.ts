import { z } from 'zod';
import type { Repository } from '../../site/identity.ts';
import { Fault } from '../../site/problem.ts';
import type { GitHubApp } from '../probot.ts';
import { type Caller, isMissing } from './github-call.ts';

/** What GitHub notes about the author of a comment or a deployment. */
export type Written = {
  readonly performed_via_github_app?: { readonly id?: number | undefined } | null | undefined;
  readonly user?: { readonly id: number; readonly type?: string | undefined } | null | undefined;
  readonly creator?: { readonly id: number; readonly type?: string | undefined } | null | undefined;
};

export interface Us {
  /** Whether this app wrote it: by the app's id where GitHub notes it, else by the id of the app's bot user. Never by a name. */
  wrote(repository: Repository, thing: Written): Promise<boolean>;
}

/** Some servers that speak GitHub's language do not tell an app its name: then only what they note about the app itself counts. */
function orMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}

export function createUs(github: GitHubApp, caller: Caller): Us {
  let botId: number | undefined;

  /** The bot user's id; undefined as long as GitHub knows no such user, and then nothing is ours yet. */
  async function findBot(repository: Repository): Promise<number | undefined> {
    if (botId !== undefined) return botId;
    const app = await github.asApp();
    // As the app itself, and through the installation's pauses: both are GitHub's answers and become Faults.
    const answer = await caller.guarded(repository.access, () => app.rest.apps.getAuthenticated()).catch(orMissing);
    if (answer === undefined) return undefined;
    const slug = z.object({ slug: z.string() }).safeParse(answer.data);
    if (!slug.success) throw new Fault('forge-unreachable', { details: { cause: 'an answer of an unknown shape' } });
    const found = await caller.read(repository, (octokit) => octokit.rest.users.getByUsername({ username: `${slug.data.slug}[bot]` }));
    if (found.kind === 'found') botId = found.data.id;
    return botId;
  }

  return {
    async wrote(repository, thing) {
      const app = thing.performed_via_github_app?.id;
      if (app !== undefined) return app === github.appId;
      const author = thing.user ?? thing.creator;
      return author?.type === 'Bot' && author.id === (await findBot(repository));
    },
  };
}
