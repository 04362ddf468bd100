import { resolve } from 'node:path';
import ipaddr from 'ipaddr.js';
import { type Config, ROLES, type Role } from './config.ts';
import { meant, type Parsed, parseServerUrl, parseWebUrl, quoted, type Reader } from './config-reader.ts';
import { parseRegions, REGION_WORDS, regionsOf } from './site/region.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 86_400 * SECOND;
const SECRET_KEY_BYTES = 32;
const API_TOKEN_LENGTH = 32;
const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

type Part<Keys extends keyof Config> = Pick<Config, Keys>;

/** Where we listen, how people reach us, and whose word on that is believed. */
export function readAddresses(reader: Reader): Part<'port' | 'gatePort' | 'publicUrl' | 'previewUrl' | 'trustedProxies'> {
  // 0 is any free port.
  const port = reader.integer({ name: 'PORT', example: 'PORT=3000', fallback: 3000 }, { from: 0, to: 65_535 });
  const gatePort = reader.integer({ name: 'MAYFLY_GATE_PORT', example: 'MAYFLY_GATE_PORT=8080', fallback: 8080 }, { from: 0, to: 65_535 });
  const publicUrl = reader.parsed(
    { name: 'MAYFLY_PUBLIC_URL', example: 'MAYFLY_PUBLIC_URL=https://mayfly.acme.dev', fallback: new URL(`http://localhost:${port}`) },
    (text) => parseWebUrl(text, 'none'),
  );
  const previewUrl = reader.parsed(
    {
      name: 'MAYFLY_PREVIEW_URL',
      example: 'MAYFLY_PREVIEW_URL=https://preview.acme.dev',
      fallback: new URL(`http://preview.localhost:${gatePort}`),
    },
    parsePreviewUrl,
  );
  return { port, gatePort, publicUrl, previewUrl, trustedProxies: readProxies(reader) };
}

function parsePreviewUrl(text: string): Parsed<URL> {
  const parsed = parseWebUrl(text, 'none');
  if ('wrong' in parsed) return parsed;
  const host = parsed.value.hostname.replace(/^\[|\]$/g, '');
  return ipaddr.isValid(host) ? { wrong: 'is an IP address; every site gets a name under it, so it must be a host name' } : parsed;
}

function readProxies(reader: Reader): readonly string[] {
  const example = 'MAYFLY_TRUSTED_PROXIES=10.0.0.0/8,fd00::/8';
  return (reader.list('MAYFLY_TRUSTED_PROXIES') ?? []).flatMap((text) => {
    if (ipaddr.isValidCIDR(text)) return [text];
    // One address is a range of one.
    if (ipaddr.IPv4.isValidFourPartDecimal(text)) return [`${text}/32`];
    if (ipaddr.IPv6.isValid(text)) return [`${text}/128`];
    reader.problem({ name: 'MAYFLY_TRUSTED_PROXIES', wrong: `${quoted(text)} is not an address range`, example });
    return [];
  });
}

/** What this process is and how it runs. */
export function readRunning(reader: Reader): Part<'dataDir' | 'roles' | 'target' | 'sandbox' | 'command' | 'instance' | 'logLevel'> {
  const target = reader.oneOf<Config['target']>({ name: 'MAYFLY_TARGET', example: 'MAYFLY_TARGET=local', fallback: 'local' }, [
    'local',
    'gcp',
  ]);
  return {
    dataDir: resolve(reader.text('MAYFLY_DATA_DIR') ?? '.mayfly'),
    roles: readRoles(reader),
    target,
    sandbox: reader.oneOf<Config['sandbox']>({ name: 'MAYFLY_SANDBOX', example: 'MAYFLY_SANDBOX=auto', fallback: 'auto' }, [
      'auto',
      'bubblewrap',
      'none',
    ]),
    command: reader.parsed({ name: 'MAYFLY_COMMAND', example: 'MAYFLY_COMMAND=/preview', fallback: '/preview' }, (text) =>
      /^\/[a-z][a-z0-9-]{0,38}$/i.test(text)
        ? { value: text.toLowerCase() }
        : { wrong: `${quoted(text)} is not a slash and a word of letters, digits and dashes` },
    ),
    instance: reader.parsed<string | null>({ name: 'MAYFLY_INSTANCE', example: 'MAYFLY_INSTANCE=team-a', fallback: null }, (text) =>
      /^[a-z][a-z0-9-]{0,30}$/.test(text)
        ? { value: text }
        : { wrong: `${quoted(text)} is not a label: a lower-case letter, then at most 30 letters, digits and dashes` },
    ),
    logLevel: reader.oneOf<string>({ name: 'LOG_LEVEL', example: 'LOG_LEVEL=info', fallback: 'info' }, LOG_LEVELS),
  };
}

function readRoles(reader: Reader): ReadonlySet<Role> {
  const example = 'MAYFLY_ROLES=web,gate,worker,clock';
  const words = reader.list('MAYFLY_ROLES');
  if (words === undefined) return new Set(ROLES);
  const roles = words.flatMap((word) => {
    const role = ROLES.find((one) => one === word);
    if (role === undefined) reader.problem({ name: 'MAYFLY_ROLES', wrong: `${quoted(word)} is no role${meant(word, ROLES)}`, example });
    return role === undefined ? [] : [role];
  });
  if (words.length === 0) reader.problem({ name: 'MAYFLY_ROLES', wrong: 'names no role', example });
  return new Set(roles);
}

