import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Dependencies, openDependencies } from '../../../src/provision/dependencies.ts';
import type { Later } from './asked.ts';
import { runStep } from './build-steps.ts';
import type { BuildNow, BuildStatus, StepNow } from './cloud-build.ts';
import { hashOf, openLayers } from './layers.ts';
import { type Machine, PLACES } from './machine.ts';
import { tool, type Workshop } from './workshop.ts';

export type FloorOptions = Workshop & {
  /** Builds that run at once in a region; the others wait. */
  readonly atOnce: number;
};

/** Where builds are done: each at its turn, on a machine of its own. */
export interface BuildFloor extends AsyncDisposable {
  /** By `projects/P/locations/R/builds/ID`. */
  readonly builds: ReadonlyMap<string, BuildNow>;
  take(build: BuildNow, later: Later): BuildNow;
  /** Resolves when it is over. */
  ended(id: string): Promise<void>;
  cancel(id: string): BuildNow;
}

type Job = {
  readonly key: string;
  readonly giveUp: AbortController;
  readonly over: PromiseWithResolvers<void>;
  /** Of the machine, which may take a while to end. */
  work: Promise<void>;
};
type Ended = {
  readonly status: BuildStatus;
  readonly statusDetail?: string;
  readonly failureInfo?: { readonly type: string; readonly detail: string };
};

/** What a step leaves in its output is kept so far: https://cloud.google.com/build/docs/api/reference/rest/v1/projects.builds#results. */
const MAX_OUTPUT = 50_000;

