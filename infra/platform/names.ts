/** The platform's stacks are in a project of their own: a Mayfly never looks there. */
export const PLATFORM_PROJECT = 'mayfly-platform';

/** Google's rules for names, by kind: what a name may look like, and how that is said. */
const KINDS = {
  account: { pattern: /^[a-z](?:[a-z0-9-]{4,28}[a-z0-9])$/, rule: '6 to 30 lower-case letters, digits and dashes, a letter first' },
  plain: { pattern: /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/, rule: 'at most 63 lower-case letters, digits and dashes, a letter first' },
  service: { pattern: /^[a-z](?:[a-z0-9-]{0,47}[a-z0-9])?$/, rule: 'at most 49 lower-case letters, digits and dashes, a letter first' },
  redis: { pattern: /^[a-z](?:[a-z0-9-]{0,38}[a-z0-9])?$/, rule: 'at most 40 lower-case letters, digits and dashes, a letter first' },
  bucket: {
    pattern: /^(?!goog|.*google)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
    rule: '3 to 63 lower-case letters, digits and dashes, without "google" in it or "goog" first',
  },
  key: { pattern: /^[a-zA-Z0-9_-]{1,63}$/, rule: 'at most 63 letters, digits, dashes and underscores' },
  title: { pattern: /^.{1,60}$/, rule: 'at most 60 characters' },
  role: { pattern: /^[a-zA-Z0-9_.]{3,64}$/, rule: '3 to 64 letters, digits, points and underscores' },
  secret: { pattern: /^[a-zA-Z0-9_-]{1,240}$/, rule: 'letters, digits, dashes and underscores' },
} as const;

/** Every name of the platform, and what it is when nobody chose another. What has `{region}` is there once for each region. */
const DEFAULTS = {
  web: { kind: 'account', template: '{instance}-web' },
  gate: { kind: 'account', template: '{instance}-gate' },
  worker: { kind: 'account', template: '{instance}-worker' },
  'build-trusted': { kind: 'account', template: '{instance}-build' },
  'build-untrusted': { kind: 'account', template: '{instance}-build-fork' },
  'site-trusted': { kind: 'account', template: '{instance}-site' },
  'site-untrusted': { kind: 'account', template: '{instance}-site-fork' },
  'worker-role': { kind: 'role', template: '{instance}.sites' },
  'web-service': { kind: 'service', template: '{instance}-web' },
  'gate-service': { kind: 'service', template: '{instance}-gate' },
  'worker-pool': { kind: 'service', template: '{instance}-worker' },
  network: { kind: 'plain', template: '{instance}' },
  'home-subnetwork': { kind: 'plain', template: '{instance}-home' },
  subnetwork: { kind: 'plain', template: '{instance}-sites-{region}' },
  'home-range': { kind: 'plain', template: '{instance}-home-services' },
  'sites-range': { kind: 'plain', template: '{instance}-sites-services' },
  // Two rules are made of it, with up to 13 characters more.
  firewall: { kind: 'service', template: '{instance}-sites' },
  bucket: { kind: 'bucket', template: '{project}-{instance}-{region}' },
  'images-trusted': { kind: 'plain', template: '{instance}-images' },
  'images-untrusted': { kind: 'plain', template: '{instance}-images-fork' },
  'caches-trusted': { kind: 'plain', template: '{instance}-caches' },
  'caches-untrusted': { kind: 'plain', template: '{instance}-caches-fork' },
  database: { kind: 'plain', template: '{instance}-{generation}' },
  'preview-database': { kind: 'plain', template: '{instance}-{region}-{generation}' },
  redis: { kind: 'redis', template: '{instance}' },
  'key-ring': { kind: 'key', template: '{instance}-{generation}' },
  key: { kind: 'key', template: 'settings' },
  'database-secret': { kind: 'secret', template: '{instance}-database-url' },
  'gate-database-secret': { kind: 'secret', template: '{instance}-gate-database-url' },
  'preview-database-secret': { kind: 'secret', template: '{instance}-preview-database-url' },
  'key-secret': { kind: 'secret', template: '{instance}-secret-key' },
  'redis-secret': { kind: 'secret', template: '{instance}-redis-url' },
  edge: { kind: 'service', template: '{instance}-edge' },
  logs: { kind: 'plain', template: '{instance}-{generation}' },
  budget: { kind: 'title', template: '{instance}' },
} as const satisfies Readonly<Record<string, { readonly kind: keyof typeof KINDS; readonly template: string }>>;

