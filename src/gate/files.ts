import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { evaluate, isSameForRange, type Version } from './condition.ts';
import { contentType } from './content-type.ts';
import { discardBody, type Exchange, pathname } from './exchange.ts';
import { type Opened, openBelow, toNames } from './file-path.ts';
import { ROBOTS } from './headers.ts';
import { parseRanges, type Range } from './range.ts';

type Place = { readonly folder: string; readonly dataDir: string };
type Found = { readonly file: Opened; readonly name: string; readonly status: 200 | 404 };

/**
 * Serves a static site's file. Resolves to false, with nothing sent, when the site has no such file and no `404.html` of its own.
 * @param place `folder` is absolute, or relative to the data dir
 */
export async function serveFile(exchange: Exchange, place: Place): Promise<boolean> {
  const found = await find(exchange.path, resolve(place.dataDir, place.folder));
  if (found === undefined) return false;
  if (typeof found === 'string') {
    send(exchange, 302, ['Location', found, 'Content-Length', '0']);
    return true;
  }
  try {
    await answer(exchange, found);
  } finally {
    await found.file.handle.close();
  }
  return true;
}

/** The file for a path, or where to look for it instead. */
async function find(path: string, root: string): Promise<Found | string | undefined> {
  const asked = toNames(pathname(path));
  const query = path.slice(pathname(path).length);
  if (asked) {
    const found =
      asked.folder || asked.names.length === 0 ? await findIndex(root, asked.names, query) : await findNamed(root, asked.names, query);
    if (found !== undefined) return found;
  }
  // `robots.txt` is answered by us when the site has none, and not by its 404 page.
  if (asked?.names.join('/') === 'robots.txt') return undefined;
  const own = await openBelow(root, ['404.html']);
  return own && own !== 'folder' ? { file: own, name: '404.html', status: 404 } : undefined;
}

const toPath = (names: readonly string[]): string => `/${names.map(encodeURIComponent).join('/')}`;

async function findIndex(root: string, names: readonly string[], query: string): Promise<Found | string | undefined> {
  const index = await openBelow(root, [...names, 'index.html']);
  if (index && index !== 'folder') return { file: index, name: 'index.html', status: 200 };
  const page = names.length > 0 ? await isFile(root, withHtml(names)) : false;
  return page ? toPath(names) + query : undefined;
}

async function findNamed(root: string, names: readonly string[], query: string): Promise<Found | string | undefined> {
  const exact = await openBelow(root, names);
  if (exact && exact !== 'folder') return { file: exact, name: names.at(-1) ?? '', status: 200 };
  const page = await openBelow(root, withHtml(names));
  if (page && page !== 'folder') return { file: page, name: 'page.html', status: 200 };
  // Relative links in the folder's page need the slash.
  return exact === 'folder' && (await isFile(root, [...names, 'index.html'])) ? `${toPath(names)}/${query}` : undefined;
}

const withHtml = (names: readonly string[]): string[] => [...names.slice(0, -1), `${names.at(-1)}.html`];

async function isFile(root: string, names: readonly string[]): Promise<boolean> {
  const opened = await openBelow(root, names);
  if (!opened || opened === 'folder') return false;
  await opened.handle.close();
  return true;
}

function send(exchange: Exchange, status: number, headers: readonly string[]): void {
  exchange.response.writeHead(status, ['Cache-Control', 'no-cache', ...headers, ...ROBOTS]);
  exchange.response.end();
  discardBody(exchange.request);
}

