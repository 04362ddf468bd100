import { appendFile, mkdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { SiteId } from '../site/identity.ts';
import type { Log } from './log.ts';

export type Visit = {
  readonly at: Date;
  readonly address: string;
  readonly method: string;
  /** With the query: it is left out here. */
  readonly path: string;
  readonly status: number;
  readonly bytes: number;
  readonly ms: number;
  readonly agent: string;
};

export interface AccessLog extends AsyncDisposable {
  add(site: SiteId, visit: Visit): void;
}

export type AccessLogOptions = {
  readonly dataDir: string;
  readonly log: Log;
  /** A file that has grown past this becomes `access.log.1`: at most two of them stand. */
  readonly fileBytes?: number;
};

const FILE_BYTES = 5 * 2 ** 20;
const FLUSH_MS = 250;
/** What waits for a slow disk; more is dropped, so that visitors never wait for the log. */
const WAITING_CHARACTERS = 2 ** 20;

/** Per site `logs/<site>/access.log`, written in the background. */
export function openAccessLog(options: AccessLogOptions): AccessLog {
  const fileBytes = options.fileBytes ?? FILE_BYTES;
  const waiting = new Map<SiteId, string>();
  let writing = Promise.resolve();
  const flush = () => {
    const lines = [...waiting];
    waiting.clear();
    if (lines.length === 0) return;
    writing = writing.then(async () => {
      for (const [site, text] of lines) {
        await write(join(options.dataDir, 'logs', site), text, fileBytes).catch((cause: unknown) => {
          // A full disk must not take the sites down; the lines are lost, and that is said.
          options.log.warn({ err: cause, site }, 'the access log could not be written');
        });
      }
    });
  };
  const timer = setInterval(flush, FLUSH_MS);
  timer.unref();
  return {
    add(site, visit) {
      const before = waiting.get(site) ?? '';
      if (before.length < WAITING_CHARACTERS) waiting.set(site, before + toLine(visit));
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      flush();
      await writing;
    },
  };
}

async function write(folder: string, text: string, fileBytes: number): Promise<void> {
  const file = join(folder, 'access.log');
  // 0700: addresses of visitors are nobody else's business.
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await appendFile(file, text, { mode: 0o600 });
  if ((await stat(file)).size > fileBytes) await rename(file, `${file}.1`);
}

/**
 * `time address "method path" status bytes ms "user agent"`. The query is left out: people put tokens there. Quotes, backslashes and
 * whatever is not printable ASCII are escaped, so that a line is a line.
 */
export function toLine(visit: Visit): string {
  const query = visit.path.search(/[?#]/);
  const what = `${visit.method} ${query < 0 ? visit.path : visit.path.slice(0, query)}`;
  const numbers = `${visit.status} ${visit.bytes} ${visit.ms}`;
  return `${visit.at.toISOString()} ${printable(visit.address)} "${printable(what)}" ${numbers} "${printable(visit.agent)}"\n`;
}

const LONGEST = 1_000;
const printable = (text: string): string => text.slice(0, LONGEST).replace(/["\\]|[^\x20-\x7e]/g, escaped);

function escaped(character: string): string {
  if (character === '"' || character === '\\') return `\\${character}`;
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
