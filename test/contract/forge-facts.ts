import { describe, expect, test } from 'vitest';
import type { Repository } from '../../src/site/identity.ts';
import type { Facts } from '../../src/site/ports.ts';

/** What the contract needs of a forge: how things come to be there. `pull` numbers are the forge's. */
export interface FactsWorld extends AsyncDisposable {
  readonly facts: Facts;
  readonly repository: Repository;
  openPull(wish: {
    readonly branch?: string;
    readonly title?: string;
    readonly message?: string;
    readonly from?: 'here' | 'a fork';
    readonly draft?: boolean;
    readonly labels?: readonly string[];
  }): Promise<{ readonly number: number; readonly sha: string }>;
  change(number: number, to: 'closed' | 'merged' | 'reopened' | 'fork deleted'): Promise<void>;
  /** Commits to the default branch, `main`. */
  write(files: Readonly<Record<string, string | { readonly link: string }>>): Promise<string>;
  person(role: 'none' | 'read' | 'write' | 'maintain' | 'admin'): { readonly id: number; readonly login: string };
  rename(): Promise<string>;
  /** Another repository takes the name that this one had. */
  takeOver(name: string): Promise<void>;
  remove(): Promise<void>;
}

const faultCode = (code: string) => expect.objectContaining({ name: 'Fault', code });