/** For whom sites are made, how many and how long they live. */
export function readLimits(reader: Reader): Part<'repositories' | 'terms' | 'maxSites' | 'idleMs' | 'sweepEveryMs'> {
  // From a second: whoever tries Mayfly out wants to see an end.
  const life = { from: SECOND, to: 3_650 * DAY };
  const ttlMs = reader.duration({ name: 'MAYFLY_TTL', example: 'MAYFLY_TTL=3d', fallback: 3 * DAY }, life);
  const maxTtlMs = reader.duration({ name: 'MAYFLY_MAX_TTL', example: 'MAYFLY_MAX_TTL=14d', fallback: Math.max(14 * DAY, ttlMs) }, life);
  if (ttlMs > maxTtlMs) reader.problem({ name: 'MAYFLY_MAX_TTL', wrong: 'is shorter than MAYFLY_TTL', example: 'MAYFLY_MAX_TTL=14d' });
  return {
    terms: { ttlMs, maxTtlMs },
    repositories: readRepositories(reader),
    maxSites: reader.integer({ name: 'MAYFLY_MAX_SITES', example: 'MAYFLY_MAX_SITES=5', fallback: 5 }, { from: 1, to: 10_000 }),
    idleMs: reader.duration({ name: 'MAYFLY_IDLE', example: 'MAYFLY_IDLE=15m', fallback: 15 * MINUTE }, { from: SECOND, to: 365 * DAY }),
    sweepEveryMs: reader.duration(
      { name: 'MAYFLY_SWEEP_EVERY', example: 'MAYFLY_SWEEP_EVERY=5s', fallback: 5 * SECOND },
      { from: SECOND, to: 5 * MINUTE },
    ),
  };
}

function readRepositories(reader: Reader): Config['repositories'] {
  const example = 'MAYFLY_REPOSITORIES=acme/*,!acme/secret';
  return (reader.list('MAYFLY_REPOSITORIES') ?? ['*']).flatMap((text) => {
    const pattern = text.replace(/^!/, '');
    if (/^(?:\*|[\w.*-]+(?:\/[\w.*-]+)+)$/.test(pattern)) return [{ pattern, allow: !text.startsWith('!') }];
    reader.problem({ name: 'MAYFLY_REPOSITORIES', wrong: `${quoted(text)} is no pattern like owner/name, owner/* or *`, example });
    return [];
  });
}

/** The regions, by Google's names. */
export function readPlaces(reader: Reader): Part<'region' | 'regions'> {
  const example = 'MAYFLY_REGION=eu-frankfurt';
  const region = reader.parsed({ name: 'MAYFLY_REGION', example, fallback: 'europe-west1' }, (text) => {
    const [name, ...others] = regionsOf(text);
    if (name !== undefined && others.length === 0) return { value: name };
    return {
      wrong:
        name === undefined
          ? `${quoted(text)} is no region${meant(text, REGION_WORDS)}`
          : `${quoted(text)} is a group; name one region of it`,
    };
  });
  const regions = reader.parsed<readonly string[]>(
    { name: 'MAYFLY_REGIONS', example: 'MAYFLY_REGIONS=eu-frankfurt,usa', fallback: [region] },
    (text) => {
      const parsed = parseRegions(text);
      if ('regions' in parsed) return { value: parsed.regions };
      return { wrong: parsed.unknown.map(({ word }) => `${quoted(word)} is no region${meant(word, REGION_WORDS)}`).join('; ') };
    },
  );
  if (!regions.includes(region)) {
    reader.problem({
      name: 'MAYFLY_REGIONS',
      wrong: `does not allow the default region ${region}`,
      example: `MAYFLY_REGIONS=${region},usa`,
    });
  }
  return { region, regions };
}

/** The servers behind us. */
export function readStores(reader: Reader): Part<'databaseUrl' | 'previewDatabaseUrl' | 'redisUrl' | 'pulumiBackendUrl'> {
  const server = (name: string, example: string, protocols: readonly string[]): string | null =>
    reader.parsed<string | null>({ name, example: `${name}=${example}`, fallback: null }, (text) => parseServerUrl(text, protocols));
  const postgres = ['postgres:', 'postgresql:'];
  return {
    databaseUrl: server('DATABASE_URL', 'postgres://mayfly:…@db.acme.dev/mayfly', postgres),
    previewDatabaseUrl: server('MAYFLY_PREVIEW_DATABASE_URL', 'postgres://admin:…@previews-db.acme.dev/postgres', postgres),
    redisUrl: socketPath(server('REDIS_URL', 'redis://:…@redis.acme.dev:6379', ['redis:', 'rediss:', 'unix:'])),
    pulumiBackendUrl: server('PULUMI_BACKEND_URL', 'postgres://pulumi:…@db.acme.dev/pulumi', [...postgres, 's3:', 'gs:', 'azblob:']),
  };
}

/** `unix:///run/redis.sock` is the path in it; other addresses stay as they are. */
const socketPath = (url: string | null): string | null => (url?.startsWith('unix:') ? decodeURIComponent(new URL(url).pathname) : url);

/** The key that encrypts what is stored; null when it is to be made. */
export function readSecretKey(reader: Reader): Buffer | null {
  const example = 'MAYFLY_SECRET_KEY=$(openssl rand -base64 32)';
  const text = reader.secret({ name: 'MAYFLY_SECRET_KEY', example }, 1);
  if (text === null) return null;
  const key = Buffer.from(text, 'base64');
  if (key.length === SECRET_KEY_BYTES && key.toString('base64') === text) return key;
  reader.problem({ name: 'MAYFLY_SECRET_KEY', wrong: `is not the base64 of ${SECRET_KEY_BYTES} bytes`, example });
  return null;
}

/** An operator's token for the API; null when the API is closed. */
export function readApiToken(reader: Reader): string | null {
  return reader.secret({ name: 'MAYFLY_API_TOKEN', example: 'MAYFLY_API_TOKEN=$(openssl rand -hex 32)' }, API_TOKEN_LENGTH);
}
