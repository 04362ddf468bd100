import { parseDocument } from 'yaml';
import { z } from 'zod';
import { NAME_KEYS, problemsOf } from '../../infra/platform/names.ts';
import type { Kept, PlannedServer, PlatformPlan } from '../../infra/platform/plan.ts';
import type { ConfigProblem } from '../config-reader.ts';
import { gatePassword } from '../derived.ts';
import { parseRegions } from '../site/region.ts';

/** Everything but what is made once, and what follows from that. */
export type PlatformSettings = Omit<PlatformPlan, 'kept' | 'gatePassword'>;

const MAX_FILE = 64 * 1024;
const host = z
  .string()
  .regex(/^(?=.{4,200}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]$/, 'is not a host name in lower case');
const variable = z.string().regex(/^[A-Z][A-Z0-9_]*$/, 'is not the name of a variable');
const regionList = z.union([z.string(), z.array(z.string())]).transform((given, context) => {
  const parsed = parseRegions(Array.isArray(given) ? given.join(',') : given);
  if ('regions' in parsed && parsed.regions.length > 0) return parsed.regions;
  const words = 'unknown' in parsed ? parsed.unknown.map(({ word }) => JSON.stringify(word)).join(', ') : 'nothing';
  context.addIssue({ code: 'custom', message: `names ${words}, which is no region` });
  return z.NEVER;
});

/** PostgreSQL of Cloud SQL: `db-g1-small` shares a processor, `db-custom-1-3840` has one and 3.75 GiB. */
const server = (fallback: { readonly tier: string; readonly protected: boolean }) =>
  z
    .strictObject({
      version: z.enum(['POSTGRES_16', 'POSTGRES_17', 'POSTGRES_18']).default('POSTGRES_17'),
      tier: z
        .string()
        .regex(/^db-[a-z0-9-]+$/, 'is not a tier like db-custom-1-3840')
        .default(fallback.tier),
      disk: z.int().min(10).max(65_536).default(10),
      available: z.enum(['zonal', 'regional']).default('zonal'),
      protected: z.boolean().default(fallback.protected),
    })
    .prefault({})
    .transform(({ version, tier, disk, available, protected: isProtected }): PlannedServer => {
      const availability = available === 'zonal' ? 'ZONAL' : 'REGIONAL';
      return { version, tier, diskGb: disk, availability, guard: isProtected ? 'protected' : 'unprotected' };
    });

const fileSchema = z.strictObject({
  project: z.string().regex(/^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, 'is not a project’s id'),
  instance: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,17}[a-z0-9]$/, 'is not a label: a lower-case letter, then at most 18 letters, digits and dashes')
    .default('mayfly'),
  regions: regionList.default(['europe-west1']),
  home: regionList.optional(),
  domain: host,
  previews: host,
  zone: z
    .union([z.string().transform((name) => ({ name, make: null })), z.strictObject({ name: z.string(), make: host })])
    .nullable()
    .default(null),
  image: z.string().regex(/^[a-z0-9.-]+\/\S+[:@]\S+$/, 'is not an image with its registry and a tag or digest'),
  // Each launch takes half a GiB, and four run at once.
  workers: z
    .strictObject({
      count: z.int().min(1).max(50).default(1),
      cpu: z.literal([1, 2, 4, 8]).default(2),
      memory: z.int().min(2).max(32).default(4),
    })
    .prefault({})
    .transform(({ count, cpu, memory }) => ({ count, cpu, memoryGb: memory })),
  settings: z.record(variable, z.string()).default({}),
  secrets: z.record(variable, z.string()).default({}),
  database: server({ tier: 'db-custom-1-3840', protected: true }),
  'preview-database': server({ tier: 'db-g1-small', protected: false }),
  redis: z.int().min(1).max(300).nullable().default(null),
  images: z.strictObject({ days: z.int().min(1).max(3_650) }).default({ days: 60 }),
  logs: z.strictObject({ days: z.int().min(1).max(3_650) }).default({ days: 90 }),
  budget: z
    .strictObject({
      account: z.string().regex(/^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$/, 'is not a billing account’s id'),
      amount: z.int().min(1),
      currency: z.string().regex(/^[A-Z]{3}$/, 'is not a currency like EUR'),
    })
    .nullable()
    .default(null),
  names: z.partialRecord(z.enum(NAME_KEYS), z.string()).default({}),
});

const EXAMPLES: Readonly<Record<string, string>> = {
  project: 'project: acme-previews',
  instance: 'instance: mayfly',
  regions: 'regions: [eu-belgium, us-iowa]',
  home: 'home: europe-west1',
  domain: 'domain: mayfly.acme.dev',
  previews: 'previews: preview.acme.dev',
  zone: 'zone: { name: acme-dev, make: acme.dev }',
  image: 'image: europe-west1-docker.pkg.dev/acme-previews/tools/mayfly:0.2.0',
  settings: "settings: { MAYFLY_REPOSITORIES: 'acme/*' }",
  secrets: 'secrets: { MAYFLY_API_TOKEN: mayfly-api-token }',
  budget: 'budget: { account: 012345-6789AB-CDEF01, amount: 200, currency: EUR }',
  names: 'names: { network: acme-vpc }',
};

