import { readFileSync } from 'node:fs';
import { isMap, isScalar, isSeq, parseDocument } from 'yaml';
import { z } from 'zod';

/** One thing that the App asks for, with the reason that `app.yml` gives for it. */
export type Wanted = { readonly name: string; readonly reason: string };
export type AppFile = {
  readonly permissions: readonly (Wanted & { readonly level: string })[];
  readonly events: readonly Wanted[];
  /** The file's own fields, as GitHub takes them. */
  readonly fields: Readonly<Record<string, unknown>>;
};

const shape = z.looseObject({ default_permissions: z.record(z.string(), z.enum(['read', 'write'])), default_events: z.array(z.string()) });

/** `app.yml` in the project's folder: what is asked for, and in the comment above each the reason. */
export function readAppFile(): AppFile {
  const document = parseDocument(readFileSync(new URL('../../../app.yml', import.meta.url), 'utf8'));
  const fields = shape.parse(document.toJS());
  const reasons = reasonsIn(document.contents);
  const wanted = (name: string): Wanted => ({ name, reason: reasons.get(name) ?? '' });
  return {
    permissions: Object.entries(fields.default_permissions).map(([name, level]) => ({ ...wanted(name), level })),
    events: fields.default_events.map(wanted),
    fields,
  };
}

/** The comment above each key and entry; the first one's belongs to the list itself as the parser sees it. */
function reasonsIn(contents: unknown): ReadonlyMap<string, string> {
  const reasons = new Map<string, string>();
  if (!isMap(contents)) return reasons;
  for (const { value: list } of contents.items) {
    if (!isMap(list) && !isSeq(list)) continue;
    const nodes = isMap(list) ? list.items.map(({ key }) => key) : list.items;
    for (const [at, node] of nodes.entries()) {
      if (!isScalar(node)) continue;
      const comment = node.commentBefore ?? (at === 0 ? list.commentBefore : undefined);
      reasons.set(String(node.value), (comment ?? '').replace(/\s+/g, ' ').trim());
    }
  }
  return reasons;
}

export type ManifestWish = { readonly file: AppFile; readonly name: string; readonly publicUrl: URL };

/** https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest#github-app-manifest-parameters */
export const manifestOf = ({ file, name, publicUrl }: ManifestWish): string =>
  JSON.stringify({
    ...file.fields,
    name,
    hook_attributes: { url: webhookUrl(publicUrl, 'github'), active: true },
    redirect_url: new URL('/setup/github/callback', publicUrl).href,
  });

/** Where a forge sends its webhooks. */
export const webhookUrl = (publicUrl: URL, kind: 'github' | 'gitlab'): string => new URL(`/api/${kind}/webhooks`, publicUrl).href;

/** GitHub's page that takes the manifest, for one's own account or an organisation's. */
export function manifestPage(serverUrl: string, organisation: string | null, state: string): string {
  const owner = organisation === null ? '' : `/organizations/${encodeURIComponent(organisation)}`;
  return `${serverUrl}${owner}/settings/apps/new?state=${encodeURIComponent(state)}`;
}
