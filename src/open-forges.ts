import type { Logger } from 'pino';
import { createGitHubForge } from './app/forges/github.ts';
import { GITHUB } from './app/forges/github-events.ts';
import { githubDoor } from './app/github-door.ts';
import { openGitHub } from './app/probot.ts';
import type { ForgeLink } from './app/pulls.ts';
import type { Door } from './app/webhooks.ts';
import type { Config } from './config.ts';
import type { ForgeId } from './site/identity.ts';
import type { Deliveries, Source } from './site/ports.ts';

/** What is configured of forges, each with its ports and its door. */
export type Forges = {
  readonly links: ReadonlyMap<ForgeId, ForgeLink>;
  readonly sources: ReadonlyMap<ForgeId, Source>;
  readonly deliveries: ReadonlyMap<ForgeId, Deliveries>;
  readonly doors: readonly Door[];
};

/** Every forge that is configured. */
export function connectForges(config: Config, log: Logger): Forges {
  if (config.github === null) return { links: new Map(), sources: new Map(), deliveries: new Map(), doors: [] };
  const app = openGitHub(config.github, { log });
  const { facts, voice, source, deliveries, forget } = createGitHubForge(app);
  const forge = { id: GITHUB, kind: 'github', address: app.serverUrl } as const;
  return {
    links: new Map([[GITHUB, { forge, facts, voice, forget }]]),
    sources: new Map([[GITHUB, source]]),
    deliveries: new Map([[GITHUB, deliveries]]),
    doors: [githubDoor(app)],
  };
}

/** @throws Error when the forge is not configured any more */
export function getSource({ sources }: Forges, forge: ForgeId): Source {
  const source = sources.get(forge);
  if (source === undefined) throw new Error(`The forge ${forge} is not configured`);
  return source;
}
