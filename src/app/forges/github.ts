import type { Source, Voice } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import type { GitHubApp } from '../probot.ts';
import { createCaller } from './github-call.ts';
import { githubCheck } from './github-check.ts';
import { githubComment } from './github-comment.ts';
import { githubDeliveries } from './github-deliveries.ts';
import { githubDeployment } from './github-deployment.ts';
import { githubFacts } from './github-facts.ts';
import { githubReaction } from './github-reaction.ts';
import { createUs } from './github-us.ts';
import type { OpenedForge } from './opened.ts';

/** Owner and repository as GitHub allows them; nothing else gets into an address. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9-]*\/[\w.-]+$/;

/** The forge's ports over GitHub, for the Mayfly of this name. */
export function createGitHubForge(github: GitHubApp, instance: string): OpenedForge {
  const caller = createCaller(github);
  const us = createUs(github, caller);
  const source: Source = {
    async address(repository) {
      // Git follows no rename by itself, so the name is asked for.
      const today = await caller.locate(repository);
      if (!today || !NAME.test(today.name)) throw new Fault('access-gone');
      const token = await caller.guarded(repository.access, () => github.token(Number(repository.access)));
      const authorization = `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`;
      return { url: `${github.serverUrl}/${today.name}.git`, authorization };
    },
    headRef: (number) => `refs/pull/${number}/head`,
  };
  const { forget: forgetDeployments, ...deployments } = githubDeployment(caller, us, instance);
  const voice: Voice = {
    ...githubComment(caller, us),
    ...githubCheck(caller, github.appId),
    ...deployments,
    ...githubReaction(caller),
  };
  const { facts, forget } = githubFacts(caller);
  return {
    facts,
    voice,
    source,
    // Nobody but GitHub writes what it signs.
    confirm: async (event) => event,
    deliveries: githubDeliveries(caller),
    forget(gone) {
      forget(gone);
      forgetDeployments(gone);
      caller.forget(gone);
    },
  };
}
