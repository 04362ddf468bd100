import { expect, test } from 'vitest';
import { problemsOf } from './declared.ts';
import { problemsDescribed } from './described.ts';

test('a field that does not exist, is missing, or has another type or value is seen, however deep it is', () => {
  const hostRules = [{ hosts: 'acme.dev', pathMatcher: 'x' }];
  expect(problemsOf('gcp:compute/uRLMap:URLMap', { name: 'x', colour: 1, hostRules, defaultUrlRedirect: { stripQuery: 'no' } })).toEqual([
    'gcp:compute/uRLMap:URLMap.colour does not exist',
    'gcp:compute/uRLMap:URLMap.hostRules[0].hosts is no list',
    'gcp:compute/uRLMap:URLMap.defaultUrlRedirect.stripQuery is no boolean',
  ]);
  const condition = { tagState: 'SOME' };
  expect(
    problemsOf('gcp:artifactregistry/repository:Repository', {
      format: 'DOCKER',
      cleanupPolicies: [{ id: 'x', condition }],
      labels: { a: 1 },
    }),
  ).toEqual([
    'gcp:artifactregistry/repository:Repository.repositoryId is missing',
    'gcp:artifactregistry/repository:Repository.cleanupPolicies[0].condition.tagState is SOME, none of TAGGED, UNTAGGED, ANY',
    'gcp:artifactregistry/repository:Repository.labels.a is no text',
  ]);
  expect(() => problemsOf('gcp:compute/moon:Moon', {})).toThrow('@pulumi/gcp has no resource gcp:compute/moon:Moon');
});

test('what the provider takes and the API of Cloud Run does not is seen, too', () => {
  const containers = [{ image: 'europe-docker.pkg.dev/p/r/i:1', envs: [{ name: 'A', value: 'b', from: 'c' }] }];
  const pool = { name: 'x', location: 'europe-west1', project: 'p', scaling: { manualInstanceCount: 1 }, template: { containers } };
  expect(problemsDescribed('gcp:cloudrunv2/workerPool:WorkerPool', pool)).toHaveLength(1);
  expect(problemsDescribed('gcp:cloudrunv2/service:Service', { ...pool, scaling: { minInstanceCount: 1 } })).toHaveLength(1);
});
