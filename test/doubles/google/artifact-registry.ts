import { z } from 'zod';
import { type Api, pageOf, unknownTo } from './asked.ts';
import type { GoogleCloud, Repository, StoredImage } from './cloud.ts';
import { GoogleError } from './faults.ts';
import { operationJson, startOperation } from './operations.ts';
import { type Call, openRest, type Verb } from './rest.ts';
import type { Json } from './run-types.ts';

const EMPTY = 'google.protobuf.Empty';
const METADATA = { '@type': 'type.googleapis.com/google.devtools.artifactregistry.v1.OperationMetadata' };
/** Smaller than Google's own, so that whoever reads the first page for all of them is found out. */
const USUAL = 20;
const MOST = 1000;

type Listed = { readonly items: readonly Json[]; readonly next: Json };
type Version = { readonly name: string; readonly ref: string; readonly digest: string; readonly image: StoredImage };

const Paged = { pageSize: z.coerce.number().int().optional(), pageToken: z.string().optional() };
const Named = z.strictObject({ name: z.string() });
const ListRequest = z.strictObject({ parent: z.string(), ...Paged });
const ListVersions = z.strictObject({
  parent: z.string(),
  view: z.enum(['VERSION_VIEW_UNSPECIFIED', 'BASIC', 'FULL']).optional(),
  ...Paged,
});
const ListTags = z.strictObject({ parent: z.string(), filter: z.string().optional(), ...Paged });
const DeleteVersion = z.strictObject({ name: z.string(), force: z.boolean().optional() });
const CreateTag = z.strictObject({
  parent: z.string(),
  tagId: z.string(),
  tag: z.strictObject({ name: z.string().optional(), version: z.string() }),
});

/** `projects/P/locations/R/repositories/ID/packages/X` of `R-docker.pkg.dev/P/ID/X`. */
export function packageOfRef(ref: string): string {
  const [host = '', project = '', repository = '', ...rest] = ref.split('/');
  const name = encodeURIComponent(rest.join('/'));
  return `projects/${project}/locations/${host.replace(/-docker\.pkg\.dev$/, '')}/repositories/${repository}/packages/${name}`;
}

/** Whatever is tagged so in a package now. */
export function untag(cloud: GoogleCloud, packageName: string, tag: string): void {
  for (const { image } of versionsOf(cloud, packageName)) image.tags.delete(tag);
}

const versionsOf = (cloud: GoogleCloud, packageName: string): readonly Version[] =>
  [...cloud.images].flatMap(([ref, image]) => {
    const [path = '', digest = ''] = ref.split('@');
    const owner = packageOfRef(path);
    return owner === packageName ? [{ name: `${owner}/versions/${digest}`, ref, digest, image }] : [];
  });

