import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDeveloper } from '../../demo/developer.ts';
import { startGitHub } from '../../demo/github.ts';
import { startMayfly } from '../../demo/mayfly.ts';
import { freePort } from '../../demo/ports.ts';
import { type Cast, tellStory } from '../../demo/story.ts';
import { openGoogle } from '../../src/provision/targets/gcp/google.ts';
import { estimate } from './cost.ts';
import { INSTANCE, type LivePlatform, openLivePlatform } from './platform.ts';
import { findSurroundings, type Surroundings } from './surroundings.ts';

const SHOP = { folder: join(import.meta.dirname, 'shop'), shows: 'Tin kettle', hasToo: ' on Cloud Run' };
const STEP_MS = 20 * 60_000;
const BUILDS = 2;

let around: Surroundings;
let platform: LivePlatform;
const stages: { readonly name: string; readonly ms: number }[] = [];

/** Does it, and prints how long it took. */
async function stage<T>(name: string, deed: () => Promise<T>): Promise<T> {
  const started = performance.now();
  try {
    return await deed();
  } finally {
    const ms = performance.now() - started;
    stages.push({ name, ms });
    process.stdout.write(`${(ms / 1_000).toFixed(1).padStart(8)} s  ${name}\n`);
  }
}

beforeAll(async () => {
  const found = await findSurroundings();
  if ('missing' in found) throw new Error(found.missing);
  around = found;
  platform = await openLivePlatform(around);
  await stage('leftovers of a run that was killed are removed', () => platform.destroy());
});

afterAll(async () => {
  if (platform === undefined) return;
  await stage('the platform is removed', () => platform.destroy());
  const total = (from: RegExp): number => stages.filter(({ name }) => from.test(name)).reduce((sum, { ms }) => sum + ms, 0);
  const ran = { platformMs: total(/./), builds: BUILDS, siteMs: total(/^Dana|^The site/) };
  process.stdout.write(`\n${(total(/./) / 60_000).toFixed(0)} minutes in all, ${estimate(ran)}\n`);
});

test('the story of a preview in a real project', async () => {
  await stage('the platform is made', () => platform.up());
  await using cast = await openCast(await platform.describe());
  const story = tellStory(cast, SHOP);
  for (const step of [...story.toReady, ...story.toItsEnd]) {
    await stage(step.name, () => step.play(AbortSignal.timeout(STEP_MS))).catch(async (error: unknown) => {
      process.stdout.write(`${await cast.mayfly.logTail(60)}\n`);
      throw error;
    });
  }
  expect(await servicesLeft()).toEqual([]);
});

/** An emulated GitHub and a Mayfly on this machine, whose sites are on Cloud Run. */
async function openCast(described: string): Promise<Cast & AsyncDisposable> {
  await using opening = new AsyncDisposableStack();
  const folder = opening.adopt(await mkdtemp(join(tmpdir(), 'mayfly-live-')), (path) => rm(path, { recursive: true, force: true }));
  // The embedded PostgreSQL has a user of its own, who must be able to pass.
  await chmod(folder, 0o755);
  await mkdir(join(folder, 'github'));
  const ports = { github: await freePort(0), mayfly: await freePort(0), gate: await freePort(0) };
  const webhookUrl = `http://127.0.0.1:${ports.mayfly}/api/github/webhooks`;
  const github = opening.use(await startGitHub({ port: ports.github, folder: join(folder, 'github'), webhookUrl }));
  const developer = await createDeveloper(github, folder, SHOP.folder);
  await developer.createRepository();
  const settings = {
    MAYFLY_TARGET: 'gcp',
    GOOGLE_CLOUD_PROJECT: around.project,
    MAYFLY_PLATFORM: described,
    MAYFLY_INSTANCE: INSTANCE,
    MAYFLY_REGION: around.region,
    MAYFLY_REGIONS: around.region,
    // The story's visitor comes to this machine whatever the name.
    MAYFLY_PREVIEW_URL: `http://previews.mayfly-live.test:${ports.gate}`,
  };
  const mayfly = opening.use(await startMayfly({ port: ports.mayfly, gatePort: ports.gate, folder, github, settings }));
  await mayfly.ready(AbortSignal.timeout(120_000));
  const opened = opening.move();
  return { github, mayfly, developer, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** Names of what Cloud Run still has of the sites. */
async function servicesLeft(): Promise<readonly string[]> {
  await using google = openGoogle({ project: around.project });
  const client = await google.services();
  const [services] = await client.listServices({ parent: `projects/${around.project}/locations/${around.region}` });
  return services.filter(({ labels }) => labels?.['mayfly-instance'] === INSTANCE).map(({ name }) => name ?? '');
}
