import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createMasker, maskAll } from '../masking/masker.ts';
import type { LaunchId, SiteId } from '../site/identity.ts';
import { cleanLog, lastLines } from '../site/text.ts';

/** Of a log that is longer than both together the middle is left out. */
const HEAD_BYTES = 9 * 1024 * 1024;
const TAIL_CHARACTERS = 1024 * 1024;
const TAIL = { lines: 200, maxBytes: 48 * 1024 };

/** The log of one launch. Everything is masked before it is kept anywhere. */
export interface MaskedLog extends AsyncDisposable {
  readonly file: string;
  write(chunk: string): void;
  /** From now on these values are masked, in every common encoding. */
  hide(secrets: readonly string[]): void;
  /** The end: masked, without control characters, at most so many lines and bytes. */
  tail(limit?: { readonly lines: number; readonly maxBytes: number }): Promise<string>;
}

/** Opens `logs/<site>/<launch>.log`; at most 10 MiB of it are kept: the beginning and the end. */
export async function openLaunchLog(of: {
  readonly dataDir: string;
  readonly site: SiteId;
  readonly launch: LaunchId;
  readonly secrets?: readonly string[];
}): Promise<MaskedLog> {
  const file = join(of.dataDir, 'logs', of.site, `${of.launch}.log`);
  // A disk that is full costs the log's file, not the launch: the end is kept in memory for the comment.
  await mkdir(dirname(file), { recursive: true, mode: 0o700 }).catch(() => {});
  const stream = createWriteStream(file, { flags: 'a', mode: 0o600 });
  stream.on('error', () => {});
  // Listened for from the start, since a stream that failed closes by itself, once.
  const closed = new Promise<void>((resolve) => stream.once('close', resolve));
  const masker = createMasker(of.secrets);
  const hidden = [...(of.secrets ?? [])];
  let written = 0;
  const end = createEnd(TAIL_CHARACTERS);
  const late = createEnd(TAIL_CHARACTERS);
  const keep = (text: string): void => {
    if (text === '') return;
    end.add(text);
    if (written + text.length <= HEAD_BYTES) {
      written += Buffer.byteLength(text);
      stream.write(text);
      return;
    }
    written = HEAD_BYTES;
    late.add(text);
  };
  return {
    file,
    write: (chunk) => keep(masker.push(chunk)),
    hide(secrets) {
      hidden.push(...secrets);
      masker.hide(secrets);
    },
    async tail(limit = TAIL) {
      keep(masker.flush());
      // Masked again, for what an escape sequence in its middle had kept apart.
      return clipped(maskAll(lastLines(cleanLog(end.text()), limit.lines).join('\n'), hidden), limit.maxBytes);
    },
    async [Symbol.asyncDispose]() {
      keep(masker.flush());
      const text = late.text();
      const left = late.added() - text.length;
      if (left > 0) stream.write(`\n… ${left} characters left out …\n`);
      stream.write(text);
      stream.end(() => stream.destroy());
      await closed;
    },
  };
}

/** The last `max` characters of what is added. Cut only once twice as much is there: for each small piece it would copy all of it. */
function createEnd(max: number): { add(text: string): void; text(): string; added(): number } {
  let kept = '';
  let added = 0;
  return {
    add(text) {
      kept += text;
      added += text.length;
      if (kept.length > 2 * max) kept = kept.slice(-max);
    },
    text: () => kept.slice(-max),
    added: () => added,
  };
}

/** The end of the text that fits, from the beginning of a line where there is one. */
function clipped(text: string, maxBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= maxBytes) return text;
  const end = bytes
    .subarray(bytes.length - maxBytes)
    .toString('utf8')
    .replace(/^\ufffd+/, '');
  return end.includes('\n') ? end.slice(end.indexOf('\n') + 1) : end;
}
