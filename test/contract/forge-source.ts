import { describe, expect, test } from 'vitest';
import type { Repository } from '../../src/site/identity.ts';
import type { Source } from '../../src/site/ports.ts';

export interface SourceWorld extends AsyncDisposable {
  readonly source: Source;
  readonly repository: Repository;
  /** A pull's newest commit. */
  openPull(from: 'here' | 'a fork'): Promise<string>;
  rename(): Promise<string>;
  remove(): Promise<void>;
  /** Fetches one commit with git and says what its exit code was. */
  fetch(address: { readonly url: string; readonly authorization: string | null }, sha: string): Promise<number>;
}

/** Every adapter's `Source` leads git to the commits, and tells no secret in an address. */
export function sourceContract(name: string, open: () => Promise<SourceWorld>): void {
  describe(`Source of ${name}`, () => {
    test.for(['here', 'a fork'] as const)('git fetches a commit from %s by its id', async (from) => {
      await using w = await open();
      const sha = await w.openPull(from);
      expect(await w.fetch(await w.source.address(w.repository), sha)).toBe(0);
    });

    test('without the authorization git gets nothing', async () => {
      await using w = await open();
      const sha = await w.openPull('here');
      const { url } = await w.source.address(w.repository);
      expect(await w.fetch({ url, authorization: null }, sha)).not.toBe(0);
    });

    test('the address holds no secret', async () => {
      await using w = await open();
      const { url, authorization } = await w.source.address(w.repository);
      const secret =
        Buffer.from((authorization ?? '').replace(/^basic /i, ''), 'base64')
          .toString()
          .split(':')[1] ?? '';
      expect(secret.length).toBeGreaterThan(10);
      expect(url).not.toContain(secret);
      expect(new URL(url)).toMatchObject({ username: '', password: '', search: '' });
    });

    test('a renamed repository has an address under its name of today', async () => {
      await using w = await open();
      const name = await w.rename();
      const { url } = await w.source.address(w.repository);
      expect(new URL(url).pathname).toBe(`/${name}.git`);
    });

    test('a repository out of reach has none', async () => {
      await using w = await open();
      await w.remove();
      await expect(w.source.address(w.repository)).rejects.toMatchObject({ code: 'access-gone' });
    });
  });
}
