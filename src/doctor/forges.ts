import type { Logger } from 'pino';
import { type Granted, githubHealth } from '../app/forges/github-health.ts';
import { gitlabHooks, type HookHealth } from '../app/forges/gitlab-health.ts';
import { openGitLabSetup, type Project } from '../app/forges/gitlab-setup.ts';
import { CONNECT_PROBLEMS } from '../app/setup/gitlab-page.ts';
import { readAppFile, webhookUrl } from '../app/setup/manifest.ts';
import type { Config, GitHubConfig, GitLabConfig } from '../config.ts';
import { examined, type Finding, fail, ok, warn } from './finding.ts';
import { clockFinding } from './stores.ts';

export type Connected = { readonly github: GitHubConfig | null; readonly gitlab: GitLabConfig | null };
type Around = { readonly config: Config; readonly log: Logger };

/** As many of a token's projects are looked at. */
const MAX_PROJECTS = 100;
/** GitLab asks for few requests at the same time. */
const AT_ONCE = 8;

/** What the forges say of us. */
export async function examineForges({ github, gitlab }: Connected, around: Around): Promise<readonly Finding[]> {
  if (github === null && gitlab === null)
    return [warn('forges', 'none is connected', 'Open /setup; `npm run setup-code` prints the code for it.')];
  const looks = [
    ...(github
      ? [examined('GitHub', 'See to APP_ID and PRIVATE_KEY, or connect it anew at /setup.', () => examineGitHub(github, around))]
      : []),
    ...(gitlab ? [examined('GitLab', 'See to GITLAB_URL, and that this machine reaches it.', () => examineGitLab(gitlab, around))] : []),
  ];
  return (await Promise.all(looks)).flat();
}

async function examineGitHub(github: GitHubConfig, { config, log }: Around): Promise<readonly Finding[]> {
  const health = await githubHealth(github, log);
  const { serverUrl } = github;
  return [
    ok('GitHub', `knows the App ${github.appId}`),
    ...(health.date ? [clockFinding(new URL(serverUrl).host, health.date.getTime() - Date.now())] : []),
    grantedFinding(health.app),
    installedFinding(health.installations),
    hookFinding(health.hookUrl, webhookUrl(config.publicUrl, 'github')),
    deliveredFinding('GitHub webhooks', health.deliveries),
  ];
}

const LEVELS = ['read', 'write', 'admin'];
const covers = (has: string | undefined, wants: string): boolean => LEVELS.indexOf(has ?? '') >= LEVELS.indexOf(wants);

/** What `app.yml` wants and is not granted. */
function lacking({ permissions, events }: Granted): readonly string[] {
  const wanted = readAppFile();
  return [
    ...wanted.permissions.filter(({ name, level }) => !covers(permissions[name], level)).map(({ name, level }) => `${name}: ${level}`),
    ...wanted.events.filter(({ name }) => !events.includes(name)).map(({ name }) => `event ${name}`),
  ];
}

function grantedFinding(app: Granted): Finding {
  const what = 'GitHub permissions';
  const missing = lacking(app);
  if (missing.length > 0)
    return fail(what, `lacks ${missing.join(', ')}`, "Add them on the App's settings page, under Permissions & events.");
  const wanted = new Map(readAppFile().permissions.map(({ name, level }) => [name, level]));
  const more = Object.entries(app.permissions).filter(([name, level]) => !covers(wanted.get(name), level));
  if (more.length === 0) return ok(what, 'just those of app.yml');
  return warn(
    what,
    `more than are needed: ${more.map(([name, level]) => `${name}: ${level}`).join(', ')}`,
    "Take them away on the App's settings page.",
  );
}

function installedFinding(installations: readonly (Granted & { readonly on: string })[]): Finding {
  const what = 'GitHub installations';
  if (installations.length === 0) return warn(what, 'the App is installed nowhere', "Install it from the App's page on GitHub.");
  const behind = installations.filter((one) => lacking(one).length > 0);
  if (behind.length === 0) return ok(what, `${installations.length}, all with what is needed`);
  const names = behind.map(({ on }) => on).join(', ');
  return fail(what, `${names} granted less than is needed`, 'Let an owner accept the new permissions: GitHub has sent them a mail.');
}

