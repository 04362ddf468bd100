import type { Trust } from './plan.ts';

/** Whoever acts in the project. */
export const IDENTITIES = ['web', 'gate', 'worker', 'build-trusted', 'build-untrusted', 'site-trusted', 'site-untrusted'] as const;
export type Identity = (typeof IDENTITIES)[number];

export const WHO: Readonly<Record<Identity, string>> = {
  web: 'the control plane: webhooks, `/setup`, API',
  gate: 'the proxy in front of every site',
  worker: 'the worker pool: launches, ends and compares',
  'build-trusted': 'builds of the repository’s own branches',
  'build-untrusted': 'builds of approved commits of forks',
  'site-trusted': 'sites of the repository’s own branches',
  'site-untrusted': 'sites of forks',
};

/** On what a role is granted. `secret`: only the named settings of Mayfly in Secret Manager. */
export type Scope =
  | { readonly on: 'project' }
  | { readonly on: 'secrets' }
  /** `below`: only objects whose names start so. */
  | { readonly on: 'buckets'; readonly below: string }
  | { readonly on: 'repositories'; readonly kinds: readonly ('images' | 'caches')[]; readonly trusts: readonly Trust[] }
  | { readonly on: 'accounts'; readonly accounts: readonly Identity[] };

/** `sites` is the role of Mayfly's own, `SITES_PERMISSIONS`. */
export type Grant = { readonly to: Identity; readonly role: `roles/${string}` | 'sites'; readonly scope: Scope; readonly why: string };

/**
 * What the worker may on Cloud Run. Google's `roles/run.developer` could not let the gate in, and `roles/run.admin` would bring jobs
 * and worker pools with it.
 */
export const SITES_PERMISSIONS = [
  'run.locations.list',
  'run.operations.get',
  'run.operations.list',
  'run.revisions.delete',
  'run.revisions.get',
  'run.revisions.list',
  'run.services.create',
  'run.services.delete',
  'run.services.get',
  'run.services.getIamPolicy',
  'run.services.list',
  'run.services.setIamPolicy',
  'run.services.update',
] as const;

const READS_SETTINGS = { role: 'roles/secretmanager.secretAccessor', scope: { on: 'secrets' }, why: 'reads its own settings' } as const;

const buildGrants = (to: 'build-trusted' | 'build-untrusted', trust: Trust): readonly Grant[] => [
  { to, role: 'roles/logging.logWriter', scope: { on: 'project' }, why: 'writes the build’s log' },
  {
    to,
    role: 'roles/storage.objectViewer',
    scope: { on: 'buckets', below: `sources/${trust}/` },
    why: 'reads the source archives of its own trust',
  },
  {
    to,
    role: 'roles/artifactregistry.writer',
    scope: { on: 'repositories', kinds: ['images', 'caches'], trusts: [trust] },
    why: 'writes images and caches of its own trust',
  },
];

/** Every role that anybody of Mayfly's has. The program grants this and nothing else, and README.md shows it. */
export const GRANTS: readonly Grant[] = [
  { to: 'web', ...READS_SETTINGS },
  { to: 'gate', ...READS_SETTINGS, why: 'reads its one secret: the address of the database, as a role that may do little there' },
  { to: 'worker', ...READS_SETTINGS },
  { to: 'worker', role: 'sites', scope: { on: 'project' }, why: 'makes, changes and removes sites, and lets the gate call them' },
  { to: 'worker', role: 'roles/cloudbuild.builds.editor', scope: { on: 'project' }, why: 'starts, follows and cancels builds' },
  { to: 'worker', role: 'roles/logging.viewer', scope: { on: 'project' }, why: 'shows the logs of builds and sites' },
  {
    to: 'worker',
    role: 'roles/storage.objectUser',
    scope: { on: 'buckets', below: '' },
    why: 'puts source archives there and removes them',
  },
  {
    to: 'worker',
    role: 'roles/artifactregistry.repoAdmin',
    scope: { on: 'repositories', kinds: ['images', 'caches'], trusts: ['trusted', 'untrusted'] },
    why: 'finds images, deploys them and removes them with their site',
  },
  {
    to: 'worker',
    role: 'roles/iam.serviceAccountUser',
    scope: { on: 'accounts', accounts: ['build-trusted', 'build-untrusted', 'site-trusted', 'site-untrusted'] },
    why: 'starts builds and sites as them',
  },
  ...buildGrants('build-trusted', 'trusted'),
  ...buildGrants('build-untrusted', 'untrusted'),
];

/** What is granted later, by the worker: for the table. */
const GATE_CALLS = ['`gate`', '`roles/run.invoker`', 'each site', 'calls the site; nobody else may'] as const;

/** The table of README.md and docs/google-cloud.md, in Markdown. */
export function renderRoles(): string {
  const rows = IDENTITIES.flatMap((identity): readonly (readonly string[])[] => {
    const own = GRANTS.filter(({ to }) => to === identity);
    if (own.length === 0) return [[`\`${identity}\``, 'none', '–', `${WHO[identity]}: a token of it opens nothing`]];
    const lines = own.map(({ role, scope, why }) => [`\`${identity}\``, roleWords(role), scopeWords(scope), why]);
    return identity === 'gate' ? [...lines, GATE_CALLS] : lines;
  });
  return [['identity', 'role', 'on', 'why'], ['---', '---', '---', '---'], ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

const roleWords = (role: Grant['role']): string => (role === 'sites' ? 'one of its own, for Cloud Run services alone' : `\`${role}\``);

function scopeWords(scope: Scope): string {
  switch (scope.on) {
    case 'project':
      return 'the project';
    case 'secrets':
      return 'the secrets it is given';
    case 'buckets':
      return `the bucket of each region${scope.below === '' ? '' : `, below \`${scope.below}\``}`;
    case 'repositories':
      return `the repositories of each region${scope.trusts.length === 1 ? ` for ${scope.trusts.join()}` : ''}`;
    case 'accounts':
      return scope.accounts.map((name) => `\`${name}\``).join(', ');
    default:
      return scope satisfies never;
  }
}
