import { createHash } from 'node:crypto';
import { type Answer, Refused } from './asked.ts';
import type { Bucket, StoredObject } from './cloud.ts';
import type { Json } from './run-types.ts';

/** An error as the JSON API gives it. */
export const storageError = (code: number, reason: string, message: string): Answer => ({
  status: code,
  body: { error: { code, message, errors: [{ message, domain: 'global', reason }] } },
});
export const refused = (code: number, reason: string, message: string): Refused => new Refused(storageError(code, reason, message));

const POLYNOMIAL = 0x82f63b78;
const TABLE = Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = (value & 1) === 1 ? (value >>> 1) ^ POLYNOMIAL : value >>> 1;
  return value >>> 0;
});
/** CRC-32C in base64, big-endian, as https://cloud.google.com/storage/docs/hashes-etags has it. */
export function crc32c(bytes: Buffer): string {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  const four = Buffer.alloc(4);
  four.writeUInt32BE((crc ^ 0xffffffff) >>> 0);
  return four.toString('base64');
}
export const md5 = (bytes: Buffer): string => createHash('md5').update(bytes).digest('base64');

/** An object as the API describes it. */
export function objectJson(bucket: Bucket, name: string, object: StoredObject, origin: string): Json {
  const at = object.updatedAt.toISOString();
  const path = `/storage/v1/b/${bucket.name}/o/${encodeURIComponent(name)}`;
  const generation = object.generation.toString();
  return {
    kind: 'storage#object',
    id: `${bucket.name}/${name}/${generation}`,
    selfLink: `${origin}${path}`,
    mediaLink: `${origin}/download${path}?generation=${generation}&alt=media`,
    name,
    bucket: bucket.name,
    generation,
    metageneration: '1',
    contentType: object.contentType,
    storageClass: 'STANDARD',
    size: String(object.bytes.length),
    md5Hash: md5(object.bytes),
    crc32c: crc32c(object.bytes),
    etag: Buffer.from(generation).toString('base64'),
    timeCreated: at,
    updated: at,
    timeStorageClassUpdated: at,
    ...(Object.keys(object.metadata).length > 0 ? { metadata: object.metadata } : {}),
  };
}

/** `ifGenerationMatch`: what must be there, 0 for nothing. */
export function checkGeneration(there: StoredObject | undefined, query: URLSearchParams): void {
  const wanted = query.get('ifGenerationMatch');
  if (wanted === null || wanted === String(there?.generation ?? 0n)) return;
  throw refused(412, 'conditionNotMet', 'At least one of the pre-conditions you specified did not hold.');
}
