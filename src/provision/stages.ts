import { isDeepStrictEqual } from 'node:util';
import { faultPoint } from '../fault-points.ts';
import { secretsIn } from '../masking/secret-names.ts';
import { effectiveRegion, type OperatorPolicy } from '../site/decide.ts';
import { candidatesOf } from '../site/home.ts';
import type { ForgeId, LaunchId, Repository, SiteId } from '../site/identity.ts';
import { mayRun } from '../site/policy.ts';
import type { Artefact, DatabaseWish, DeployOrder, Facts, RunSettings, Source, Target } from '../site/ports.ts';
import { Fault } from '../site/problem.ts';
import {
  askSettings,
  CONFIG_FILE,
  CONFIG_MAX_BYTES,
  type RepoConfig,
  type Settings,
  settingsDigest,
  settingsOfCommit,
} from '../site/repo-config.ts';
import type { Served } from '../site/site.ts';
import { isApproved } from '../site/site-changes.ts';
import type { Store } from '../store/store.ts';
import type { ArtefactUsers } from './artefact-users.ts';
import type { Builder } from './build.ts';
import type { Leash } from './git.ts';
import type { ProvisionParts, Run } from './launch.ts';
import { deployInRegion } from './regions.ts';
import { openSeeds, type Seeds } from './seeds.ts';
import type { Snapshot } from './snapshot.ts';
import { openSources, type Sources } from './source.ts';
import { openStorage, type Storage } from './storage/storage.ts';

export type StagesOptions = {
  readonly store: Pick<Store, 'repositories' | 'apply'>;
  readonly facts: (forge: ForgeId) => Pick<Facts, 'file' | 'changedPaths' | 'pull' | 'permission'>;
  readonly source: (forge: ForgeId) => Source;
  readonly target: Target;
  /** The target's own, onto `opening`. */
  readonly openBuilder: (log: (line: string) => void, opening: AsyncDisposableStack) => Promise<Pick<Builder, 'ensureArtefact'>>;
  /** Of what fetches. */
  readonly leash: Leash;
  readonly artefacts: Pick<ArtefactUsers, 'use' | 'useOnly' | 'removeUnused'>;
  readonly dataDir: string;
  readonly policy: OperatorPolicy;
  readonly idleMs: number;
  /** The address of a site by its host's first label. */
  readonly url: (label: string) => string;
  readonly log: (line: string) => void;
};

type Parts = Pick<StagesOptions, 'facts' | 'source' | 'policy' | 'idleMs' | 'url' | 'log'> & {
  readonly store: Pick<Store, 'apply'> & { readonly repositories: Pick<Store['repositories'], 'find'> };
  readonly target: Pick<Target, 'prepare' | 'deploy'>;
  readonly sources: Pick<Sources, 'fetch'>;
  readonly seeds: Seeds;
  readonly builder: Pick<Builder, 'ensureArtefact'>;
  readonly use: (site: SiteId, launch: LaunchId, key: string) => Promise<void>;
};

/** Removes the sources of repositories that we do not know any more: theirs that had no site when they were removed from us. */
export type Forgetting = { readonly forgetStrangers: () => Promise<number> };

/** The stages of a launch, with the caches and the builds' way to the registries opened onto `opening`. */
export async function openStages(
  options: StagesOptions,
  opening: AsyncDisposableStack,
): Promise<Pick<ProvisionParts, 'stages' | 'useOnly' | 'forgetSource'> & { readonly storage: Storage & Forgetting }> {
  const { dataDir, leash, log } = options;
  const sources = await openSources({ dataDir, leash, log });
  const seeds = await openSeeds(dataDir);
  const builder = await options.openBuilder(log, opening);
  const users = options.artefacts;
  const storage = openStorage({ dataDir, users });
  return {
    storage: { ...storage, forgetStrangers: async () => sources.keepOnly(await options.store.repositories.all()) },
    stages: (run) => storage.during(() => runStages({ ...options, sources, seeds, builder, use: users.use }, run)),
    useOnly: users.useOnly,
    forgetSource: ({ forge, repository: id }) => sources.remove({ forge, id }),
  };
}

/** Fetch, build, deploy and check, with what does them given. */
export async function runStages(parts: Parts, run: Run): ReturnType<ProvisionParts['stages']> {
  const { site, launch, held, watch } = run;
  await using preparing = prepare(parts, run);
  const repository = await getRepository(parts, run);
  const mayGoOn = (): Promise<void> => mustBeApproved(parts, run, repository);
  await mayGoOn();
  const base = askSettings(parts.facts(site.pull.forge), repository, site.head.base);
  // Asked beside the fetch; when that fails, nobody waits for the answer.
  base.catch(() => undefined);
  const snapshot = await fetchCommit(parts, run, repository);
  await faultPoint('fetched');
  const config = await readSettings(parts, { run, repository, snapshot }, await base);
  const region = effectiveRegion({ region: site.wishes.region ?? config.region }, parts.policy);
  if ('refusal' in region) throw new Fault(region.refusal.code, { details: region.refusal.details });
  run.hide(secretsIn(config.env));
  const database = await wishDatabase(parts, { run, repository, snapshot }, config);

  const settings: RunSettings = { env: config.env, port: config.port, health: config.health, idleMs: config.idle ?? parts.idleMs };
  const deploy = async (region: string): Promise<Served> => {
    // Also before another region, which may be minutes later: what a seed says is run while the build goes on.
    await mayGoOn();
    const order: DeployOrder = {
      site: site.id,
      pull: site.pull,
      revision: launch,
      live: site.live?.revision ?? null,
      prepared: preparing.done,
      async build() {
        watch.entered('build');
        await mayGoOn();
        const artefact = await build(parts, { run, repository, snapshot, config, region });
        await faultPoint('built');
        watch.entered('deploy');
        await mayGoOn();
        return artefact;
      },
      mayGoOn,
      run: settings,
      database,
      region,
      trust: site.head.trust,
    };
    return parts.target.deploy(held, order, watch);
  };
  const candidates = candidatesOf({ wishes: site.wishes, home: { ...site.home, asks: config.region } }, parts.policy);
  const served = await (candidates === null
    ? deploy(region.region)
    : deployInRegion({ store: parts.store, site, held, candidates }, deploy));
  return { url: parts.url(site.host), served, idleMs: settings.idleMs };
}

