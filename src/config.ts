import { readGitHub, readGitHubAddresses, readGitLab } from './config-forges.ts';
import { type GoogleConfig, type PulumiSecrets, readGoogle, readPulumiSecrets } from './config-platform.ts';
import { type ConfigProblem, type Environment, openReader } from './config-reader.ts';
import { readAddresses, readApiToken, readLimits, readPlaces, readRunning, readSecretKey, readStores } from './config-settings.ts';
import { checkTogether } from './config-together.ts';
import type { Terms } from './site/deadline.ts';
import { nearest } from './site/nearest.ts';

export type Role = 'web' | 'gate' | 'worker' | 'clock';
export const ROLES = ['web', 'gate', 'worker', 'clock'] as const satisfies readonly Role[];

export type GitHubConfig = {
  readonly appId: number;
  readonly privateKey: string;
  readonly webhookSecret: string;
  readonly clientId: string | null;
  readonly clientSecret: string | null;
  readonly apiUrl: string;
  readonly serverUrl: string;
};
/** Where GitHub is, whether or not an App is configured. */
export type GitHubAddresses = Pick<GitHubConfig, 'apiUrl' | 'serverUrl'>;
export type GitLabConfig = {
  readonly url: string;
  readonly token: string;
  readonly webhookSecret: string | null;
  /** Several while one takes the place of another. */
  readonly signingTokens: readonly string[];
};

export type Config = {
  readonly port: number;
  readonly gatePort: number;
  readonly publicUrl: URL;
  readonly previewUrl: URL;
  /** Absolute. */
  readonly dataDir: string;
  readonly roles: ReadonlySet<Role>;
  readonly target: 'local' | 'gcp';
  readonly sandbox: 'auto' | 'bubblewrap' | 'none';
  readonly apiToken: string | null;
  readonly repositories: readonly { readonly pattern: string; readonly allow: boolean }[];
  readonly terms: Terms;
  readonly maxSites: number;
  readonly idleMs: number;
  readonly sweepEveryMs: number;
  readonly trustedProxies: readonly string[];
  readonly previewDatabaseUrl: string | null;
  readonly region: string;
  readonly regions: readonly string[];
  readonly command: string;
  readonly instance: string | null;
  readonly secretKey: Buffer | null;
  readonly databaseUrl: string | null;
  readonly redisUrl: string | null;
  readonly github: GitHubConfig | null;
  readonly githubAddresses: GitHubAddresses;
  readonly gitlab: GitLabConfig | null;
  readonly pulumiBackendUrl: string | null;
  readonly pulumiSecrets: PulumiSecrets;
  /** Null on every other target than `gcp`. */
  readonly google: GoogleConfig | null;
  readonly logLevel: string;
};

/** Exit code of a start that the settings stop: EX_CONFIG of sysexits.h. */
export const CONFIG_EXIT_CODE = 78;

/** Everything that is wrong with the environment, at once. Its message is what the operator reads; it quotes no secret. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];
  constructor(problems: readonly ConfigProblem[], heading = 'Mayfly cannot start with these settings:') {
    const lines = problems.map(({ name, wrong, example }) => `  ${name} ${wrong}\n    for example: ${example}`);
    super(`${heading}\n${lines.join('\n')}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** Every variable of ours; another one that starts with `MAYFLY_` is a typing mistake. */
const OURS: readonly string[] = [
  'GATE_PORT',
  'PUBLIC_URL',
  'PREVIEW_URL',
  'DATA_DIR',
  'ROLES',
  'TARGET',
  'SANDBOX',
  'API_TOKEN',
  'REPOSITORIES',
  'TTL',
  'MAX_TTL',
  'MAX_SITES',
  'IDLE',
  'SWEEP_EVERY',
  'TRUSTED_PROXIES',
  'PREVIEW_DATABASE_URL',
  'REGION',
  'REGIONS',
  'COMMAND',
  'INSTANCE',
  'SECRET_KEY',
  'PLATFORM',
].map((name) => `MAYFLY_${name}`);

/** The environment, for the commands that are no Mayfly and read none of its settings. */
export const readEnvironment = (): Environment => process.env;

/** The environment as a Config. Throws ConfigError with every problem in it. */
export function loadConfig(environment: Environment = process.env): Config {
  const reader = openReader(environment);
  for (const name of Object.keys(environment)) {
    if (!name.startsWith('MAYFLY_') || OURS.includes(name)) continue;
    const near = nearest(name, OURS);
    const example = near === undefined ? `unset ${name}` : `${near}=…`;
    reader.problem({ name, wrong: `is not a setting of Mayfly${near === undefined ? '' : `; did you mean ${near}?`}`, example });
  }
  const githubAddresses = readGitHubAddresses(reader);
  const running = readRunning(reader);
  const config: Config = {
    ...readAddresses(reader),
    ...running,
    ...readLimits(reader),
    ...readPlaces(reader),
    ...readStores(reader),
    githubAddresses,
    github: readGitHub(reader, githubAddresses),
    gitlab: readGitLab(reader),
    apiToken: readApiToken(reader),
    secretKey: readSecretKey(reader),
    google: readGoogle(reader, running.target),
    pulumiSecrets: readPulumiSecrets(reader, running.target),
  };
  checkTogether(reader, config);
  if (reader.problems.length > 0) throw new ConfigError(reader.problems);
  return config;
}
