import type { Source } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { type Connection, createCaller } from './gitlab-call.ts';
import { gitlabComment } from './gitlab-comment.ts';
import { gitlabConfirm } from './gitlab-confirm.ts';
import { gitlabDeliveries } from './gitlab-deliveries.ts';
import { gitlabDeployment } from './gitlab-deployment.ts';
import { PROJECT_PATH } from './gitlab-events.ts';
import { gitlabFacts } from './gitlab-facts.ts';
import { headRef, openPulls } from './gitlab-pulls.ts';
import { gitlabReaction } from './gitlab-reaction.ts';
import { gitlabStatus } from './gitlab-status.ts';
import type { OpenedForge } from './opened.ts';

/**
 * The forge's ports over one GitLab with one token.
 * @param connection `hookUrl`: where its webhooks come to us, as GitLab was told it; `previewUrl`: base of this Mayfly's sites
 */
export function createGitLabForge(connection: Connection & { readonly hookUrl: string; readonly previewUrl: URL }): OpenedForge {
  const caller = createCaller(connection);
  const pulls = openPulls(caller);
  const facts = gitlabFacts(caller, pulls);
  const source: Source = {
    async address(repository) {
      // GitLab may lead git from the old name to the new one, but git follows nowhere with the token.
      const today = await caller.locate(repository);
      if (!today || !PROJECT_PATH.test(today.name)) throw new Fault('access-gone');
      const authorization = `basic ${Buffer.from(`oauth2:${connection.token}`).toString('base64')}`;
      return { url: `${connection.url}/${today.name}.git`, authorization };
    },
    headRef,
  };
  return {
    facts,
    voice: {
      ...gitlabComment(caller),
      ...gitlabStatus(caller, pulls),
      ...gitlabDeployment(caller, pulls, connection.previewUrl),
      ...gitlabReaction(caller),
    },
    source,
    confirm: gitlabConfirm(caller),
    deliveries: gitlabDeliveries(caller, facts, new URL(connection.hookUrl).href),
    forget(gone) {
      pulls.forget(gone);
      if (gone.id === 'all') caller.forget();
    },
  };
}
