import { GITHUB, toForgeEvent } from './forges/github-events.ts';
import type { GitHubApp } from './probot.ts';
import type { Door } from './webhooks.ts';

/** GitHub's webhooks: `X-Hub-Signature-256` over the raw body, and an id that a redelivery keeps. */
export function githubDoor(app: Pick<GitHubApp, 'verify'>): Door {
  return {
    kind: 'github',
    forge: GITHUB,
    odd: 'refused',
    verify: (headers, rawBody) => app.verify(rawBody, headers['x-hub-signature-256']),
    delivery: (headers) => headers['x-github-delivery'],
    translate: (headers, payload) => toForgeEvent(headers['x-github-event'] ?? '', payload),
  };
}
