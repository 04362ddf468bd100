import { extname } from 'node:path';
import { getMimeType } from 'hono/utils/mime';

/** What sites have and the library's table lacks, or says without a charset. */
const MORE: Readonly<Record<string, string>> = {
  '.cjs': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.md': 'text/markdown; charset=utf-8',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.xhtml': 'application/xhtml+xml; charset=utf-8',
  '.xml': 'application/xml; charset=utf-8',
  '.yaml': 'application/yaml',
  '.yml': 'application/yaml',
};

/** By extension; what is unknown is bytes, never guessed from its content. */
export const contentType = (name: string): string => MORE[extname(name).toLowerCase()] ?? getMimeType(name) ?? 'application/octet-stream';