async function answer(exchange: Exchange, { file, name, status }: Found): Promise<void> {
  const { headers, method } = exchange.request;
  // Strong: another content at this path is another inode or another time, and so another tag.
  const etag = `"${createHash('sha256').update(file.fingerprint).digest('base64url').slice(0, 22)}"`;
  const now: Version = { etag, modified: file.modified };
  const common = ['ETag', etag, 'Last-Modified', file.modified.toUTCString(), 'Accept-Ranges', 'bytes'];
  const verdict = status === 200 ? evaluate(headers, now) : 'send';
  if (verdict === 'not-modified') return send(exchange, 304, common);
  if (verdict === 'failed') return send(exchange, 412, ['Content-Length', '0']);
  const type = contentType(name);
  common.push('X-Content-Type-Options', 'nosniff');
  const wanted =
    status === 200 && method === 'GET' && isSameForRange(exchange.request.headersDistinct['if-range']?.[0], now)
      ? parseRanges(headers.range, file.size)
      : undefined;
  if (wanted === 'unsatisfiable') return send(exchange, 416, ['Content-Range', `bytes */${file.size}`, 'Content-Length', '0']);
  if (wanted) return sendParts(exchange, { file, type, common }, wanted);
  const whole = [...common, 'Content-Type', type, 'Content-Length', String(file.size)];
  if (method === 'HEAD') return send(exchange, status, whole);
  if (file.size <= CHUNK) return sendWhole(exchange, { status, headers: whole, file });
  await stream(exchange, { status, headers: whole, chunks: read(file, { first: 0, last: file.size - 1 }) });
}

type Whole = { readonly status: number; readonly headers: readonly string[]; readonly file: Opened };

/** One read and one write: a stream of its own costs a small file more than all the rest of its answer. */
async function sendWhole({ request, response }: Exchange, { status, headers, file }: Whole): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of read(file, { first: 0, last: file.size - 1 })) chunks.push(chunk);
  response.writeHead(status, ['Cache-Control', 'no-cache', ...headers, ...ROBOTS]);
  // Once the visitor has it all, however slow: a body that never ends closes the connection.
  response.once('close', () => discardBody(request)).end(Buffer.concat(chunks));
}

type Sent = { readonly file: Opened; readonly type: string; readonly common: readonly string[] };

async function sendParts(exchange: Exchange, { file, type, common }: Sent, ranges: readonly Range[]): Promise<void> {
  const [only] = ranges;
  if (only && ranges.length === 1) {
    const range = ['Content-Range', `bytes ${only.first}-${only.last}/${file.size}`, 'Content-Length', String(only.last - only.first + 1)];
    return stream(exchange, { status: 206, headers: [...common, 'Content-Type', type, ...range], chunks: read(file, only) });
  }
  const boundary = createHash('sha256')
    .update(`${file.fingerprint}${JSON.stringify(ranges)}`)
    .digest('hex')
    .slice(0, 32);
  const heads = ranges.map(
    ({ first, last }) => `\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: bytes ${first}-${last}/${file.size}\r\n\r\n`,
  );
  const tail = `\r\n--${boundary}--\r\n`;
  const length = ranges.reduce((sum, { first, last }) => sum + last - first + 1, Buffer.byteLength(heads.join('') + tail));
  async function* chunks() {
    for (const [index, range] of ranges.entries()) {
      yield Buffer.from(heads[index] ?? '');
      yield* read(file, range);
    }
    yield Buffer.from(tail);
  }
  const headers = [...common, 'Content-Type', `multipart/byteranges; boundary=${boundary}`, 'Content-Length', String(length)];
  return stream(exchange, { status: 206, headers, chunks: chunks() });
}

const CHUNK = 256 * 1_024;

async function* read(file: Opened, { first, last }: Range): AsyncGenerator<Buffer> {
  for (let position = first; position <= last; ) {
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, last - position + 1));
    const { bytesRead } = await file.handle.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) throw new Error('the file became shorter while it was sent');
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

type Streamed = { readonly status: number; readonly headers: readonly string[]; readonly chunks: AsyncIterable<Buffer> };

async function stream(exchange: Exchange, { status, headers, chunks }: Streamed): Promise<void> {
  const { request, response } = exchange;
  response.writeHead(status, ['Cache-Control', 'no-cache', ...headers, ...ROBOTS]);
  // One that is cut off has destroyed the connection: the visitor sees it, and there is nobody to tell more.
  await pipeline(Readable.from(chunks, { objectMode: false }), response).catch(() => undefined);
  discardBody(request);
}