/** Every adapter's `Facts` answers these the same. */
export function factsContract(name: string, open: () => Promise<FactsWorld>): void {
  describe(`Facts of ${name}`, () => {
    test('what is open to us is told by access, and what was taken back is not', async () => {
      await using w = await open();
      const accesses = await w.facts.accesses();
      expect(accesses).toContain(w.repository.access);
      expect(await w.facts.repositories(w.repository.access)).toEqual([w.repository]);
      await w.remove();
      expect(await w.facts.repositories(w.repository.access)).toEqual([]);
    });

    test('a pull of a branch of the repository is trusted and told with its newest commit', async () => {
      await using w = await open();
      const { number, sha } = await w.openPull({
        branch: 'feat/cart',
        title: 'Cart',
        message: 'fix the cart total\n\nLong story',
        labels: ['preview'],
      });
      const pull = await w.facts.pull(w.repository, number);
      expect(pull).toMatchObject({ number, state: 'open', closedAt: null, labels: ['preview'] });
      expect(pull?.head).toMatchObject({ sha, branch: 'feat/cart', base: 'main', title: 'Cart', commitTitle: 'fix the cart total' });
      expect(pull?.head).toMatchObject({ repository: w.repository.id, trust: 'trusted', draft: false });
    });

    test('a pull of a fork is untrusted, and so is one whose fork is gone', async () => {
      await using w = await open();
      const { number } = await w.openPull({ from: 'a fork' });
      const before = await w.facts.pull(w.repository, number);
      expect(before?.head.trust).toBe('untrusted');
      expect(before?.head.repository).not.toBe(w.repository.id);
      await w.change(number, 'fork deleted');
      const after = await w.facts.pull(w.repository, number);
      expect(after?.head).toMatchObject({ trust: 'untrusted', repository: null });
    });

    test('closed and merged are told apart, and a pull that never was is undefined', async () => {
      await using w = await open();
      const closed = await w.openPull({});
      const merged = await w.openPull({});
      await w.change(closed.number, 'closed');
      await w.change(merged.number, 'merged');
      expect(await w.facts.pull(w.repository, closed.number)).toMatchObject({ state: 'closed', closedAt: expect.any(Date) });
      expect((await w.facts.pull(w.repository, merged.number))?.state).toBe('merged');
      expect(await w.facts.pull(w.repository, 999)).toBeUndefined();
    });

    test('the changed paths are those of the pull alone, not what the base branch got since', async () => {
      await using w = await open();
      const { number } = await w.openPull({});
      await w.write({ 'later.txt': 'on main' });
      const paths = await w.facts.changedPaths(w.repository, number);
      expect(paths).toHaveLength(1);
      expect(paths).not.toContain('later.txt');
    });

    test('the open pulls are all of them, beyond the first page, and as a single look tells them', async () => {
      await using w = await open();
      const opened = await Promise.all(Array.from({ length: 103 }, (_, i) => w.openPull({ branch: `b${i}` })));
      const numbers = opened.map(({ number }) => number).sort((a, b) => a - b);
      await w.change(numbers[0] ?? 0, 'closed');
      const pulls = await w.facts.openPulls(w.repository);
      expect(pulls.map(({ number }) => number).sort((a, b) => a - b)).toEqual(numbers.slice(1));
      expect(pulls.find(({ number }) => number === numbers[7])).toEqual(await w.facts.pull(w.repository, numbers[7] ?? 0));
    });

    test('a file is read at a branch and at a commit', async () => {
      await using w = await open();
      const first = await w.write({ '.mayfly.yml': 'ttl: 1d\n', 'docs/é ü.md': 'Grüße' });
      await w.write({ '.mayfly.yml': 'ttl: 2d\n' });
      const at = (ref: string, path: string) => w.facts.file(w.repository, { ref, path, maxBytes: 65_536 });
      expect(await at('main', '.mayfly.yml')).toBe('ttl: 2d\n');
      expect(await at(first, '.mayfly.yml')).toBe('ttl: 1d\n');
      expect(await at('main', 'docs/é ü.md')).toBe('Grüße');
    });

    test('no file, a folder and a link that leads outside are no file', async () => {
      await using w = await open();
      await w.write({ 'docs/a.md': 'a', '.mayfly.yml': { link: '/etc/passwd' } });
      for (const path of ['absent.yml', 'docs', '.mayfly.yml']) {
        expect(await w.facts.file(w.repository, { ref: 'main', path, maxBytes: 65_536 })).toBeUndefined();
      }
    });

    test('a file over the limit is refused, one at the limit is not', async () => {
      await using w = await open();
      await w.write({ 'just.yml': 'x'.repeat(100), 'over.yml': 'x'.repeat(101), 'huge.yml': 'x'.repeat(1_200_000) });
      const read = (path: string) => w.facts.file(w.repository, { ref: 'main', path, maxBytes: 100 });
      expect(await read('just.yml')).toHaveLength(100);
      await expect(read('over.yml')).rejects.toEqual(faultCode('forge-refused'));
      await expect(read('huge.yml')).rejects.toEqual(faultCode('forge-refused'));
    });

    test.for(['none', 'read', 'write', 'maintain', 'admin'] as const)('a person with %s has just that', async (role) => {
      await using w = await open();
      expect(await w.facts.permission(w.repository, w.person(role))).toBe(role);
    });

    test('a login that passed to somebody else, or that nobody has, may do nothing', async () => {
      await using w = await open();
      const admin = w.person('admin');
      expect(await w.facts.permission(w.repository, { ...admin, id: admin.id + 1 })).toBe('none');
      expect(await w.facts.permission(w.repository, { id: 1, login: 'nobody-at-all' })).toBe('none');
    });

    test('a renamed repository is found by its id, and its pulls under the name of before', async () => {
      await using w = await open();
      const { number, sha } = await w.openPull({});
      const name = await w.rename();
      expect((await w.facts.pull(w.repository, number))?.head.sha).toBe(sha);
      expect(await w.facts.openPulls(w.repository)).toHaveLength(1);
      expect(await w.facts.repository(w.repository)).toEqual({ ...w.repository, name });
    });

    test('a repository that took the old name is never mistaken for ours', async () => {
      await using w = await open();
      const { number, sha } = await w.openPull({ title: 'ours' });
      await w.rename();
      await w.takeOver(w.repository.name);
      expect((await w.facts.pull(w.repository, number))?.head).toMatchObject({ sha, title: 'ours' });
    });

    test('a repository out of reach is gone', async () => {
      await using w = await open();
      const { number } = await w.openPull({});
      await w.remove();
      expect(await w.facts.repository(w.repository)).toBeUndefined();
      await expect(w.facts.pull(w.repository, number)).rejects.toEqual(faultCode('access-gone'));
      await expect(w.facts.file(w.repository, { ref: 'main', path: 'a', maxBytes: 1 })).rejects.toEqual(faultCode('access-gone'));
    });
  });
}
