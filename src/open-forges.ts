import type { Logger } from 'pino';
import { createGitHubForge } from './app/forges/github.ts';
import { GITHUB } from './app/forges/github-events.ts';
import { createGitLabForge } from './app/forges/gitlab.ts';
import { GITLAB, GITLAB_SIDE } from './app/forges/gitlab-events.ts';
import type { GitLabKeys } from './app/forges/gitlab-hook-secrets.ts';
import { githubDoor } from './app/github-door.ts';
import { gitlabDoor } from './app/gitlab-door.ts';
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

/** One of them, opened. */
type Opened = ForgeLink & { readonly source: Source; readonly deliveries: Deliveries; readonly door: Door };

type Around = {
  /** This Mayfly's name in the labels of what it makes. */
  readonly instance: string;
  /** How GitLab's webhooks are known, where it is not by the secrets of the settings, one for all. */
  readonly gitlabKeys?: GitLabKeys | undefined;
  readonly log: Logger;
};

/** Every forge that is configured. */
export function connectForges(config: Config, around: Around): Forges {
  const opened = [...connectGitHub(config, around), ...connectGitLab(config, around)];
  const byId = <T>(part: (one: Opened) => T): ReadonlyMap<ForgeId, T> => new Map(opened.map((one) => [one.forge.id, part(one)]));
  return {
    links: byId(({ forge, facts, voice, confirm, forget }) => ({ forge, facts, voice, confirm, forget })),
    sources: byId(({ source }) => source),
    deliveries: byId(({ deliveries }) => deliveries),
    doors: opened.map(({ door }) => door),
  };
}

function connectGitHub({ github }: Config, { instance, log }: Around): readonly Opened[] {
  if (github === null) return [];
  const app = openGitHub(github, { log });
  const forge = { id: GITHUB, kind: 'github', address: app.serverUrl } as const;
  return [{ forge, ...createGitHubForge(app, instance), door: githubDoor(app) }];
}

function connectGitLab({ gitlab, publicUrl, previewUrl }: Config, { gitlabKeys }: Around): readonly Opened[] {
  if (gitlab === null) return [];
  const hookUrl = new URL('/api/gitlab/webhooks', publicUrl).href;
  const forge = { id: GITLAB, kind: 'gitlab', address: gitlab.url } as const;
  const door = gitlabDoor(GITLAB_SIDE, gitlabKeys ?? (() => [gitlab]));
  return [{ forge, ...createGitLabForge({ ...GITLAB_SIDE, ...gitlab, hookUrl, previewUrl }), door }];
}

/** @throws Error when the forge is not configured any more */
export function getSource({ sources }: Forges, forge: ForgeId): Source {
  const source = sources.get(forge);
  if (source === undefined) throw new Error(`The forge ${forge} is not configured`);
  return source;
}
