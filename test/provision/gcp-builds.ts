import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { GoogleCloud } from '../doubles/google/cloud.ts';
import { GoogleError } from '../doubles/google/faults.ts';
import { openRest } from '../doubles/google/rest.ts';
import type { Json } from '../doubles/google/run-types.ts';

export type Asked = {
  readonly name: string;
  readonly build: {
    readonly steps: readonly { readonly id: string; readonly args?: readonly string[]; readonly script?: string }[];
    readonly source: { readonly storageSource: { readonly bucket: string; readonly object: string; readonly generation: string } };
    readonly tags: readonly string[];
  } & Json;
  /** The archive as it was when the build began. */
  readonly archive: Buffer;
  status: string;
};
export type Outcome = {
  readonly status: string;
  /** Which step failed, and with what. */
  readonly failed?: { readonly id: string; readonly exitCode: number };
  readonly failureInfo?: Json;
  readonly lines?: readonly string[];
};

/** Cloud Build that does as the test says: by default every build succeeds at once, and its image is there. */
export function openScriptedBuilds(cloud: GoogleCloud) {
  const asked: Asked[] = [];
  const state: { outcomes: Outcome[]; held: boolean } = { outcomes: [], held: false };
  const jsonOf = (name: string): Json => {
    const found = cloud.builds.get(name);
    if (!found) throw new GoogleError('NOT_FOUND', 'Requested entity was not found.');
    return found;
  };
  const end = (one: Asked, { status, failed, failureInfo, lines = [] }: Outcome): void => {
    const id = one.name.slice(one.name.lastIndexOf('/') + 1);
    for (const [index, text] of [...lines, status === 'SUCCESS' ? 'DONE' : 'ERROR'].entries()) {
      cloud.logs.append({
        logName: `projects/${cloud.project}/logs/cloudbuild`,
        resource: { type: 'build', labels: { build_id: id, project_id: cloud.project, build_trigger_id: '' } },
        severity: 'INFO',
        labels: { build_step: index === lines.length ? 'MAIN' : 'Step #0' },
        textPayload: text,
      });
    }
    const digest = `sha256:${id.replaceAll('-', '').padEnd(64, '0')}`;
    const steps = one.build.steps.map((step) =>
      failed && step.id === failed.id ? { ...step, status: 'FAILURE', exitCode: failed.exitCode } : { ...step, status: 'SUCCESS' },
    );
    one.status = status;
    const results = status === 'SUCCESS' ? { results: { buildStepOutputs: pushed(cloud, one, digest) } } : {};
    cloud.builds.set(one.name, { ...one.build, name: one.name, id, steps, status, ...(failureInfo ? { failureInfo } : {}), ...results });
  };
  const api = openRest({
    cloud,
    library: '@google-cloud/cloudbuild',
    service: 'google.devtools.cloudbuild.v1.CloudBuild',
    host: 'cloudbuild.googleapis.com',
    denied: () => 'The caller does not have permission',
    verbs: {
      CreateBuild: {
        permission: 'cloudbuild.builds.create',
        answer(request) {
          const { parent, build } = request as { parent: string; build: Asked['build'] };
          const { bucket, object, generation } = build.source.storageSource;
          const archive = cloud.buckets.get(bucket)?.objects.get(object);
          if (!archive || String(archive.generation) !== generation) throw new GoogleError('NOT_FOUND', 'no such source');
          const name = `${parent}/builds/${randomUUID()}`;
          const one: Asked = { name, build, archive: archive.bytes, status: 'WORKING' };
          asked.push(one);
          cloud.builds.set(name, { ...build, name, id: name.slice(name.lastIndexOf('/') + 1), status: 'WORKING' });
          if (!state.held) end(one, state.outcomes.shift() ?? { status: 'SUCCESS' });
          const metadata = { '@type': 'type.googleapis.com/google.devtools.cloudbuild.v1.BuildOperationMetadata', build: jsonOf(name) };
          return { name: `operations/build/${cloud.project}/${randomUUID()}`, metadata };
        },
      },
      GetBuild: { permission: 'cloudbuild.builds.get', answer: ({ name }) => jsonOf(String(name)) },
      CancelBuild: {
        permission: 'cloudbuild.builds.update',
        answer({ name }) {
          const one = asked.find((build) => build.name === name);
          if (one) end(one, { status: 'CANCELLED' });
          return jsonOf(String(name));
        },
      },
      ListBuilds: {
        permission: 'cloudbuild.builds.list',
        answer({ filter }) {
          const tags = [...String(filter).matchAll(/tags="([^"]+)"/g)].map(([, tag]) => tag ?? '');
          const builds = [...cloud.builds.values()].filter(({ tags: own }) => Array.isArray(own) && tags.every((tag) => own.includes(tag)));
          return { builds: builds.filter(({ status }) => status === 'WORKING' || status === 'QUEUED') };
        },
      },
    },
  });
  return {
    api,
    asked,
    /** What the next builds come to, in their order. */
    next: (...outcomes: readonly Outcome[]): void => void state.outcomes.push(...outcomes),
    /** Builds from now on go on until they are ended. */
    hold(): void {
      state.held = true;
    },
    end,
    async begun(count: number): Promise<void> {
      while (asked.length < count) await delay(10);
    },
  };
}

/** Puts the image where the build's arguments say. */
function pushed(cloud: GoogleCloud, { build }: Asked, digest: string): readonly string[] {
  const tag = build.steps.flatMap(({ args = [] }) => args).find((arg) => /^(?:--tag=)?[^=]+-docker\.pkg\.dev\/.*:launch-/.test(arg));
  const [, path = '', name = ''] = /^(?:--tag=)?(.+):(launch-.+)$/.exec(tag ?? '') ?? [];
  const own = { folder: '/', cwd: '/', command: 'true', env: {}, detected: '', uploadedAt: cloud.now() };
  cloud.images.set(`${path}@${digest}`, { ...own, tags: new Set([name]) });
  const said = build.steps.some(({ id }) => id === 'digest')
    ? `[image]\ndigest = "${digest}"\n`
    : JSON.stringify({ 'containerimage.digest': digest });
  return build.steps.map((_, index) => Buffer.from(index === build.steps.length - 1 ? said : '').toString('base64'));
}
