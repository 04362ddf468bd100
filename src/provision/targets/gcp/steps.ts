import type { protos } from '@google-cloud/cloudbuild';
import { hashed, instanceTag } from '../../../../infra/labels.ts';
import { type LaunchId, parseSiteId, type SiteId } from '../../../site/identity.ts';
import type { Trust } from '../../../site/site.ts';
import { sha256 } from '../../artefacts.ts';
import type { BuildOrder } from '../../build.ts';
import { packageName } from './names.ts';
import type { Recipe } from './recipe.ts';

type Build = protos.google.devtools.cloudbuild.v1.IBuild;
type Step = protos.google.devtools.cloudbuild.v1.IBuildStep;

/** Of `MAYFLY_PLATFORM` what builds need. */
export type BuildPlatform = {
  readonly project: string;
  readonly buildAs: Readonly<Record<Trust, string>>;
  readonly regions: Readonly<
    Record<
      string,
      { readonly bucket: string; readonly images: Readonly<Record<Trust, string>>; readonly caches: Readonly<Record<Trust, string>> }
    >
  >;
};

/** Seconds for the build itself, as on one machine; and for its turn, since a project may run only so many at once. */
export const LIMIT_S = 15 * 60;
export const QUEUE_S = 10 * 60;

const DOCKER = 'gcr.io/cloud-builders/docker';
const PACK = 'gcr.io/k8s-skaffold/pack';
const BUILDER = 'gcr.io/buildpacks/builder:latest';
/** Kept from step to step, and no part of the source. */
const HOME = '/builder/home';
/** What a step leaves here is in the build's results: `$BUILDER_OUTPUT`, which arguments can't name. */
const OUTPUT = '/builder/outputs/output';

/** Which step a build failed in is told by its id. */
export type StepId = 'prepare' | 'install' | 'build' | 'output' | 'image' | 'digest';

export type BuildWish = Pick<BuildOrder, 'site' | 'region' | 'repository' | 'trust' | 'launch' | 'caches' | 'config'> & {
  readonly instance: string;
  readonly platform: BuildPlatform;
  readonly recipe: Recipe;
  readonly key: string;
  readonly source: { readonly bucket: string; readonly object: string; readonly generation: string };
  readonly limitS: number;
};

/** `projects/P/locations/R`, in which everything of a region is. */
export const locationOf = ({ project }: Pick<BuildPlatform, 'project'>, region: string): string =>
  `projects/${project}/locations/${region}`;

/** Stands for what was built: an unchanged tree with unchanged settings is not built again. */
export const treeTag = (key: string): string => `tree-${key.slice(0, 32)}`;
/** What the build itself pushes to, before anybody looked at its end. */
export const launchTag = (launch: LaunchId): string => `launch-${launch.toLowerCase()}`;

/** Marks of a build, by which it is found again after a crash. */
export const buildTags = (of: { readonly instance: string; readonly site: SiteId; readonly key: string }): readonly string[] => [
  ...siteTags(of),
  treeTag(of.key),
];
/** Of a site's builds, or of all of a Mayfly's. */
export const siteTags = ({ instance, site }: { readonly instance: string; readonly site?: SiteId }): readonly string[] => [
  `mayfly-${instanceTag(instance)}`,
  ...(site === undefined ? [] : [`${SITE_TAG}${site.toLowerCase()}`]),
];
const SITE_TAG = 'site-';
/** Null when they say no site. */
export const siteOfTags = (tags: readonly string[]): SiteId | null => {
  const tag = tags.find((one) => one.startsWith(SITE_TAG));
  return parseSiteId(tag?.slice(SITE_TAG.length).toUpperCase() ?? '') ?? null;
};

/** The build as it is asked of Cloud Build: an identity, an image repository and a cache for its trust alone. */
export function toBuild(wish: BuildWish): Build {
  const { platform, trust, source } = wish;
  return {
    source: { storageSource: source },
    steps: stepsOf(wish).map((step) => ({ ...step, args: (step.args ?? []).map(escaped) })),
    timeout: { seconds: wish.limitS },
    queueTtl: { seconds: QUEUE_S },
    serviceAccount: `projects/${platform.project}/serviceAccounts/${platform.buildAs[trust]}`,
    options: { logging: 'CLOUD_LOGGING_ONLY' },
    tags: [...buildTags(wish)],
  };
}

/** In arguments `$NAME` stands for one of Cloud Build's own words; what is not one of them would be refused. */
const escaped = (text: string): string => text.replaceAll('$', '$$$$');

const repositoryOf = ({ platform, region }: BuildWish, name: string): string => `${region}-docker.pkg.dev/${platform.project}/${name}`;
/** Caches are never shared between repositories, nor between what is trusted and what is not. */
const cacheOf = (wish: BuildWish, kind: string): string =>
  `${repositoryOf(wish, placeOf(wish).caches[wish.trust])}/${hashed(`${wish.instance} ${wish.repository}`, 24)}:${kind}`;
const imageOf = (wish: BuildWish): string =>
  `${repositoryOf(wish, placeOf(wish).images[wish.trust])}/${packageName(wish)}:${launchTag(wish.launch)}`;

export function placeOf({ platform, region }: Pick<BuildWish, 'platform' | 'region'>): BuildPlatform['regions'][string] {
  const place = platform.regions[region];
  if (place === undefined) throw new Error(`the platform has no region ${region}`);
  return place;
}

