import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { type Answer, type Asked, unknownTo } from './asked.ts';
import type { Bucket, GoogleCloud } from './cloud.ts';
import { checkGeneration, objectJson, refused } from './storage-objects.ts';

type Came = { readonly asked: Asked; readonly bucket: string };
/** What may be said of an object that is uploaded. */
const Wish = z.strictObject({
  name: z.string().optional(),
  contentType: z.string().optional(),
  metadata: z.record(z.string(), z.string()).optional(),
});
type Wish = z.infer<typeof Wish>;
type Session = { readonly bucket: string; readonly name: string; readonly wish: Wish; readonly query: URLSearchParams; bytes: Buffer };

/** Uploads in one piece (`media`), with what is said of them (`multipart`), and in several (`resumable`). */
export function openUploads(cloud: GoogleCloud, origin: () => string) {
  const sessions = new Map<string, Session>();
  const bucketOf = (name: string): Bucket => {
    const bucket = cloud.buckets.get(name);
    if (!bucket) throw refused(404, 'notFound', 'The specified bucket does not exist.');
    return bucket;
  };
  const put = (to: { bucket: string; name: string; wish: Wish; query: URLSearchParams }, bytes: Buffer): Answer => {
    const bucket = bucketOf(to.bucket);
    if (to.name === '') throw refused(400, 'required', 'Required parameter: name');
    const before = bucket.objects.get(to.name);
    checkGeneration(before, to.query);
    const generation = BigInt(cloud.now().getTime()) * 1000n;
    const own = { contentType: to.wish.contentType ?? 'application/octet-stream', metadata: to.wish.metadata ?? {} };
    const newer = before && before.generation >= generation ? before.generation + 1n : generation;
    const object = { bytes, ...own, generation: newer, updatedAt: cloud.now() };
    bucket.objects.set(to.name, object);
    return { status: 200, body: objectJson(bucket, to.name, object, origin()) };
  };
  const wishOf = (text: string): Wish => {
    const parsed = Wish.safeParse(text === '' ? {} : JSON.parse(text));
    if (!parsed.success) throw unknownTo(cloud, `an upload with ${parsed.error.message}`);
    return parsed.data;
  };
  return {
    query: ['uploadType', 'name', 'upload_id', 'ifGenerationMatch'],
    start({ asked, bucket }: Came): Answer {
      const { query, headers } = asked;
      const type = query.get('uploadType');
      const nameOf = (wish: Wish): string => query.get('name') ?? wish.name ?? '';
      if (type === 'media') {
        const wish = { contentType: headers['content-type'] };
        return put({ bucket, name: nameOf({}), wish: Wish.parse(wish), query }, asked.body);
      }
      if (type === 'multipart') {
        const [said, file] = partsOf(headers['content-type'] ?? '', asked.body);
        const wish = wishOf(said?.body.toString('utf8') ?? '');
        const contentType = wish.contentType ?? file?.type;
        return put(
          { bucket, name: nameOf(wish), wish: { ...wish, ...(contentType ? { contentType } : {}) }, query },
          file?.body ?? Buffer.alloc(0),
        );
      }
      if (type !== 'resumable') throw unknownTo(cloud, `an upload of the type ${type}`);
      bucketOf(bucket);
      const said = wishOf(asked.body.toString('utf8'));
      const stated = headers['x-upload-content-type'];
      const wish = { ...said, ...(typeof stated === 'string' ? { contentType: said.contentType ?? stated } : {}) };
      const id = randomBytes(16).toString('hex');
      sessions.set(id, { bucket, name: nameOf(wish), wish, query, bytes: Buffer.alloc(0) });
      const location = `${origin()}${asked.path}?uploadType=resumable&name=${encodeURIComponent(nameOf(wish))}&upload_id=${id}`;
      return { status: 200, headers: { location, 'x-guploader-uploadid': id }, body: '' };
    },
    go({ asked }: Came): Answer {
      const session = sessions.get(asked.query.get('upload_id') ?? '');
      if (!session) throw refused(404, 'notFound', 'Not Found');
      const [, first, last, total] = /^bytes (?:(\d+)-(\d+|\*)|\*)\/(\d+|\*)$/.exec(asked.headers['content-range'] ?? 'bytes 0-*/*') ?? [];
      const goOn = (): Answer => {
        const { length } = session.bytes;
        return { status: 308, headers: length > 0 ? { range: `bytes=0-${length - 1}` } : {}, body: '' };
      };
      if (first === undefined) return total === String(session.bytes.length) ? put(session, session.bytes) : goOn();
      if (Number(first) > session.bytes.length) throw refused(503, 'backendError', 'Invalid request. The offset is past what has come.');
      session.bytes = Buffer.concat([session.bytes.subarray(0, Number(first)), asked.body]);
      const isWhole = last === '*' || total === String(session.bytes.length);
      if (!isWhole) return goOn();
      return put(session, session.bytes);
    },
  };
}

/** The parts of a `multipart/related` body. */
function partsOf(contentType: string, body: Buffer): readonly { readonly type: string | undefined; readonly body: Buffer }[] {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1];
  if (boundary === undefined) throw refused(400, 'invalid', 'Multipart body has no boundary.');
  const parts: { type: string | undefined; body: Buffer }[] = [];
  const mark = Buffer.from(`--${boundary}`);
  for (let at = body.indexOf(mark); at >= 0; ) {
    const next = body.indexOf(mark, at + mark.length);
    if (next < 0) break;
    const part = body.subarray(at + mark.length + 2, next - 2);
    const end = part.indexOf('\r\n\r\n');
    const type = /^content-type: *(.+)$/im.exec(part.subarray(0, end).toString('utf8'))?.[1]?.trim();
    parts.push({ type, body: part.subarray(end + 4) });
    at = next;
  }
  return parts;
}
