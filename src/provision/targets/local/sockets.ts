import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { hashed } from '../../../../infra/labels.ts';
import { namesIn } from '../../names-in.ts';

/** `sun_path`, less the closing zero. */
const MAX_PATH = 107;
/** A socket has another name for a moment before its box listens: see `box-process.ts`. */
const SOCKET = /^.+\.sock~?$/;

/** The socket behind which a service answers. */
export function socketOf(folder: string, service: string): string {
  const socket = join(folder, `${hashed(service, 16)}.sock`);
  if (Buffer.byteLength(socket) > MAX_PATH) throw new Error(`The path of a socket is longer than ${MAX_PATH} bytes: ${socket}`);
  return socket;
}

/** Names of sockets in the folder, which is one Mayfly's alone, that belong to none of these services. */
export async function straySockets(folder: string, services: Iterable<string>): Promise<readonly string[]> {
  const known = new Set([...services].map((service) => socketOf(folder, service)));
  return (await namesIn(folder)).filter((name) => SOCKET.test(name) && !known.has(join(folder, name.replace(/~$/, ''))));
}

/** Removes a socket by its name in the folder, if it is still a stray. */
export async function removeStraySocket(folder: string, name: string, services: Iterable<string>): Promise<void> {
  if ((await straySockets(folder, services)).includes(name)) await rm(join(folder, name), { force: true });
}
