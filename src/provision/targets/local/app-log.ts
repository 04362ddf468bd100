import { createWriteStream } from 'node:fs';
import { mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { createMasker, maskAll } from '../../../masking/masker.ts';
import { cleanLog, lastLines } from '../../../site/text.ts';

/** The app's own output in one file, and the file before it: together never more than twice this. */
const MAX_BYTES = 5 * 1024 * 1024;

export interface AppLog extends AsyncDisposable {
  write(text: string): void;
  /** Whatever is written now is dropped. */
  readonly isFull: boolean;
}

/** Appends to `path`. A file that is full becomes `path`.1 in place of the older one when the app is next started; until then the rest is dropped, and that is said. */
export async function openAppLog(path: string): Promise<AppLog> {
  await mkdir(dirname(path), { recursive: true });
  let size = await sizeOf(path);
  if (size >= MAX_BYTES / 2) {
    await rename(path, `${path}.1`);
    size = 0;
  }
  const file = createWriteStream(path, { flags: 'a', mode: 0o600 });
  // A log that cannot be written must not end the app that writes it.
  file.on('error', () => undefined);
  // Listened for from the start, since a stream that failed closes by itself, once.
  const closed = new Promise<void>((resolve) => file.once('close', resolve));
  let isFull = false;
  return {
    get isFull() {
      return isFull;
    },
    write(text) {
      if (isFull) return;
      const chunk = Buffer.from(text);
      const room = MAX_BYTES - size;
      size += chunk.length;
      // A slow disk makes the app's output wait in memory: what is beyond the buffer is dropped like what is beyond the file.
      if (file.writableLength > MAX_BYTES) return;
      file.write(chunk.subarray(0, Math.max(room, 0)));
      if (size > MAX_BYTES) {
        isFull = true;
        file.write('\n[mayfly] the log is full; nothing more is written until the app is started again\n');
      }
    },
    async [Symbol.asyncDispose]() {
      file.end();
      await closed;
    },
  };
}

export interface Hearing {
  hear(chunk: Buffer): void;
  /** From now on nobody listens but the log: what an app says without end costs nothing once that is full. */
  logAlone(): void;
  end(): Promise<void>;
}

/** Writes down what an app says, and tells it to `also`: without the secrets that it was given, since what is kept of it outlives them. */
export async function openHearing(
  path: string,
  { secrets, also }: { readonly secrets: readonly string[]; readonly also: (text: string) => void },
): Promise<Hearing> {
  const log = await openAppLog(path);
  const masker = createMasker(secrets);
  const decoder = new StringDecoder('utf8');
  let isAlone = false;
  const tell = (text: string): void => {
    log.write(text);
    also(text);
  };
  return {
    hear(chunk) {
      if (!isAlone || !log.isFull) tell(masker.push(decoder.write(chunk)));
    },
    logAlone() {
      isAlone = true;
    },
    async end() {
      tell(masker.push(decoder.end()) + masker.flush());
      await log[Symbol.asyncDispose]();
    },
  };
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    // A first log has no size.
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 0;
    throw error;
  }
}

/** Of a log that is read for somebody, so much of its end is looked at. */
const READ_BYTES = 256 * 1024;

/** The last lines of a log, without control characters and with these secrets masked, as everything that is shaped like one. */
export async function readAppLog(path: string, want: { readonly lines: number; readonly secrets: readonly string[] }): Promise<string> {
  const size = await sizeOf(path);
  if (size === 0) return '';
  await using file = await open(path, 'r');
  const buffer = Buffer.alloc(Math.min(size, READ_BYTES));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, Math.max(size - READ_BYTES, 0));
  const text = maskAll(buffer.toString('utf8', 0, bytesRead), want.secrets);
  // Again, for what an escape sequence in its middle had kept apart.
  return lastLines(maskAll(cleanLog(text), want.secrets), want.lines).join('\n');
}