export type NameKey = keyof typeof DEFAULTS;
/** Templates that somebody chose: `{project}`, `{instance}`, `{region}` and `{generation}` stand for what they say. */
export type Names = Readonly<Partial<Record<NameKey, string>>>;
export const NAME_KEYS = Object.keys(DEFAULTS).filter((key): key is NameKey => key in DEFAULTS);

/** What Google keeps apart by name alone. */
const APART: readonly (readonly NameKey[])[] = [
  ['web', 'gate', 'worker', 'build-trusted', 'build-untrusted', 'site-trusted', 'site-untrusted'],
  ['web-service', 'gate-service'],
  ['home-subnetwork', 'subnetwork'],
  ['home-range', 'sites-range', 'edge'],
  ['images-trusted', 'images-untrusted', 'caches-trusted', 'caches-untrusted'],
  ['database', 'preview-database'],
  ['database-secret', 'gate-database-secret', 'preview-database-secret', 'key-secret', 'redis-secret'],
];

type Filling = { readonly project: string; readonly instance: string; readonly generation: string; readonly region?: string };

/** A name: of what is there once for each region, in that region. Two Mayflys in one project differ by their instance. */
export function nameOf(key: NameKey, names: Names, { project, instance, generation, region = '' }: Filling): string {
  const values: Readonly<Record<string, string>> = { project, instance, generation, region };
  const name = (names[key] ?? DEFAULTS[key].template).replace(/\{(\w+)\}/g, (whole, word: string) => values[word] ?? whole);
  // The one kind of name that knows no dashes.
  return DEFAULTS[key].kind === 'role' ? name.replaceAll('-', '_') : name;
}

type Where = { readonly home: string; readonly regions: readonly string[] };

/** What Google would refuse among the names, as sentences; `regions` are those that each regional name is made for. */
export function problemsOf(names: Names, filling: Filling, { home, regions }: Where): readonly string[] {
  const isRegional = (key: NameKey): boolean => DEFAULTS[key].template.includes('{region}');
  const filled = (key: NameKey): readonly string[] =>
    (isRegional(key) ? regions : ['']).map((region) => nameOf(key, names, { ...filling, region }));
  // A subnetwork is its region's own: of those of the sites only one is where Mayfly's is.
  const meeting = (key: NameKey): readonly string[] =>
    key === 'subnetwork' ? [nameOf(key, names, { ...filling, region: home })] : filled(key);
  const wrong = NAME_KEYS.flatMap((key) => {
    const { kind, template } = DEFAULTS[key];
    if (isRegional(key) && !(names[key] ?? template).includes('{region}')) {
      return [`names.${key} needs {region} in it: there is one for each region`];
    }
    const bad = filled(key).find((name) => !KINDS[kind].pattern.test(name));
    return bad === undefined ? [] : [`names.${key} is ${JSON.stringify(bad)}, and Google takes ${KINDS[kind].rule}`];
  });
  const same = APART.flatMap((keys) =>
    keys.flatMap((key, at) =>
      keys.slice(at + 1).flatMap((other) => {
        const name = meeting(key).find((one) => meeting(other).includes(one));
        return name === undefined
          ? []
          : [`names.${key} and names.${other} are both ${JSON.stringify(name)}, and Google takes each name once`];
      }),
    ),
  );
  return [...wrong, ...same];
}
