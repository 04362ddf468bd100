import type { Logger } from 'pino';
import { z } from 'zod';
import type { GitHubConfig } from '../../config.ts';
import { openGitHub } from '../probot.ts';
import { strict } from './answer.ts';

const permissions = z.record(z.string(), z.string());
const appAnswer = z.object({ permissions, events: z.array(z.string()) });
const installationsAnswer = z.array(
  z.object({ account: z.object({ login: z.string() }).nullish(), permissions, events: z.array(z.string()) }),
);
const hookAnswer = z.object({ url: z.string().nullish() });
const deliveriesAnswer = z.array(z.object({ guid: z.string(), status_code: z.number(), delivered_at: z.coerce.date() }));

export type Granted = { readonly permissions: Readonly<Record<string, string>>; readonly events: readonly string[] };
/** What GitHub says of our App. */
export type GitHubHealth = {
  readonly app: Granted;
  /** By the login of the account. */
  readonly installations: readonly (Granted & { readonly on: string })[];
  readonly hookUrl: string | null;
  /** Of the last hundred attempts, as each delivery stands by now. */
  readonly deliveries: { readonly all: number; readonly failed: number; readonly lastStatus: number | null };
  readonly date: Date | null;
};

/** @throws the client's error when GitHub does not answer, or does not know the App */
export async function githubHealth(config: GitHubConfig, log: Logger): Promise<GitHubHealth> {
  const octokit = await openGitHub(config, { log }).asApp();
  const answer = await octokit.rest.apps.getAuthenticated();
  const installations = await octokit.paginate(octokit.rest.apps.listInstallations, { per_page: 100 });
  const hook = await octokit.rest.apps.getWebhookConfigForApp();
  const attempts = strict(deliveriesAnswer, (await octokit.rest.apps.listWebhookDeliveries({ per_page: 100 })).data);
  const newest = new Map<string, number>();
  for (const { guid, status_code: status } of attempts) if (!newest.has(guid)) newest.set(guid, status);
  const statuses = [...newest.values()];
  return {
    app: strict(appAnswer, answer.data),
    installations: strict(installationsAnswer, installations).map(({ account, ...granted }) => ({
      on: account?.login ?? 'nobody',
      ...granted,
    })),
    hookUrl: strict(hookAnswer, hook.data).url ?? null,
    deliveries: {
      all: statuses.length,
      failed: statuses.filter((status) => status < 200 || status >= 300).length,
      lastStatus: statuses[0] ?? null,
    },
    date: answer.headers.date === undefined ? null : new Date(answer.headers.date),
  };
}
