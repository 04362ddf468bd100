import { maskShapes, openKeyAt } from './shapes.ts';

/** Shorter values are no secrets, and masking them would blot out half a log. */
const SHORTEST = 6;
export const MASK = '***';
/** Of an unfinished line, or of a key without an end, so much is kept back: credentials are shorter. */
const KEPT_CHARACTERS = 16 * 1024;

/**
 * Every form in which a secret is likely to turn up: as it is, its longer lines, base64 and base64url at each of the three alignments,
 * hexadecimal, URL-encoded, and escaped for JSON, HTML and shells. Not: compressed, encrypted, reversed or spelt out with separators.
 */
export function disguises(secret: string): readonly string[] {
  const json = JSON.stringify(secret).slice(1, -1);
  const url = encodeURIComponent(secret);
  const forms = [
    secret,
    ...secret.split(/\r?\n/).filter((line) => line.length >= 16),
    ...[0, 1, 2].flatMap((offset) => base64At(secret, offset)),
    // By itself: to the end, whose last character is half padding.
    Buffer.from(secret).toString('base64'),
    Buffer.from(secret).toString('base64url'),
    Buffer.from(secret).toString('hex'),
    Buffer.from(secret).toString('hex').toUpperCase(),
    url,
    url.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    url.replaceAll('%20', '+'),
    encodeURI(secret),
    json,
    json.replaceAll('/', '\\/'),
    json.replace(/[<>&']/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`),
    JSON.stringify(json).slice(1, -1),
    secret.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;'),
    secret.replaceAll("'", `'\\''`),
  ];
  const flat = forms.map((form) => form.replace(/[\r\n]/g, '')).filter((form) => form.length >= SHORTEST);
  return [...new Set(flat)].sort((one, other) => other.length - one.length);
}

/** The characters of the base64 text that depend on the secret alone, when `offset` bytes of something else come before it. */
function base64At(secret: string, offset: number): readonly string[] {
  const bytes = Buffer.concat([Buffer.alloc(offset), Buffer.from(secret)]);
  const text = bytes.toString('base64').slice(Math.ceil((offset * 8) / 6), Math.floor((bytes.length * 8) / 6));
  return [text, text.replaceAll('+', '-').replaceAll('/', '_')];
}

export interface Masker {
  /** From now on these are masked as well. */
  hide(secrets: readonly string[]): void;
  /** @returns what can be shown by now: an end that may be the beginning of a secret is kept back */
  push(chunk: string): string;
  /** @returns what was kept back; the text is over, or waits for something */
  flush(): string;
}

/**
 * Masks secrets in a text that comes in pieces: those that are known, also where one is split between pieces or broken by line ends or colours, and
 * whatever is shaped like a credential. What is shown ends at a line's end, but for lines that are longer than any credential.
 */
export function createMasker(secrets: readonly string[] = []): Masker {
  let forms: readonly string[] = [];
  let kept = '';
  const hide = (more: readonly string[]): void => {
    const all = more.filter((secret) => secret.length >= SHORTEST).flatMap(disguises);
    forms = [...new Set([...forms, ...all])].sort((one, other) => other.length - one.length);
  };
  hide(secrets);
  return {
    hide,
    push(chunk) {
      const { text, open } = mask(kept + chunk, forms);
      const shown = Math.min(open, unfinishedAt(text));
      kept = text.slice(shown);
      return maskShapes(text.slice(0, shown), MASK);
    },
    flush() {
      const rest = maskShapes(kept, MASK);
      kept = '';
      return rest;
    },
  };
}

/** A whole text masked. */
export function maskAll(text: string, secrets: readonly string[]): string {
  const masker = createMasker(secrets);
  return masker.push(text) + masker.flush();
}

/** Where the last line begins, or the private key that is being printed. */
function unfinishedAt(text: string): number {
  const line = Math.max(text.lastIndexOf('\n'), text.lastIndexOf('\r')) + 1;
  const from = Math.min(line, openKeyAt(text) ?? line);
  if (text.length - from <= KEPT_CHARACTERS) return from;
  // Never in the middle of a word, which could be a credential; a word as long as that is none.
  const cut = text.slice(-KEPT_CHARACTERS).search(/\s/);
  return cut === -1 ? text.length : text.length - KEPT_CHARACTERS + cut;
}

/** The text masked, and where in it something begins that could still become a secret. */
function mask(text: string, forms: readonly string[]): { readonly text: string; readonly open: number } {
  if (forms.length === 0) return { text, open: text.length };
  const { flat, place } = flattened(text);
  const hits = findAll(flat, forms);
  let shown = '';
  let from = 0;
  for (const [start, end] of hits) {
    shown += text.slice(from, place(start)) + MASK;
    from = place(end - 1) + 1;
  }
  const lastHit = hits.at(-1)?.[1] ?? 0;
  const open = openAt(flat.slice(lastHit), forms);
  const cut = open === undefined ? text.length : place(lastHit + open);
  const before = shown + text.slice(from, cut);
  return { text: before + text.slice(cut), open: before.length };
}

/**
 * What may stand in the middle of a secret and is not seen where a log is shown: line ends, colours and other escape sequences, marks
 * without a width.
 */
const UNSEEN =
  /[\r\n\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]|\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b\n]*(?:\u0007|\u001b\\)/g;

/** The text without what is not seen, and where one of its characters stood; to be asked in ascending order. */
function flattened(text: string): { readonly flat: string; readonly place: (index: number) => number } {
  const gaps = [...text.matchAll(UNSEEN)].map((found) => ({ at: found.index, length: found[0].length }));
  let passed = 0;
  let skipped = 0;
  return {
    flat: gaps.length === 0 ? text : text.replace(UNSEEN, ''),
    place(index) {
      for (let gap = gaps[passed]; gap !== undefined && gap.at <= index + skipped; gap = gaps[passed]) {
        skipped += gap.length;
        passed += 1;
      }
      return index + skipped;
    },
  };
}

/** Start and end of every occurrence; overlapping ones are joined. */
function findAll(flat: string, forms: readonly string[]): readonly (readonly [number, number])[] {
  const found: [number, number][] = [];
  for (const form of forms) {
    for (let at = flat.indexOf(form); at !== -1; at = flat.indexOf(form, at + 1)) {
      // One that is made of repetitions may stand in each of its own characters: the last of those that overlap says as much as all.
      const last = flat.lastIndexOf(form, at + form.length);
      found.push([at, last + form.length]);
      at = last;
    }
  }
  found.sort((one, other) => one[0] - other[0]);
  const joined: [number, number][] = [];
  for (const hit of found) {
    const last = joined.at(-1);
    if (last && hit[0] <= last[1]) last[1] = Math.max(last[1], hit[1]);
    else joined.push(hit);
  }
  return joined;
}

/** Where the longest end of `flat` starts with which a form begins. */
function openAt(flat: string, forms: readonly string[]): number | undefined {
  let first: number | undefined;
  for (const form of forms) {
    const start = form.charAt(0);
    const from = Math.max(flat.length - form.length + 1, 0);
    for (let at = flat.indexOf(start, from); at !== -1 && at < (first ?? flat.length); at = flat.indexOf(start, at + 1)) {
      if (form.startsWith(flat.slice(at))) first = at;
    }
  }
  return first;
}
