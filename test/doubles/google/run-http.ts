import { z } from 'zod';
import { type Api, pageOf } from './asked.ts';
import { type GoogleCloud, shortName } from './cloud.ts';
import { GoogleError } from './faults.ts';
import { operationJson } from './operations.ts';
import { openRest } from './rest.ts';
import type { Run } from './run.ts';
import type { Json, Revision } from './run-types.ts';

/** Smaller than Google's own, so that whoever reads the first page for all of them is found out. */
const USUAL = 20;
const MOST = 1000;

const Named = z.strictObject({ name: z.string() });
const Policed = z.strictObject({ resource: z.string() });
const Listed = z.strictObject({ parent: z.string(), pageSize: z.coerce.number().int().optional(), pageToken: z.string().optional() });

/** Cloud Run's Admin API over REST, as far as it is only looked at and cleaned up with. What is made goes through Pulumi. */
export function openRunHttp(cloud: GoogleCloud, run: Run): readonly Api[] {
  const common = {
    cloud,
    library: '@google-cloud/run',
    host: 'run.googleapis.com',
    denied: (permission: string, resource: string) =>
      `Permission '${permission}' denied on resource '${resource}' (or resource may not exist).`,
  };
  const pages = (all: readonly Json[], { pageSize, pageToken }: z.infer<typeof Listed>) =>
    pageOf(all, { size: pageSize ?? USUAL, token: pageToken }, MOST);
  const services = openRest({
    ...common,
    service: 'google.cloud.run.v2.Services',
    verbs: {
      GetService: { permission: null, answer: (request) => run.get(Named.parse(request).name) },
      ListServices: {
        permission: null,
        answer(request) {
          const asked = Listed.parse(request);
          const { items, next } = pages(run.list(asked.parent), asked);
          return { services: items, ...next };
        },
      },
      GetIamPolicy: { permission: null, answer: (request) => ({ ...run.getPolicy(Policed.parse(request).resource) }) },
      DeleteService: { permission: null, answer: async (request) => operationJson(await run.remove(Named.parse(request).name)) },
    },
  });
  const revisions = openRest({
    ...common,
    service: 'google.cloud.run.v2.Revisions',
    verbs: {
      GetRevision: {
        permission: 'run.revisions.get',
        answer(request) {
          const { name } = Named.parse(request);
          const revision = cloud.revisions.get(name);
          if (revision === undefined)
            throw new GoogleError('NOT_FOUND', `Resource '${shortName(name)}' of kind 'REVISION' does not exist.`);
          return revisionJson(revision);
        },
      },
      ListRevisions: {
        permission: null,
        answer(request) {
          const asked = Listed.parse(request);
          const { items, next } = pages(run.revisionsOf(asked.parent).map(revisionJson).reverse(), asked);
          return { revisions: items, ...next };
        },
      },
    },
  });
  return [services, revisions];
}

/** A revision has the fields of its template as its own. */
function revisionJson({ template, name, uid, generation, createTime, service, conditions }: Revision): Json {
  const { containers, labels, annotations, serviceAccount, timeout, scaling } = template;
  return { name, uid, generation, createTime, service, conditions, containers, labels, annotations, serviceAccount, timeout, scaling };
}
