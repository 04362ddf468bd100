import { expect, test } from 'vitest';
import { openRoutes, type RoutesOptions } from '../../src/gate/routes.ts';
import { toTrustedProxies, toVisitor } from '../../src/gate/visitor.ts';
import type { Site } from '../../src/site/site.ts';
import type { SiteChanged } from '../../src/store/store.ts';
import { siteAs } from './world.ts';

const site: Site = siteAs({ status: 'held' });

function setUp(find: RoutesOptions['find'], limits?: RoutesOptions['limits']) {
  let tell: (change: SiteChanged | 'resync') => void = () => undefined;
  let asked = 0;
  const routes = openRoutes({
    find: (label) => {
      asked++;
      return find(label);
    },
    onChange(listener) {
      tell = listener;
      return { [Symbol.dispose]: () => undefined };
    },
    ...(limits ? { limits } : {}),
  });
  return { routes, asked: () => asked, changed: (host: string) => tell({ site: site.id, host, version: 2 }), resync: () => tell('resync') };
}

test('a site is looked up once, however many ask, until it changes', async () => {
  const { routes, asked, changed, resync } = setUp(async (label) => (label === 'a' ? site : undefined));
  await Promise.all([routes.lookup('a'), routes.lookup('a'), routes.lookup('a')]);
  await routes.lookup('a');
  expect(asked()).toBe(1);
  changed('b');
  await routes.lookup('a');
  expect(asked()).toBe(1);
  changed('a');
  await routes.lookup('a');
  expect(asked()).toBe(2);
  resync();
  await routes.lookup('a');
  expect(asked()).toBe(3);
  await Promise.all([routes.lookup('none'), routes.lookup('none')]);
  await routes.lookup('none');
  expect(asked()).toBe(4);
});

test('what was found before a change is not remembered after it', async () => {
  const first = Promise.withResolvers<Site | undefined>();
  let answer: Promise<Site | undefined> = first.promise;
  const { routes, changed } = setUp(() => answer);
  const early = routes.lookup('a');
  changed('a');
  answer = Promise.resolve(site);
  expect(await routes.lookup('a')).toBe(site);
  first.resolve(undefined);
  expect(await early).toBeUndefined();
  expect(await routes.lookup('a')).toBe(site);
});

test('while the database is away, what was known before a change is what visitors get', async () => {
  let isAway = false;
  const { routes, changed, resync } = setUp(async (label) => {
    if (isAway) throw new Error('away');
    return label === 'a' ? site : undefined;
  });
  await routes.lookup('a');
  isAway = true;
  changed('a');
  expect(await routes.lookup('a')).toBe(site);
  resync();
  expect(await routes.lookup('a')).toBe(site);
  await expect(routes.lookup('b')).rejects.toThrow('away');
});

test('a flood of unknown hosts neither hammers the database nor stays', async () => {
  let most = 0;
  let running = 0;
  const { routes } = setUp(
    async () => {
      most = Math.max(most, ++running);
      await new Promise(setImmediate);
      running--;
      return undefined;
    },
    { waiting: 10 },
  );
  const all = await Promise.allSettled(Array.from({ length: 1_000 }, (_, index) => routes.lookup(`host-${index}`)));
  expect(most).toBe(4);
  expect(all.filter(({ status }) => status === 'rejected')).toHaveLength(1_000 - 14);
});

test('a failed look-up is not remembered', async () => {
  let fails = true;
  const { routes } = setUp(async () => {
    if (fails) throw new Error('the database is away');
    return site;
  });
  await expect(routes.lookup('a')).rejects.toThrow('away');
  fails = false;
  expect(await routes.lookup('a')).toBe(site);
});

const visitor = (peer: string, headers: Record<string, string>, preview = 'http://preview.test') =>
  toVisitor(
    {
      // Only these two are read of a request.
      headersDistinct: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]])),
      socket: { remoteAddress: peer },
    },
    { trusted: toTrustedProxies(['10.0.0.0/8', 'fd00::/8']), preview: new URL(preview), authority: 'x.preview.test:8080' },
  );

test.each([
  ['a stranger is who he is', '203.0.113.9', { 'x-forwarded-for': '1.1.1.1', 'x-forwarded-proto': 'https' }, ['203.0.113.9'], 'http'],
  [
    'a trusted proxy is believed',
    '10.0.0.1',
    { 'x-forwarded-for': '1.1.1.1', 'x-forwarded-proto': 'https' },
    ['1.1.1.1', '10.0.0.1'],
    'https',
  ],
  ['IPv4 in IPv6', '::ffff:10.0.0.1', { 'x-forwarded-for': '1.1.1.1' }, ['1.1.1.1', '10.0.0.1'], 'http'],
  ['IPv6', 'fd00::1', { 'x-forwarded-for': '[2001:db8::1]:443' }, ['2001:db8::1', 'fd00::1'], 'http'],
  ['what was there before the proxy is made up', '10.0.0.1', { 'x-forwarded-for': '6.6.6.6, 1.1.1.1' }, ['1.1.1.1', '10.0.0.1'], 'http'],
  [
    'two proxies',
    '10.0.0.1',
    { 'x-forwarded-for': '1.1.1.1, 10.0.0.2', 'x-forwarded-proto': 'https, http' },
    ['1.1.1.1', '10.0.0.2', '10.0.0.1'],
    'https',
  ],
  ['nonsense', '10.0.0.1', { 'x-forwarded-for': 'unknown', 'x-forwarded-proto': 'gopher' }, ['10.0.0.1'], 'http'],
])('%s', (_, peer, headers, chain, proto) => {
  expect(visitor(peer, headers)).toMatchObject({ chain, proto, address: chain.at(0), port: '8080' });
});

test('where people come by https and no proxy says so, https it is', () => {
  expect(visitor('203.0.113.9', {}, 'https://preview.test').proto).toBe('https');
});
