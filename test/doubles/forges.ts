import { createGitHub } from './github.ts';
import { createGitLab } from './gitlab.ts';
import type { ForgeName, Stage, StageDeployment, StageRepo } from './stage.ts';

export type Forges = Awaited<ReturnType<typeof openForges>>;

/** GitLab's words for the state of a check, in GitHub's. */
const CHECK_WORDS: Readonly<Record<string, string>> = {
  pending: 'queued',
  running: 'in_progress',
  failed: 'failure',
  canceled: 'cancelled',
};

/** Both doubles, and what a test sees of them in the same words, whichever one is asked. */
export async function openForges() {
  await using opening = new AsyncDisposableStack();
  const github = opening.use(await createGitHub());
  const gitlab = opening.use(await createGitLab({ path: '/gitlab' }));
  const opened = opening.move();
  const stages: Readonly<Record<ForgeName, Stage>> = { github, gitlab };
  return {
    github,
    gitlab,
    stages,
    /** What Mayfly's settings say of each. */
    settings(forge: ForgeName | 'both'): Readonly<Record<string, string>> {
      const app = { APP_ID: String(github.appId), PRIVATE_KEY: github.privateKey, WEBHOOK_SECRET: github.webhookSecret };
      const hub = { ...app, GITHUB_API_URL: github.url, GITHUB_SERVER_URL: github.serverUrl };
      const hooks = { GITLAB_WEBHOOK_SECRET: gitlab.webhookSecret ?? '', GITLAB_SIGNING_TOKEN: gitlab.signingToken ?? '' };
      const lab = { GITLAB_URL: gitlab.url, GITLAB_TOKEN: gitlab.token, ...hooks };
      return { ...(forge === 'gitlab' ? {} : hub), ...(forge === 'github' ? {} : lab) };
    },
    /** @param webUrl of a Mayfly */
    sendWebhooksTo(webUrl: string): void {
      for (const name of ['github', 'gitlab'] as const) stages[name].sendWebhooksTo(`${webUrl}/api/${name}/webhooks`);
    },
    /** By the repository itself: ids are of no forge. */
    nameOf: (repo: StageRepo): ForgeName => ([...gitlab.state.repositories.values()].some((one) => one === repo) ? 'gitlab' : 'github'),
    /** What the commit's checks say, those that count. */
    checks(sha: string): readonly string[] {
      const ofGitHub = github.checksOf(sha).map(({ status, conclusion }) => conclusion ?? status);
      const ofGitLab = gitlab.statusesOf(sha).filter(({ retried }) => !retried);
      return [...ofGitHub, ...ofGitLab.map(({ status }) => CHECK_WORDS[status] ?? status)];
    },
    /** All words of a commit's checks. */
    checkWords(sha: string): readonly string[] {
      const ofGitHub = github.checksOf(sha).map((check) => JSON.stringify(check));
      return [...ofGitHub, ...gitlab.statusesOf(sha).map(({ description, targetUrl }) => `${description} ${targetUrl}`)];
    },
    /** Commits of which a deployment stands, under which environment, and what the forge says of it. */
    deployed(repo: StageRepo): readonly StageDeployment[] {
      const ofGitHub = [...github.state.deployments.values()];
      const ofGitLab = [...gitlab.state.deployments.values()].map((one) => ({ ...one, environment: one.environment.name }));
      return [...ofGitHub, ...ofGitLab]
        .filter(({ repository }) => repository === repo)
        .map(({ id, environment, sha, statuses }) => ({ id, environment, sha, states: statuses.map(({ state }) => state) }));
    },
    /** Names of the environments that are there. */
    environments(repo: StageRepo): readonly string[] {
      const ofGitLab = [...gitlab.state.environments.values()].filter(({ repository }) => repository === repo);
      return [...(github.state.environments.get(repo.id) ?? []), ...ofGitLab.map(({ name }) => name)];
    },
    unknownRequests: (): readonly string[] => [...github.unknownRequests, ...gitlab.unknownRequests],
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}