function hookFinding(told: string | null, ours: string): Finding {
  const what = 'GitHub webhook';
  if (told === ours) return ok(what, `leads to ${ours}`);
  return fail(
    what,
    told ? `leads to ${told}` : 'leads nowhere',
    `Set the App's webhook URL to ${ours}, or MAYFLY_PUBLIC_URL to where it leads.`,
  );
}

type Delivered = { readonly all: number; readonly failed: number; readonly lastStatus: number | null };

function deliveredFinding(what: string, { all, failed, lastStatus }: Delivered): Finding {
  if (all === 0) return warn(what, 'none was sent lately', 'Open a pull request to see one.');
  if (failed === 0) return ok(what, `the last ${all} arrived`);
  const found = `${failed} of the last ${all} did not arrive`;
  const todo = 'See the public address above; what was missed is asked for again by itself.';
  return lastStatus !== null && lastStatus >= 200 && lastStatus < 300
    ? warn(what, found, todo)
    : fail(what, `${found}, the newest among them (${lastStatus === 0 ? 'no answer' : lastStatus})`, todo);
}

type Looked = { readonly project: Project; readonly hooks: Awaited<ReturnType<typeof gitlabHooks>> };

async function examineGitLab({ url, token }: GitLabConfig, { config }: Around): Promise<readonly Finding[]> {
  const setup = openGitLabSetup({ url, token });
  const problem = await setup.problem();
  if (problem !== undefined)
    return [fail('GitLab', CONNECT_PROBLEMS[problem].replaceAll('`', ''), 'Connect it anew: at /setup, or with npm run connect.')];
  const projects = (await setup.projects(null)) ?? [];
  const hook = webhookUrl(config.publicUrl, 'gitlab');
  const looked: Looked[] = [];
  for (let from = 0; from < Math.min(projects.length, MAX_PROJECTS); from += AT_ONCE) {
    const some = projects.slice(from, from + AT_ONCE);
    looked.push(
      ...(await Promise.all(some.map(async (project) => ({ project, hooks: await gitlabHooks({ url, token }, project.id, hook) })))),
    );
  }
  const connected = looked.filter(({ hooks }) => hooks !== 'closed' && hooks.length > 0);
  const known = ok('GitLab', `knows the token, a Maintainer of ${projects.length} ${projects.length === 1 ? 'project' : 'projects'}`);
  if (connected.length === 0)
    return [known, warn('GitLab webhooks', `none leads to ${hook}`, 'Choose projects at /setup, or with npm run connect.')];
  return [known, ...connected.map(({ project, hooks }) => projectFinding(project, hooks === 'closed' ? [] : hooks))];
}

function projectFinding({ name }: Project, hooks: readonly HookHealth[]): Finding {
  const what = `webhook of ${name}`;
  if (hooks.length > 1) return warn(what, `${hooks.length} lead to us`, "Delete all but one in the project's settings.");
  const [hook] = hooks;
  if (hook?.state === 'off')
    return fail(
      what,
      'GitLab has disabled it after many failures',
      'See the public address above; then press Test on its page, which enables it.',
    );
  if (hook?.state === 'asleep')
    return fail(what, 'GitLab pauses it after failures', 'See the public address above; it is tried again by itself.');
  const { recent } = hook ?? {};
  if (!recent) return ok(what, 'enabled');
  if (recent.failed === 0)
    return recent.all === 0
      ? warn(what, 'enabled, none was sent lately', 'Open a merge request to see one.')
      : ok(what, `the last ${recent.all} arrived`);
  return warn(
    what,
    `${recent.failed} of the last ${recent.all} failed (${recent.last})`,
    'See the public address above; what was missed is asked for again by itself.',
  );
}
