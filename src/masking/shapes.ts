/** What replaces a credential; `$1`, `$2`: what of the match is shown before it. */
type Shape = { readonly pattern: RegExp; readonly before: string; readonly after: string };

const whole = (pattern: RegExp): Shape => ({ pattern, before: '', after: '' });

const KEY_BEGIN = /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----/g;
const KEY_END = /-----END [A-Z ]{0,40}PRIVATE KEY-----/;

/** Credentials that we may not know by value: minted tokens, keys, passwords in addresses. Every pattern is linear in the text. */
const SHAPES: readonly Shape[] = [
  // A block that is cut off is hidden to the end of the text.
  whole(/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|$)/g),
  whole(
    /(?<![A-Za-z0-9])(?:gh[pousr]_|github_pat_|gl(?:pat|dt|rt|cbt|ptt|soat|agent|ft|imt|ffct)-|whsec_|mayfly_hook_)[A-Za-z0-9_+/=.-]{16,}/g,
  ),
  whole(/(?<![A-Za-z0-9])(?:npm_|[sr]k_live_|[sr]k_test_|xox[abeoprs]-|dop_v1_|pypi-|AIza|ya29\.|sk-)[A-Za-z0-9_-]{20,}/g),
  whole(/(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])/g),
  whole(/(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{6,}\.eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{8,}/g),
  { pattern: /\b([a-z][a-z0-9+.-]{1,20}:\/\/[^\s:/@"']{0,100}):[^\s/@"']{1,300}@/gi, before: '$1:', after: '@' },
  { pattern: /\b(Bearer|Basic|token)(\s+)[A-Za-z0-9._~+/=-]{16,}/gi, before: '$1$2', after: '' },
];

/** The text with everything that is shaped like a credential replaced by `mask`. */
export const maskShapes = (text: string, mask: string): string =>
  SHAPES.reduce((clean, { pattern, before, after }) => clean.replace(pattern, `${before}${mask}${after}`), text);

/** Where a private key begins whose end is not in the text yet; undefined when there is none. */
export function openKeyAt(text: string): number | undefined {
  const begin = [...text.matchAll(KEY_BEGIN)].at(-1);
  return begin === undefined || KEY_END.test(text.slice(begin.index)) ? undefined : begin.index;
}
