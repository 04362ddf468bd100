// Serves a static site's folder in its container: `node -e <this> <folder>`. One small file of plain JavaScript without dependencies, which
// stands in the image's command. It answers as Mayfly's own gate does for such sites on one machine.
import { createHash } from 'node:crypto';
import { open, realpath } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, sep } from 'node:path';

const root = await realpath(process.argv[1] ?? '.');
const TYPES = {
  '.avif': 'image/avif',
  '.css': 'text/css; charset=utf-8',
  '.csv': 'text/csv; charset=utf-8',
  '.gif': 'image/gif',
  '.htm': 'text/html; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.jpeg': 'image/jpeg',
  '.jpg': 'image/jpeg',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.md': 'text/markdown; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.mp3': 'audio/mpeg',
  '.mp4': 'video/mp4',
  '.otf': 'font/otf',
  '.pdf': 'application/pdf',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.ttf': 'font/ttf',
  '.txt': 'text/plain; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webm': 'video/webm',
  '.webmanifest': 'application/manifest+json',
  '.webp': 'image/webp',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
  '.xml': 'application/xml',
};

/** The file below the root, `'folder'`, or undefined; no link leads out, and nothing hidden is shown. */
async function find(names) {
  if (names.some((name) => name === '..' || /[/\\\0]/.test(name) || (name.startsWith('.') && name !== '.well-known'))) return undefined;
  const path = await realpath(join(root, ...names)).catch(() => undefined);
  if (path === undefined || (path !== root && !path.startsWith(root + sep))) return undefined;
  const handle = await open(path).catch(() => undefined);
  const stat = await handle?.stat();
  if (stat?.isFile()) return { handle, size: stat.size, name: path };
  await handle?.close();
  return stat?.isDirectory() ? 'folder' : undefined;
}

async function file(names) {
  const found = await find(names);
  return found === 'folder' ? undefined : found;
}

/** What a path is answered with: a file with its status, or where to look instead. */
async function look(path) {
  const names = path.split('/').filter((name) => name !== '');
  const to = (more) => `/${names.map(encodeURIComponent).join('/')}${more}`;
  const page = [...names.slice(0, -1), `${names.at(-1)}.html`];
  if (path.endsWith('/')) {
    const index = await file([...names, 'index.html']);
    if (index) return { status: 200, ...index };
    const plain = names.length > 0 ? await file(page) : undefined;
    await plain?.handle.close();
    if (plain) return { to: to('') };
  } else {
    const found = await find(names);
    if (found && found !== 'folder') return { status: 200, ...found };
    const plain = await file(page);
    if (plain) return { status: 200, ...plain };
    const index = found === 'folder' ? await file([...names, 'index.html']) : undefined;
    await index?.handle.close();
    if (index) return { to: to('/') };
  }
  const own = await file(['404.html']);
  return own ? { status: 404, ...own } : undefined;
}

/** By content: every file of an image has the same time. */
const tags = new Map();
async function tagOf({ name, handle }) {
  if (!tags.has(name)) {
    const hash = createHash('sha256');
    for await (const chunk of handle.createReadStream({ start: 0, autoClose: false })) hash.update(chunk);
    tags.set(name, `"${hash.digest('base64url').slice(0, 22)}"`);
  }
  return tags.get(name);
}

async function answer(request, response) {
  const say = (status, headers = {}) => void response.writeHead(status, headers).end();
  if (request.method !== 'GET' && request.method !== 'HEAD') return say(405, { Allow: 'GET, HEAD' });
  const [raw = '/', query] = (request.url ?? '/').split(/\?(.*)/s);
  let path;
  try {
    path = decodeURIComponent(raw);
  } catch {
    return say(400);
  }
  const found = await look(path);
  if (found === undefined) return say(404, { 'Content-Length': '0' });
  if (found.to !== undefined) return say(302, { Location: query === undefined ? found.to : `${found.to}?${query}`, 'Content-Length': '0' });
  await using handle = found.handle;
  const headers = { 'Cache-Control': 'no-cache', ETag: await tagOf(found), 'Accept-Ranges': 'bytes', 'X-Content-Type-Options': 'nosniff' };
  if (found.status === 200 && request.headers['if-none-match'] === headers.ETag) return say(304, headers);
  const type = { 'Content-Type': TYPES[extname(found.name).toLowerCase()] ?? 'application/octet-stream' };
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(found.status === 200 ? (request.headers.range ?? '') : '') ?? [];
  const end = Math.min(last ? Number(last) : found.size - 1, found.size - 1);
  const start = Number(first ?? 0);
  if (first !== undefined && start > end) return say(416, { 'Content-Range': `bytes */${found.size}`, 'Content-Length': '0' });
  const range = first === undefined ? {} : { 'Content-Range': `bytes ${start}-${end}/${found.size}` };
  response.writeHead(first === undefined ? found.status : 206, { ...headers, ...type, ...range, 'Content-Length': end - start + 1 });
  if (request.method === 'HEAD' || end < start) return response.end();
  for await (const chunk of handle.createReadStream({ start, end, autoClose: false })) {
    if (response.destroyed) return;
    if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
  }
  response.end();
}

createServer((request, response) => void answer(request, response).catch(() => response.destroy())).listen(
  Number(process.env.PORT ?? 8080),
);