/** A site's first launch readies the target beside fetch and build; nothing of it goes on once the launch is over. */
function prepare({ target, log }: Parts, { site, held, watch }: Run): AsyncDisposable & { readonly done: Promise<void> } {
  const done = (site.live === null ? target.prepare(held, site.id, watch) : Promise.resolve()).catch((error: unknown) => {
    // The deploy does it again, and tells what is wrong.
    log(`the target could not be prepared for ${site.id}: ${String(error)}`);
  });
  return { done, [Symbol.asyncDispose]: () => done };
}

async function getRepository(parts: Parts, { site }: Run): Promise<Repository> {
  const repository = await parts.store.repositories.find(site.pull.forge, site.pull.repository);
  if (repository === undefined) throw new Fault('access-gone');
  return repository;
}

/**
 * Code from outside is fetched, built and run only as long as it is what was approved, by somebody who may: the forge is asked each time.
 * Throws Fault `approval-void`.
 */
async function mustBeApproved(parts: Parts, { site }: Run, repository: Repository): Promise<void> {
  const { head, approval } = site;
  if (head.trust === 'trusted') return;
  if (approval === null) throw new Fault('approval-void');
  const facts = parts.facts(site.pull.forge);
  const [pull, permission] = await Promise.all([facts.pull(repository, site.pull.number), facts.permission(repository, approval.by)]);
  const isSame = pull !== undefined && isApproved(pull.head, approval) && pull.head.draft === head.draft;
  const isOpen = pull?.state === 'open' || site.closedAs !== null;
  if (!isSame || !isOpen || !mayRun('approve', permission)) throw new Fault('approval-void');
}

function fetchCommit(parts: Parts, { site, watch }: Run, repository: Repository): Promise<Snapshot> {
  const { forge, number } = site.pull;
  const source = parts.source(forge);
  return parts.sources.fetch({
    repository,
    address: () => source.address(repository),
    sha: site.head.sha,
    ref: source.headRef(number),
    signal: watch.signal,
  });
}

const nameOf = ({ forge, id }: Repository): string => `${forge}-${id}`;

type Reading = { readonly run: Run; readonly repository: Repository; readonly snapshot: Snapshot };

/** The base branch's settings as they are now, with what the commit's own file may say. */
async function readSettings(parts: Parts, { run, repository, snapshot }: Reading, base: Settings): Promise<RepoConfig> {
  const { pull } = run.site;
  await run.note({ settings: settingsDigest(base) });
  const own = await snapshot.read(CONFIG_FILE, CONFIG_MAX_BYTES);
  let settings = settingsOfCommit(base, own === 'too-large' ? null : own?.toString('utf8'));
  const alone = settingsOfCommit(base, undefined);
  if (!isDeepStrictEqual(settings, alone)) {
    // A pull that does not touch the file has the base branch's of the time when it began, which is no word of its own.
    const changed = await parts.facts(pull.forge).changedPaths(repository, pull.number);
    if (changed !== null && !changed.includes(CONFIG_FILE)) settings = alone;
  }
  if ('fault' in settings) {
    await run.note({ mistakes: settings.lines });
    throw settings.fault;
  }
  if (settings.ignored.length > 0) await run.note({ ignored: settings.ignored });
  return settings.config;
}

async function wishDatabase({ seeds }: Parts, { repository, snapshot }: Reading, config: RepoConfig): Promise<DatabaseWish | null> {
  if (config.database === null) return null;
  const { engine, seed } = config.database;
  return { engine, seed: seed === null ? null : await seeds.keep({ snapshot, repository: nameOf(repository), path: seed }) };
}

type Building = Reading & { readonly config: RepoConfig; readonly region: string };

async function build(parts: Parts, { run, repository, snapshot, config, region }: Building): Promise<Artefact> {
  const of = { repository: nameOf(repository), trust: run.site.head.trust };
  const { launch, watch, site } = run;
  const claim = (key: string): Promise<void> => parts.use(site.id, launch, key);
  const { artefact, cache } = await parts.builder.ensureArtefact({
    snapshot,
    config,
    ...of,
    site: site.id,
    region,
    launch,
    watch,
    claim,
    caches: site.rebuild ? 'none' : 'use',
  });
  await run.note({ detected: artefact.detected, cache });
  return artefact;
}
