import { type Config, ROLES } from './config.ts';
import type { GoogleConfig } from './config-platform.ts';
import type { Reader } from './config-reader.ts';

const PREVIEW_DATABASE = 'MAYFLY_PREVIEW_DATABASE_URL';
const PREVIEW_DATABASE_EXAMPLE = `${PREVIEW_DATABASE}=postgres://admin:…@previews-db.acme.dev/postgres`;

/** What only shows when several settings are looked at together. */
export function checkTogether(reader: Reader, config: Config): void {
  const { roles, port, gatePort } = config;
  if (roles.has('web') && roles.has('gate') && port === gatePort && port !== 0) {
    const wrong = `is ${gatePort}, and so is PORT; they must differ`;
    reader.problem({ name: 'MAYFLY_GATE_PORT', wrong, example: 'MAYFLY_GATE_PORT=8080' });
  }
  if (roles.size < ROLES.length && config.databaseUrl === null && !reader.isSet('DATABASE_URL')) {
    const wrong = 'is missing: a process with some of the roles shares a database with those that have the others';
    reader.problem({ name: 'DATABASE_URL', wrong, example: 'DATABASE_URL=postgres://mayfly:…@db.acme.dev/mayfly' });
  }
  if (config.target === 'local' && roles.has('gate') !== roles.has('worker')) {
    const wrong = 'has one of gate and worker; on the target local they are in one process: sites run where they are built and served';
    reader.problem({ name: 'MAYFLY_ROLES', wrong, example: 'MAYFLY_ROLES=gate,worker' });
  }
  if (config.previewDatabaseUrl !== null && config.previewDatabaseUrl === config.databaseUrl) {
    const wrong = "is Mayfly's own database; the sites' code must not share it";
    reader.problem({ name: PREVIEW_DATABASE, wrong, example: PREVIEW_DATABASE_EXAMPLE });
  }
  if (config.target === 'gcp') checkGoogle(reader, config);
}

/** On Google Cloud the gate is reached from outside alone, and what a region needs was made before. */
function checkGoogle(reader: Reader, config: Config): void {
  const { previewUrl, google } = config;
  if (isThisMachine(previewUrl.hostname)) {
    const wrong = reader.isSet('MAYFLY_PREVIEW_URL')
      ? `is ${previewUrl.host}, which is this machine alone; on Google Cloud it is a domain with a wildcard that leads to the gate`
      : 'is missing: on Google Cloud the gate needs a domain with a wildcard of its own';
    reader.problem({ name: 'MAYFLY_PREVIEW_URL', wrong, example: 'MAYFLY_PREVIEW_URL=https://preview.acme.dev' });
  }
  if (google !== null) checkRegions(reader, config, google);
}

const isThisMachine = (host: string): boolean => host === 'localhost' || host.endsWith('.localhost');

function checkRegions(reader: Reader, { roles, regions, previewDatabaseUrl }: Config, { platform }: GoogleConfig): void {
  const described = Object.keys(platform.regions);
  const missing = regions.filter((region) => !described.includes(region));
  if (missing.length > 0) {
    const wrong = `does not describe ${missing.join(', ')}, which MAYFLY_REGIONS allows; it describes ${described.join(', ') || 'none'}`;
    reader.problem({ name: 'MAYFLY_PLATFORM', wrong, example: 'run: npm run platform -- up, with those regions, then outputs' });
  }
  const withDatabase = regions.filter((region) => typeof platform.regions[region]?.database === 'string');
  // Whoever makes no databases needs no password for them.
  if (roles.has('worker') && withDatabase.length > 0 && previewDatabaseUrl === null && !reader.isSet(PREVIEW_DATABASE)) {
    const wrong = `is missing: it has the user and the password for the databases of ${withDatabase.join(', ')}`;
    reader.problem({ name: PREVIEW_DATABASE, wrong, example: PREVIEW_DATABASE_EXAMPLE });
  }
}
