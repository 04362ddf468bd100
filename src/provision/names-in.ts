import { readdir } from 'node:fs/promises';

/** What lies in a folder, in order of names; a folder that is not there holds nothing. */
export async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}