/** Artifact Registry: repositories as they are; packages, versions and tags of what builds pushed. */
export function openArtifactRegistry(cloud: GoogleCloud): Api {
  /** A package stays when its last version is gone. */
  const packages = new Set<string>();
  const look = (): void => {
    for (const ref of cloud.images.keys()) packages.add(packageOfRef(ref.split('@')[0] ?? ''));
  };
  const missing = (name: string): GoogleError => new GoogleError('NOT_FOUND', `Requested entity was not found: ${name}`);
  const repositoryAt = (name: string): Repository => {
    const own = name.split('/').slice(0, 6).join('/');
    const found = cloud.repositories.get(own);
    if (!found) throw missing(own);
    return found;
  };
  const packageAt = (name: string): string => {
    repositoryAt(name);
    if (!packages.has(name)) throw missing(name);
    return name;
  };
  const versionAt = (name: string): Version => {
    const found = versionsOf(cloud, packageAt(name.split('/versions/')[0] ?? '')).find((version) => version.name === name);
    if (!found) throw missing(name);
    return found;
  };
  const tagsOf = (packageName: string): readonly Json[] =>
    versionsOf(cloud, packageName).flatMap(({ name, image }) =>
      [...image.tags].map((tag) => ({ name: `${packageName}/tags/${tag}`, version: name })),
    );
  const tagAt = (name: string): Json => {
    const found = tagsOf(packageAt(name.split('/tags/')[0] ?? '')).find((tag) => tag.name === name);
    if (!found) throw missing(name);
    return found;
  };
  const put = (name: string, version: string): Json => {
    const [packageName = '', tag = ''] = name.split('/tags/');
    const { image } = versionAt(version);
    untag(cloud, packageName, tag);
    image.tags.add(tag);
    return { name, version };
  };
  const remove = (name: string, call: Call, deed: () => void): Json => {
    const parent = name.split('/').slice(0, 4).join('/');
    const work = async (): Promise<Json> => {
      deed();
      return {};
    };
    return operationJson(startOperation(cloud, parent, { metadata: METADATA, type: EMPTY, later: call.later, work }));
  };
  const verb = (what: string, answer: Verb['answer']): Verb => ({
    permission: `artifactregistry.${what}`,
    answer(request, call) {
      look();
      return answer(request, call);
    },
  });
  const versionJson = ({ name, digest, image }: Version, withTags: readonly Json[]): Json => {
    const at = image.uploadedAt.toISOString();
    const metadata = { name: name.replace('/versions/', '/dockerImages/'), imageSizeBytes: '1000', mediaType: MEDIA };
    return {
      name,
      createTime: at,
      updateTime: at,
      metadata,
      annotations: {},
      ...(withTags.length > 0 ? { relatedTags: withTags } : {}),
      fingerprints: [{ type: 'DIRSUM_SHA256', value: Buffer.from(digest.slice(7), 'hex').toString('base64') }],
    };
  };
  const pages = (all: readonly Json[], asked: { pageSize?: number | undefined; pageToken?: string | undefined }): Listed =>
    pageOf(all, { size: asked.pageSize ?? USUAL, token: asked.pageToken }, MOST);
  return openRest({
    cloud,
    library: '@google-cloud/artifact-registry',
    service: 'google.devtools.artifactregistry.v1.ArtifactRegistry',
    host: 'artifactregistry.googleapis.com',
    denied: (permission, resource) =>
      `Permission '${permission}' denied on resource '//artifactregistry.googleapis.com/${resource}' (or it may not exist).`,
    verbs: {
      GetRepository: verb('repositories.get', (request) => repositoryJson(repositoryAt(Named.parse(request).name))),
      ListRepositories: verb('repositories.list', (request) => {
        const asked = ListRequest.parse(request);
        const all = [...cloud.repositories.values()].filter(({ name }) => name.startsWith(`${asked.parent}/`));
        const { items, next } = pages(all.map(repositoryJson), asked);
        return { repositories: items, ...next };
      }),
      ListPackages: verb('packages.list', (request) => {
        const asked = ListRequest.parse(request);
        repositoryAt(asked.parent);
        const all = [...packages].filter((name) => name.startsWith(`${asked.parent}/packages/`)).sort();
        const { items, next } = pages(
          all.map((name) => packageJson(cloud, name)),
          asked,
        );
        return { packages: items, ...next };
      }),
      GetPackage: verb('packages.get', (request) => packageJson(cloud, packageAt(packageName(Named.parse(request).name)))),
      DeletePackage: verb('packages.delete', (request, call) => {
        const name = packageAt(packageName(Named.parse(request).name));
        return remove(name, call, () => {
          for (const { ref } of versionsOf(cloud, name)) cloud.images.delete(ref);
          packages.delete(name);
        });
      }),
      ListVersions: verb('versions.list', (request) => {
        const asked = ListVersions.parse(request);
        const name = packageAt(packageName(asked.parent));
        const tags = tagsOf(name);
        const ofVersion = (version: Version): readonly Json[] =>
          asked.view === 'FULL' ? tags.filter((tag) => tag.version === version.name) : [];
        const { items, next } = pages(
          versionsOf(cloud, name).map((version) => versionJson(version, ofVersion(version))),
          asked,
        );
        return { versions: items, ...next };
      }),
      GetVersion: verb('versions.get', (request) => versionJson(versionAt(packageName(Named.parse(request).name)), [])),
      DeleteVersion: verb('versions.delete', (request, call) => {
        const { name, force = false } = DeleteVersion.parse(request);
        const version = versionAt(packageName(name));
        if (version.image.tags.size > 0 && !force)
          throw new GoogleError('FAILED_PRECONDITION', 'version is referenced by a tag. Use force=true to delete it with its tags.');
        return remove(name, call, () => cloud.images.delete(version.ref));
      }),
      ListTags: verb('tags.list', (request) => {
        const asked = ListTags.parse(request);
        const [, version] = asked.filter === undefined ? [] : (/^version="([^"]+)"$/.exec(asked.filter) ?? []);
        if (asked.filter !== undefined && version === undefined) throw unknownTo(cloud, `ListTags with the filter ${asked.filter}`);
        const all = tagsOf(packageAt(packageName(asked.parent))).filter((tag) => version === undefined || tag.version === version);
        const { items, next } = pages(all, asked);
        return { tags: items, ...next };
      }),
      GetTag: verb('tags.get', (request) => tagAt(packageName(Named.parse(request).name))),
      CreateTag: verb('tags.create', (request) => {
        const { parent, tagId, tag } = CreateTag.parse(request);
        if (!/^[\w][\w.-]{0,127}$/.test(tagId)) throw new GoogleError('INVALID_ARGUMENT', `invalid tag id "${tagId}"`);
        const name = `${packageAt(packageName(parent))}/tags/${tagId}`;
        if (tagsOf(packageName(parent)).some((one) => one.name === name)) throw new GoogleError('ALREADY_EXISTS', 'the tag already exists');
        return put(name, tag.version);
      }),
      UpdateTag: verb('tags.update', (request) => {
        const { tag } = UpdateTag.parse(request);
        return put(packageName(tag.name), tag.version);
      }),
      DeleteTag: verb('tags.delete', (request) => {
        const name = packageName(Named.parse(request).name);
        tagAt(name);
        const [packageOf = '', tag = ''] = name.split('/tags/');
        untag(cloud, packageOf, tag);
        return {};
      }),
    },
  });
}
const MEDIA = 'application/vnd.oci.image.manifest.v1+json';
const UpdateTag = z.strictObject({ tag: z.strictObject({ name: z.string(), version: z.string() }), updateMask: z.string().optional() });

/** A slash in a package's name is written as `%2F` in its resource name; the path decodes it once. */
function packageName(name: string): string {
  const [, before = '', own = '', after = ''] =
    /^(projects\/[^/]+\/locations\/[^/]+\/repositories\/[^/]+\/packages\/)(.*?)(\/(?:tags|versions)\/[^/]+)?$/.exec(name) ?? [];
  return before === '' ? name : `${before}${encodeURIComponent(decodeURIComponent(own))}${after}`;
}

const repositoryJson = ({ name, labels, madeAt }: Repository): Json => {
  const at = madeAt.toISOString();
  return { name, format: 'DOCKER', mode: 'STANDARD_REPOSITORY', labels, createTime: at, updateTime: at };
};

function packageJson(cloud: GoogleCloud, name: string): Json {
  const times = versionsOf(cloud, name).map(({ image }) => image.uploadedAt.toISOString());
  const at = times.sort().at(-1) ?? cloud.now().toISOString();
  return { name, createTime: times[0] ?? at, updateTime: at };
}
