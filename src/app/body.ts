import type { IncomingMessage } from 'node:http';

export type BodyRefusal = 'body-too-large' | 'body-too-slow' | 'encoding-unsupported' | 'gone';
export type BodyLimits = { readonly maxBytes: number; readonly withinMs: number };

/**
 * The raw bytes of a request's body. Refuses as soon as it is known that there are too many, at the latest after `withinMs`, and
 * keeps nothing of what is refused. `gone`: the sender went away, there is nobody to answer.
 */
export function readBody(incoming: IncomingMessage, limits: BodyLimits): Promise<Buffer | BodyRefusal> {
  const encoding = incoming.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return Promise.resolve('encoding-unsupported');
  if (Number(incoming.headers['content-length'] ?? 0) > limits.maxBytes) return Promise.resolve('body-too-large');
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const timer = setTimeout(() => settle('body-too-slow'), limits.withinMs);
    const settle = (result: Buffer | BodyRefusal): void => {
      clearTimeout(timer);
      incoming.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
      // Whoever comes next on this stream is the server's own draining; an error there has nobody to tell.
      incoming.on('error', () => undefined);
      resolve(result);
    };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > limits.maxBytes) settle('body-too-large');
      else chunks.push(chunk);
    };
    const onEnd = (): void => settle(Buffer.concat(chunks, bytes));
    const onClose = (): void => settle('gone');
    incoming.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
}