/** What only the platform itself can know. */
const TAKEN = [
  ...['MAYFLY_ROLES', 'MAYFLY_TARGET', 'MAYFLY_PLATFORM', 'MAYFLY_INSTANCE', 'MAYFLY_REGION', 'MAYFLY_REGIONS', 'MAYFLY_PUBLIC_URL'],
  ...['MAYFLY_PREVIEW_URL', 'MAYFLY_TRUSTED_PROXIES', 'MAYFLY_GATE_PORT', 'PORT', 'GOOGLE_CLOUD_PROJECT', 'MAYFLY_SECRET_KEY'],
  ...['DATABASE_URL', 'MAYFLY_PREVIEW_DATABASE_URL', 'REDIS_URL'],
];

/** The settings, from the file's text and what was given above it; or every problem in them. */
export function parseSettings(
  text: string,
  given: Readonly<Record<string, string>>,
): { readonly settings: PlatformSettings } | { readonly problems: readonly ConfigProblem[] } {
  const read = readYaml(text);
  if ('wrong' in read) return { problems: [{ name: 'platform.yml', wrong: read.wrong, example: EXAMPLES.project ?? '' }] };
  const result = fileSchema.safeParse({ ...read.value, ...given }, { reportInput: true });
  if (!result.success) return { problems: result.error.issues.flatMap(toProblems) };
  const settings = toSettings(result.data);
  const problems = problemsTogether(settings);
  return problems.length > 0 ? { problems } : { settings };
}

function readYaml(text: string): { readonly value: object } | { readonly wrong: string } {
  if (text.length > MAX_FILE) return { wrong: `has more than ${MAX_FILE / 1024} KiB` };
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error) return { wrong: `is not YAML: ${error.message.split('\n')[0]}` };
  const value: unknown = document.toJS({ maxAliasCount: 0 });
  if (value === null) return { value: {} };
  return typeof value === 'object' && !Array.isArray(value) ? { value } : { wrong: 'is not a list of settings with their values' };
}

function toSettings(file: z.infer<typeof fileSchema>): PlatformSettings {
  const { project, instance, regions, domain, previews, zone, image, workers, settings, secrets, redis, images, logs, budget } = file;
  const [home = ''] = file.home ?? regions;
  const stores = { database: file.database, previews: file['preview-database'], redisGb: redis, imageDays: images.days };
  return {
    project,
    instance,
    places: { home, regions },
    hosts: { control: domain, previews, zone },
    mayfly: { image, workers, settings, secrets },
    stores,
    watch: { logDays: logs.days, budget },
    names: file.names,
  };
}

/** What Google would refuse later, said at once. */
function problemsTogether({ project, instance, places, hosts, mayfly, names }: PlatformSettings): readonly ConfigProblem[] {
  const problem = (name: string, wrong: string): ConfigProblem => ({ name, wrong, example: EXAMPLES[name] ?? `${name}: …` });
  const filling = { project, instance, generation: '0'.repeat(8) };
  const variables = [...Object.keys(mayfly.settings), ...Object.keys(mayfly.secrets)];
  return [
    ...(hosts.control === hosts.previews || hosts.control.endsWith(`.${hosts.previews}`)
      ? [problem('domain', 'lies under previews, where every name is a site’s')]
      : []),
    ...variables.filter((name) => TAKEN.includes(name)).map((name) => problem('settings', `sets ${name}, which the platform sets itself`)),
    ...problemsOf(names, filling, places).map((wrong) => problem('names', `is not right: ${wrong}`)),
  ];
}

function toProblems(issue: z.core.$ZodIssue): readonly ConfigProblem[] {
  const name = issue.path.map(String).join('.');
  const example = EXAMPLES[String(issue.path[0])] ?? `${String(issue.path[0])}: …`;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      name: [...issue.path.map(String), key].join('.'),
      wrong: 'is no setting of the platform',
      example: `leave ${key} out`,
    }));
  }
  if (issue.input === undefined) return [{ name, wrong: 'is missing', example }];
  return [
    { name, wrong: issue.code === 'custom' || issue.code === 'invalid_format' ? issue.message : `is wrong: ${issue.message}`, example },
  ];
}

export const toPlan = (settings: PlatformSettings, kept: Kept): PlatformPlan => ({
  ...settings,
  kept,
  gatePassword: gatePassword(Buffer.from(kept.secretKey, 'base64')),
});
