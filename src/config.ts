// Types first; the reader follows.
import type { Terms } from './site/deadline.ts';

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
export type GitLabConfig = {
  readonly url: string;
  readonly token: string;
  readonly webhookSecret: string | null;
  readonly signingToken: string | null;
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
  readonly gitlab: GitLabConfig | null;
  readonly pulumiBackendUrl: string | null;
  readonly logLevel: string;
};
