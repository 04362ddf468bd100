/** First and last byte, both included. */
export type Range = { readonly first: number; readonly last: number };

/** More parts than a viewer of PDFs or video asks for are an attack, or might as well be the whole file. */
const MOST_PARTS = 10;

/**
 * Reads a `Range` header (RFC 9110 §14).
 * @returns undefined when it is to be ignored and all is sent: another unit, malformed, too many parts or more than the file
 */
export function parseRanges(header: string | undefined, size: number): readonly Range[] | 'unsatisfiable' | undefined {
  const [, list] = /^bytes=(.+)$/i.exec(header?.trim() ?? '') ?? [];
  if (list === undefined) return undefined;
  const specs = list.split(',').map((item) => item.trim());
  if (specs.length > MOST_PARTS) return undefined;
  const ranges: Range[] = [];
  for (const spec of specs) {
    const [, from = '', to = ''] = /^([0-9]{0,15})-([0-9]{0,15})$/.exec(spec) ?? [];
    if (from === '' && to === '') return undefined;
    if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined;
    const first = from === '' ? Math.max(0, size - Number(to)) : Number(from);
    const last = from === '' || to === '' ? size - 1 : Math.min(Number(to), size - 1);
    if (first <= last) ranges.push({ first, last });
  }
  if (ranges.length === 0) return 'unsatisfiable';
  const sum = ranges.reduce((total, range) => total + range.last - range.first + 1, 0);
  return ranges.length > 1 && sum > size ? undefined : ranges;
}
