/** A browser without a screen: keeps its cookie, fills in forms with what stands hidden in them. */
export type Shown = { readonly status: number; readonly text: string; readonly html: string; readonly headers: Headers };

const ENTITIES: Readonly<Record<string, string>> = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#39;': "'" };
const plain = (html: string): string => html.replace(/&(?:amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity] ?? '');

/** What a page says, a line for each block. */
export const textOf = (html: string): string =>
  plain(
    html
      .replace(/<(style|title)>[\s\S]*?<\/\1>/g, '')
      .replace(/<(input|button|label)[^>]*>/g, (tag) => (tag.startsWith('<button') ? '[' : ''))
      .replace(/<\/button>/g, ']')
      .replace(/<\/?(code)[^>]*>/g, '`')
      .replace(/<\/?(?:a|b|span)\b[^>]*>/g, '')
      .replace(/<[^>]+>/g, '\n'),
  )
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('\n');

export function createVisitor(base: string) {
  let cookie = '';
  let last: Shown | undefined;
  const ask = async (path: string, init: RequestInit = {}): Promise<Shown> => {
    const response = await fetch(new URL(path, base), { redirect: 'manual', ...init, headers: { cookie, ...init.headers } });
    const set = response.headers.getSetCookie()[0];
    if (set !== undefined) cookie = set.split(';', 1)[0] ?? '';
    const html = await response.text();
    const shown = { status: response.status, html, text: textOf(html), headers: response.headers };
    const to = response.headers.get('location');
    if (to !== null) return ask(to);
    last = shown;
    return shown;
  };
  const hidden = (html: string, name: string): string => plain(new RegExp(`name="${name}" value="([^"]*)"`).exec(html)?.[1] ?? '');
  return {
    get: (path: string) => ask(path),
    /** Sends a form of the page that was shown last. `headers`: what a browser says of itself. */
    post: (path: string, fields: readonly [string, string][] = [], headers: Readonly<Record<string, string>> = {}) =>
      ask(path, {
        method: 'POST',
        // What is given counts, and not what the page has.
        body: new URLSearchParams([...fields, ['form', hidden(last?.html ?? '', 'form')]]),
        headers,
      }),
    hidden: (name: string) => hidden(last?.html ?? '', name),
    action: (match: RegExp) => plain(match.exec(last?.html ?? '')?.[0] ?? ''),
    get cookie() {
      return cookie;
    },
    set cookie(text: string) {
      cookie = text;
    },
  };
}
export type Visitor = ReturnType<typeof createVisitor>;
