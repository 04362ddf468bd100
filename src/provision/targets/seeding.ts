import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import pg from 'pg';
import { Fault } from '../../site/problem.ts';
import { chunksOf } from '../chunks.ts';
import { SEED_MAX_BYTES, seedTooLarge } from '../seeds.ts';
import { isDiskFull } from '../storage/disk.ts';

/** `file` is absolute and holds what `sha256` says; `name` is what people call it. */
export type Seed = { readonly name: string; readonly file: string; readonly sha256: string };

const SEED_TIMEOUT_MS = 120_000;
/** A byte order mark is no SQL. */
const BYTE_ORDER_MARK = Buffer.from('\uFEFF');

/** A seed's SQL: so many bytes of the file, from `start` to its end. */
type Sql = { readonly file: FileHandle; readonly start: number; readonly bytes: number };

/**
 * Runs the whole file as one multi-statement query: all of it or, unless it has its own transactions, nothing.
 * Throws Fault `seed-failed` or `disk-full`, or what the signal was aborted with.
 * @param url of the one database that the seed is for, as a role that can do nothing else
 */
export async function runSeed(url: string, seed: Seed, signal: AbortSignal): Promise<void> {
  await using file = await open(seed.file);
  const sql = await sqlOf(file, seed);
  const client = new pg.Client({ connectionString: url, application_name: 'mayfly-seed', statement_timeout: SEED_TIMEOUT_MS });
  // What ends the connection also fails the query, and is told there.
  client.on('error', () => undefined);
  await client.connect();
  // A seed may switch off the statement's own limit.
  const limit = AbortSignal.any([signal, AbortSignal.timeout(SEED_TIMEOUT_MS + 5_000)]);
  const cut = (): void => void client.end();
  const ended = new Promise<never>((_, reject) => limit.addEventListener('abort', () => reject(limit.reason), { once: true }));
  try {
    signal.throwIfAborted();
    await Promise.race([run(client, sql), ended]);
  } catch (error) {
    signal.throwIfAborted();
    if (isDiskFull(error)) throw new Fault('disk-full', { cause: error });
    throw new Fault('seed-failed', { details: { seed: seed.name, cause: await explain(error, sql) }, cause: error });
  } finally {
    // Never rejected unheard once the seed is through.
    ended.catch(() => undefined);
    if (limit.aborted) cut();
    else await client.end();
  }
}

async function sqlOf(file: FileHandle, seed: Seed): Promise<Sql> {
  const { size } = await file.stat();
  if (size > SEED_MAX_BYTES) throw seedTooLarge(seed.name);
  const { buffer } = await file.read(Buffer.alloc(BYTE_ORDER_MARK.length), 0, BYTE_ORDER_MARK.length, 0);
  const start = buffer.equals(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK.length : 0;
  return { file, start, bytes: size - start };
}

/** As `client.query` of the text would, without the text: a seed of 50 MB costs as much again in strings and their collection as PostgreSQL takes. */
async function run(client: pg.Client, sql: Sql): Promise<void> {
  const query = new pg.Query('');
  // What a seed selects is for nobody: with a listener it is not gathered.
  query.on('row', () => undefined);
  query.submit = ({ stream }) => void send(stream, sql).catch((error: unknown) => stream.destroy(toError(error)));
  const ended = once(query, 'end');
  client.query(query);
  await ended;
}

const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

/** One `Query` message of the protocol: its letter, its length without that, and the text to a zero. */
async function send(stream: Writable, { file, start, bytes }: Sql): Promise<void> {
  const head = Buffer.from('Q____');
  head.writeInt32BE(4 + bytes + 1, 1);
  await write(stream, head);
  for await (const chunk of chunksOf(file, start)) await write(stream, chunk);
  await write(stream, Buffer.of(0));
}

const write = (stream: Writable, bytes: Buffer): Promise<void> =>
  new Promise((resolve, reject) => stream.write(bytes, (error) => (error ? reject(error) : resolve())));

/** The server's own sentence, with the line where it knows the place. */
async function explain(error: unknown, sql: Sql): Promise<string> {
  if (!(error instanceof Error)) return 'it could not be run';
  if (error.name === 'TimeoutError') return `it took longer than ${SEED_TIMEOUT_MS / 1000} s`;
  if (error instanceof pg.DatabaseError && error.position) return `${error.message} (line ${await lineAt(sql, Number(error.position))})`;
  return error.message;
}

const NEWLINE = 0x0a;
/** In UTF-8 all bytes of a character but its first are of the form 10xxxxxx. */
const isFirst = (byte: number): boolean => (byte & 0xc0) !== 0x80;

/** The line in which a character is, both counted from 1. */
async function lineAt({ file, start }: Sql, position: number): Promise<number> {
  let line = 1;
  let characters = 0;
  for await (const chunk of chunksOf(file, start)) {
    for (const byte of chunk) {
      if (isFirst(byte)) characters += 1;
      if (characters === position) return line;
      if (byte === NEWLINE) line += 1;
    }
  }
  return line;
}