const stepsOf = (wish: BuildWish): readonly (Step & { readonly id: StepId })[] =>
  wish.recipe.kind === 'buildpacks' ? packSteps(wish, wish.recipe.entrypoint) : dockerSteps(wish);

/** One step for each thing that can fail in its own way; what an earlier one did the later ones find in the builder's own cache. */
function dockerSteps(wish: BuildWish): readonly (Step & { readonly id: StepId })[] {
  const { recipe, caches, config } = wish;
  const cache = cacheOf(wish, 'buildkit');
  const from = caches === 'use' ? [`--cache-from=type=registry,ref=${cache}`] : [];
  const variables = Object.entries(config.env).map(([name, value]) => `--build-arg=${name}=${value}`);
  const file = recipe.kind === 'generated' ? `${HOME}/Dockerfile` : 'Dockerfile';
  const where = recipe.kind === 'generated' ? '.' : inside(config.root);
  const common = [
    ...from,
    ...variables,
    '--provenance=false',
    '--progress=plain',
    `--file=${recipe.kind === 'generated' ? file : `${where}/${file}`}`,
  ];
  const ahead = (id: 'install' | 'build' | 'output', more: readonly string[]): Step & { readonly id: StepId } => ({
    id,
    name: DOCKER,
    args: ['buildx', 'build', ...more, ...common, '--output=type=cacheonly', where],
  });
  // What is built anew is built anew once, by the first step that comes to it.
  const fresh = caches === 'none' ? ['--no-cache', '--pull'] : [];
  const stages = recipe.kind === 'generated' ? stagesOf(recipe) : (['build'] as const);
  const steps = stages.map((id, index) =>
    ahead(id, [...(index === 0 ? fresh : []), ...(recipe.kind === 'generated' ? [`--target=${id}`] : [])]),
  );
  const push = [
    `--tag=${imageOf(wish)}`,
    '--push',
    `--metadata-file=${OUTPUT}`,
    `--cache-to=type=registry,ref=${cache},mode=max,ignore-error=true`,
  ];
  return [prepare(recipe), ...steps, { id: 'image', name: DOCKER, args: ['buildx', 'build', ...common, ...push, where] }];
}

/** A folder of the source as an argument that can't be taken for an option. */
const inside = (root: string): string => (root === '.' ? '.' : `./${root}`);

function stagesOf({ plan }: Extract<Recipe, { kind: 'generated' }>): readonly ('install' | 'build' | 'output')[] {
  return [
    ...(plan.install ? (['install'] as const) : []),
    ...(plan.build !== null ? (['build'] as const) : []),
    ...(plan.runtime.kind === 'static' ? (['output'] as const) : []),
  ];
}

/** A builder of its own, since Docker's can't write a cache to a registry; and our Dockerfile, outside of the source, which stays the commit's. */
function prepare(recipe: Recipe): Step & { readonly id: StepId } {
  const lines = ['#!/bin/sh', 'set -e', 'docker buildx create --driver=docker-container --name=mayfly --use'];
  if (recipe.kind === 'generated') {
    const end = `END_${sha256(recipe.dockerfile).slice(0, 16)}`;
    // Beside a Dockerfile it goes before the repository's own, which may leave out what is built here.
    lines.push(`: > ${HOME}/Dockerfile.dockerignore`, `cat > ${HOME}/Dockerfile <<'${end}'`, `${recipe.dockerfile}${end}`);
  }
  return { id: 'prepare', name: DOCKER, script: `${lines.join('\n')}\n` };
}

function packSteps(wish: BuildWish, entrypoint: string | null): readonly (Step & { readonly id: StepId })[] {
  const variables = { ...wish.config.env, ...(entrypoint === null ? {} : { GOOGLE_ENTRYPOINT: entrypoint }) };
  const args = [
    'build',
    imageOf(wish),
    `--path=${inside(wish.config.root)}`,
    `--builder=${BUILDER}`,
    '--publish',
    `--cache-image=${cacheOf(wish, 'buildpacks')}`,
    ...(wish.caches === 'none' ? ['--clear-cache'] : []),
    `--report-output-dir=${HOME}`,
    ...Object.entries(variables).map(([name, value]) => `--env=${name}=${value}`),
  ];
  return [
    { id: 'build', name: PACK, entrypoint: 'pack', args },
    { id: 'digest', name: DOCKER, script: `#!/bin/sh\ncp ${HOME}/report.toml "$BUILDER_OUTPUT/output"\n` },
  ];
}

const DIGEST = /(?:"containerimage\.digest":\s*|^\s*digest\s*=\s*)"(sha256:[0-9a-f]{64})"/m;

/** The image's digest in a build's results: from whoever pushed it, Cloud Build itself or one of our steps. */
export function digestIn({ results }: Build): string | undefined {
  const pushed = results?.images?.find(({ digest }) => digest)?.digest;
  if (pushed) return pushed;
  const outputs = (results?.buildStepOutputs ?? []).map((bytes) =>
    typeof bytes === 'string' ? Buffer.from(bytes, 'base64') : Buffer.from(bytes),
  );
  return outputs.map((bytes) => DIGEST.exec(bytes.toString('utf8'))?.[1]).find((digest) => digest !== undefined);
}
