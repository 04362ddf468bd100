import type { FileHandle } from 'node:fs/promises';

const CHUNK_BYTES = 256 * 1024;

/**
 * A file's bytes from `start` on, a piece at a time. Each piece is in the same memory: it is good until the next one is asked for. What is
 * large is read like this, since every byte in memory of its own is work for the garbage collector, beside the processes that we wait for.
 */
export async function* chunksOf(file: FileHandle, start = 0): AsyncGenerator<Buffer> {
  const memory = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let at = start; ; ) {
    const { bytesRead } = await file.read(memory, 0, memory.length, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield memory.subarray(0, bytesRead);
  }
}