export async function openBuildFloor(options: FloorOptions): Promise<BuildFloor> {
  const { cloud } = options;
  const layers = openLayers(join(options.folder, 'layers'));
  const caches = new Map<string, Set<string>>();
  const opened = new Map<string, Promise<Dependencies>>();
  const installed = (cache: string | null): Promise<Dependencies> => {
    const folder = join(options.folder, 'caches', hashOf(cache).slice(0, 16));
    const dependencies = opened.get(folder) ?? openDependencies(folder);
    opened.set(folder, dependencies);
    return dependencies;
  };
  const builds = new Map<string, BuildNow>();
  const jobs = new Map<string, Job>();
  const turns = openTurns(options.atOnce);

  const now = (job: Job): BuildNow => {
    const build = builds.get(job.key);
    if (!build) throw new Error(`no build ${job.key}`);
    return build;
  };
  const put = (job: Job, part: Partial<BuildNow>): BuildNow => {
    const build = { ...now(job), ...part };
    builds.set(job.key, build);
    cloud.builds.set(job.key, build);
    return build;
  };
  const end = (job: Job, how: Ended): void => {
    if (now(job).finishTime !== undefined) return;
    put(job, { ...how, finishTime: cloud.now().toISOString() });
    job.over.resolve();
  };
  const say = (job: Job, step: string, text: string): void => {
    const { id, tags } = now(job);
    const resource = { type: 'build', labels: { project_id: cloud.project, build_id: id, build_trigger_id: '' } };
    const labels = { build_step: step, build_tags: tags.join(',') };
    const prefix = step === 'MAIN' ? '' : `${step}: `;
    cloud.logs.append({
      logName: `projects/${cloud.project}/logs/cloudbuild`,
      resource,
      severity: 'INFO',
      labels,
      textPayload: `${prefix}${text}`,
    });
  };

  const perform = async (job: Job): Promise<void> => {
    const region = job.key.split('/')[3] ?? '';
    const waiting = setTimeout(() => job.giveUp.abort('EXPIRED'), seconds(now(job).queueTtl)).unref();
    using _place = await turns.take(region, job.giveUp.signal);
    clearTimeout(waiting);
    put(job, { status: 'WORKING', startTime: cloud.now().toISOString() });
    const limit = setTimeout(() => job.giveUp.abort('TIMEOUT'), seconds(now(job).timeout)).unref();
    try {
      end(job, await cloud.pacer.during('build', cloud.pacer.pace.build, () => work(job)));
    } finally {
      clearTimeout(limit);
    }
  };
  const work = async (job: Job): Promise<Ended> => {
    const { id, steps, source, serviceAccount } = now(job);
    const folder = join(options.folder, 'machines', id);
    const common = { workshop: options, layers, caches, installed, visible: new Set<string>(), driver: { name: 'docker' as const } };
    try {
      for (const name of Object.values(PLACES)) await mkdir(join(folder, name), { recursive: true });
      say(job, 'MAIN', `starting build "${id}"`);
      const { bucket, object, generation } = source.storageSource;
      const file = cloud.buckets.get(bucket)?.objects.get(object);
      if (!file || (generation !== undefined && String(file.generation) !== generation)) {
        const detail = `failed to fetch source: could not resolve source: googleapi: Error 404: No such object: ${bucket}/${object}, notFound`;
        return { status: 'FAILURE', statusDetail: detail, failureInfo: { type: 'FETCH_SOURCE_FAILED', detail } };
      }
      await writeFile(join(folder, 'source.tar.gz'), file.bytes);
      await tool('tar', [
        '--extract',
        '--gzip',
        `--file=${join(folder, 'source.tar.gz')}`,
        '--no-same-owner',
        `--directory=${join(folder, 'workspace')}`,
      ]);
      const outputs: string[] = [];
      for (const [index, step] of steps.entries()) {
        const label = `Step #${index}${step.id === undefined ? '' : ` - "${step.id}"`}`;
        const machine: Machine = {
          ...common,
          folder,
          account: serviceAccount.split('/').at(-1) ?? '',
          signal: job.giveUp.signal,
          say: (line) => say(job, label, line),
        };
        stepIs(job, index, { status: 'WORKING' });
        say(job, label, `Already have image: ${step.name}`);
        await rm(join(folder, 'outputs'), { recursive: true, force: true });
        await mkdir(join(folder, 'outputs'));
        const exitCode = await runStep(machine, step);
        outputs.push(
          (await readFile(join(folder, 'outputs', 'output')).catch(() => Buffer.alloc(0))).subarray(0, MAX_OUTPUT).toString('base64'),
        );
        stepIs(job, index, exitCode === 0 ? { status: 'SUCCESS' } : { status: 'FAILURE', exitCode });
        if (exitCode === 0) continue;
        const failed = `build step ${index} "${step.name}" failed: step exited with non-zero status: ${exitCode}`;
        say(job, 'MAIN', `ERROR\nERROR: ${failed}`);
        return {
          status: 'FAILURE',
          statusDetail: failed,
          failureInfo: { type: 'USER_BUILD_STEP', detail: `Build step failure: ${failed}` },
        };
      }
      put(job, { results: { buildStepImages: steps.map(() => `sha256:${'0'.repeat(64)}`), buildStepOutputs: outputs } });
      say(job, 'MAIN', 'DONE');
      return { status: 'SUCCESS' };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };
  const stepIs = (job: Job, at: number, part: Partial<StepNow>): void =>
    void put(job, { steps: now(job).steps.map((step, index) => (index === at ? { ...step, ...part } : step)) });

  const begin = async (job: Job, later: Later): Promise<void> => {
    if (later?.kind === 'hang') {
      put(job, { status: 'WORKING', startTime: cloud.now().toISOString() });
      await new Promise((resolve) => job.giveUp.signal.addEventListener('abort', resolve, { once: true }));
    }
    if (later?.kind === 'fail') return end(job, { status: 'INTERNAL_ERROR', statusDetail: later.message });
    await perform(job).catch((error: unknown) => {
      const why: unknown = job.giveUp.signal.reason;
      if (why === 'TIMEOUT' || why === 'EXPIRED') return end(job, { status: why });
      if (job.giveUp.signal.aborted) return end(job, { status: 'CANCELLED' });
      cloud.unknown.push(`a build failed in the stand-in: ${error instanceof Error ? error.stack : error}`);
      return end(job, { status: 'INTERNAL_ERROR' });
    });
  };
  return {
    builds,
    take(build, later) {
      const key = build.name.replace(/^projects\/[^/]+/, `projects/${cloud.project}`);
      builds.set(key, build);
      const job: Job = { key, giveUp: new AbortController(), over: Promise.withResolvers(), work: Promise.resolve() };
      jobs.set(build.id, job);
      put(job, {});
      job.work = begin(job, later);
      return now(job);
    },
    ended: (id) => jobs.get(id)?.over.promise ?? Promise.resolve(),
    cancel(id) {
      const job = jobs.get(id);
      if (!job) throw new Error(`no build ${id}`);
      job.giveUp.abort('CANCELLED');
      end(job, { status: 'CANCELLED' });
      return now(job);
    },
    async [Symbol.asyncDispose]() {
      for (const { giveUp } of jobs.values()) giveUp.abort('CANCELLED');
      await Promise.all([...jobs.values()].map((job) => job.work));
    },
  };
}

const seconds = (duration: string): number => Number(duration.slice(0, -1)) * 1000;

/** So many at once for each name; the others in the order in which they came. */
function openTurns(atOnce: number) {
  const going = new Map<string, number>();
  const waiting = new Map<string, (() => void)[]>();
  return {
    async take(name: string, signal: AbortSignal): Promise<Disposable> {
      if ((going.get(name) ?? 0) >= atOnce) {
        const turn = Promise.withResolvers<void>();
        waiting.set(name, [...(waiting.get(name) ?? []), turn.resolve]);
        const leave = (): void => {
          waiting.set(
            name,
            (waiting.get(name) ?? []).filter((one) => one !== turn.resolve),
          );
          turn.reject(signal.reason);
        };
        signal.addEventListener('abort', leave, { once: true });
        await turn.promise.finally(() => signal.removeEventListener('abort', leave));
      }
      signal.throwIfAborted();
      going.set(name, (going.get(name) ?? 0) + 1);
      return {
        [Symbol.dispose]() {
          going.set(name, (going.get(name) ?? 1) - 1);
          waiting.get(name)?.shift()?.();
        },
      };
    },
  };
}
