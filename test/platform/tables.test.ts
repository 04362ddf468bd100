import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { NAME_KEYS, nameOf, problemsOf } from '../../infra/platform/names.ts';
import { RANGES_BY_REGION, rangeOf } from '../../infra/platform/network.ts';
import { GRANTS, IDENTITIES, renderRoles, SITES_PERMISSIONS } from '../../infra/platform/roles.ts';
import { PROJECT_PERMISSIONS } from '../../src/doctor/google-permissions.ts';
import { sitesRoleIn } from '../../src/provision/targets/gcp/run-attempts.ts';
import { REGION_WORDS, regionsOf } from '../../src/site/region.ts';

const REGIONS = [...new Set(REGION_WORDS.flatMap(regionsOf))];
const WHERE = { home: 'europe-west1', regions: ['europe-west1', 'europe-west3'] };
const PLACE = { project: 'acme-previews', instance: 'a'.repeat(19), generation: '0123abcd' };

test.each(['README.md', 'docs/google-cloud.md'])('%s shows the table of roles as it is granted', (file) => {
  const shown = /<!-- roles -->\n([\s\S]*?)\n<!-- \/roles -->/.exec(readFileSync(file, 'utf8'))?.[1];
  expect(shown).toBe(renderRoles());
});

test('the documentation tells after how long Cloud Run ends a request to a site', () => {
  const [docs, program] = [readFileSync('docs/google-cloud.md', 'utf8'), readFileSync('infra/preview-gcp.ts', 'utf8')];
  expect([docs.includes('A request to a site ends after five minutes'), program.includes("timeout: '300s'")]).toEqual([true, true]);
});

test('no identity has a role twice, and none has one of the roles that may everything', () => {
  const lines = GRANTS.map(({ to, role, scope }) => `${to} ${role} ${JSON.stringify(scope)}`);
  expect(new Set(lines).size).toBe(lines.length);
  expect(GRANTS.filter(({ role }) => /owner|editor$|\.admin$/.test(role) && role !== 'roles/cloudbuild.builds.editor')).toEqual([]);
});

test('the role that people are told to grant has the name that it is made with', () => {
  const name = nameOf('worker-role', {}, { ...PLACE, instance: 'mayfly' });
  expect(sitesRoleIn(PLACE.project)).toBe(`projects/${PLACE.project}/roles/${name}`);
});

test('what doctor says the worker needs on the project is what the table grants it', () => {
  const { sites: onCloudRun, ...others } = PROJECT_PERMISSIONS;
  expect(SITES_PERMISSIONS).toEqual(expect.arrayContaining([...onCloudRun]));
  const granted = GRANTS.filter(({ to, scope }) => to === 'worker' && scope.on === 'project').map(({ role }) => role);
  expect(granted.filter((role) => role !== 'sites').sort()).toEqual(Object.keys(others).sort());
});

test('what comes from a fork is granted nothing of what is trusted', () => {
  const untrusted = GRANTS.filter(({ to }) => to.endsWith('untrusted'));
  expect(untrusted.map(({ scope }) => JSON.stringify(scope)).filter((scope) => /"trusted"|sources\/trusted/.test(scope))).toEqual([]);
  expect(IDENTITIES.filter((identity) => identity.startsWith('site-') && GRANTS.some(({ to }) => to === identity))).toEqual([]);
});

test('every region has a range of addresses of its own, and keeps it', () => {
  expect([...RANGES_BY_REGION].sort()).toEqual([...REGIONS].sort());
  expect(new Set(REGIONS.map(rangeOf)).size).toBe(REGIONS.length);
  expect(rangeOf('africa-south1')).toBe('10.64.0.0/18');
  expect(rangeOf('europe-west1')).toBe('10.68.64.0/18');
  expect(rangeOf('us-west4')).toMatch(/^10\.74\./);
  expect(() => rangeOf('eu-atlantis')).toThrow('eu-atlantis has no range of addresses');
});

test('the names of two Mayflys in one project never meet, and Google takes the longest', () => {
  expect(problemsOf({}, PLACE, { home: 'europe-west1', regions: REGIONS })).toEqual([]);
  const other = { ...PLACE, instance: 'b', generation: '4567cdef' };
  const namesOf = (place: typeof PLACE): readonly string[] => NAME_KEYS.map((key) => nameOf(key, {}, { ...place, region: 'europe-west1' }));
  const inRing = NAME_KEYS.indexOf('key');
  const [ours, theirs] = [namesOf(PLACE), namesOf(other)].map((names) => names.filter((_, at) => at !== inRing));
  expect(ours?.filter((name) => theirs?.includes(name))).toEqual([]);
});

test.each([
  [{ gate: '{instance}-web' }, 'names.web and names.gate', `${PLACE.instance}-web`],
  [{ 'web-service': 'mayfly', 'gate-service': 'mayfly' }, 'names.web-service and names.gate-service', 'mayfly'],
  [{ 'home-subnetwork': 'in-europe-west1', subnetwork: 'in-{region}' }, 'names.home-subnetwork and names.subnetwork', 'in-europe-west1'],
  [{ edge: 'mayfly', 'sites-range': 'mayfly' }, 'names.sites-range and names.edge', 'mayfly'],
  [{ 'caches-untrusted': 'a', 'images-trusted': 'a' }, 'names.images-trusted and names.caches-untrusted', 'a'],
  [{ database: 'in-europe-west1', 'preview-database': 'in-{region}' }, 'names.database and names.preview-database', 'in-europe-west1'],
  [{ 'redis-secret': 'url', 'key-secret': 'url' }, 'names.key-secret and names.redis-secret', 'url'],
] as const)('two of a kind by one name are told before anything is made: %o', (names, keys, name) => {
  const told = [`${keys} are both ${JSON.stringify(name)}, and Google takes each name once`];
  expect(problemsOf(names, PLACE, WHERE)).toEqual(told);
});

test('things of different kinds may have one name', () => {
  expect(problemsOf({ network: 'mayfly', firewall: 'mayfly', edge: 'mayfly', redis: 'mayfly', web: 'mayfly' }, PLACE, WHERE)).toEqual([]);
  // Elsewhere.
  expect(problemsOf({ 'home-subnetwork': 'in-europe-west3', subnetwork: 'in-{region}' }, PLACE, WHERE)).toEqual([]);
});

test.each([
  ['redis', 'a'.repeat(41), 'at most 40 lower-case letters, digits and dashes, a letter first'],
  ['firewall', 'a'.repeat(51), 'at most 49 lower-case letters, digits and dashes, a letter first'],
  ['key-ring', 'a'.repeat(64), 'at most 63 letters, digits, dashes and underscores'],
  ['key', 'a'.repeat(64), 'at most 63 letters, digits, dashes and underscores'],
  ['budget', 'a'.repeat(61), 'at most 60 characters'],
  ['bucket', 'goog-{region}', '3 to 63 lower-case letters, digits and dashes, without "google" in it or "goog" first'],
  ['bucket', 'my-google-{region}', '3 to 63 lower-case letters, digits and dashes, without "google" in it or "goog" first'],
] as const)('what Google would refuse is told before anything is made: names.%s is %s', (key, name, rule) => {
  const region = 'europe-west1';
  const filled = name.replace('{region}', region);
  expect(problemsOf({ [key]: name }, PLACE, { home: region, regions: [region] })).toEqual([
    `names.${key} is ${JSON.stringify(filled)}, and Google takes ${rule}`,
  ]);
});
