import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { EXPORTED } from '../../build-box.ts';
import type { Google } from './google.ts';

export type Archive = { readonly bucket: string; readonly object: string };
export type Uploaded = Archive & { readonly generation: string };

/**
 * Names are never arguments, links stay links, and whoever checked the files out is left out of it. Everybody may read: builders run as
 * users of their own.
 */
const TAR = [
  '--create',
  '--file=-',
  '--format=gnu',
  '--sort=name',
  '--owner=0',
  '--group=0',
  '--numeric-owner',
  '--mtime=@0',
  '--mode=u+rwX,go+rX,go-w',
];

/**
 * Streams a folder as `tar.gz` into a bucket; nothing of it touches the disk. What there was under that name is replaced. Throws what
 * Google's client throws, or what the signal was aborted with; then the bucket has no such object, or none that is whole.
 * @returns the place with its generation: exactly these bytes, whatever is put there later
 */
export async function uploadFolder(google: Google, folder: string, to: Archive & { readonly signal: AbortSignal }): Promise<Uploaded> {
  const { bucket, object, signal } = to;
  signal.throwIfAborted();
  const file = (await google.objects()).bucket(bucket).file(object);
  // Sent at once and not in parts: one that is cut off is asked for again by the launch, and leaves nothing.
  const upload = file.createWriteStream({ resumable: false, contentType: 'application/gzip' });
  await pipeline(packed(folder), createGzip(), upload, { signal });
  return { bucket, object, generation: String(file.metadata.generation) };
}

/** Removes the archive; one that is gone is no error. */
export async function removeArchive(google: Google, { bucket, object }: Archive): Promise<void> {
  await (await google.objects()).bucket(bucket).file(object).delete({ ignoreNotFound: true });
}

/** The folder as tar writes it. Throws at its end when tar failed, so that no half of it is taken for the whole. */
async function* packed(folder: string): AsyncGenerator<Buffer> {
  const tar = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'tar', ...TAR, `--directory=${folder}`, '.'], {
    env: EXPORTED,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  tar.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(-1_000);
  });
  const closed = once(tar, 'close');
  // Heard of below; a reader that has given up does not come there.
  closed.catch(() => undefined);
  try {
    yield* tar.stdout;
    const [code] = await closed;
    if (code !== 0) throw new Error(`tar ended with ${code}: ${said}`);
  } finally {
    tar.kill('SIGKILL');
  }
}
