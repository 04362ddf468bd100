import { ulid } from 'ulid';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { toLaunchId } from '../../src/site/identity.ts';
import type { Artefact, DatabaseWish, DeployOrder, FolderArtefact, Found, Held, Target, Watch } from '../../src/site/ports.ts';
import { Fault } from '../../src/site/problem.ts';
import type { Served } from '../../src/site/site.ts';

/** What a target's own test world offers to the contract. */
export type TargetWorld = AsyncDisposable & {
  readonly target: Target;
  hold(): Held;
  /** `files` under a folder of their own; run by `node server.js` unless said otherwise. */
  artefact(files: Readonly<Record<string, string>>, runtime?: FolderArtefact['runtime']): Promise<Artefact>;
  seed(sql: string): Promise<DatabaseWish>;
  order(part: OrderPart): DeployOrder;
  /** The body that a visitor of `served` gets. */
  visit(served: Served, path?: string): Promise<string>;
} & Differences;

/** What targets differ in, each for a reason. */
export type Differences = {
  /** What an app that runs is to a survey: here a process, on Cloud Run a service whose processes come and go. */
  readonly app: Found['kind'];
  /** `in place`: a site has one address for all of its revisions, and Cloud Run leads it to the newest that is ready. */
  readonly revisions: 'side by side' | 'in place';
  /** Resolves once an app has said something where `watch.log` hears of it only at the end: Cloud Run's apps speak to Cloud Logging. */
  readonly hasSaid: (text: string) => Promise<void>;
};

/** Of targets whose apps are processes of our own. */
export const HERE: Differences = { app: 'process', revisions: 'side by side', hasSaid: async () => undefined };

/** An order whose build is done already. */
export type OrderPart = Partial<DeployOrder> & { readonly artefact: Artefact };
export const builtAlready = ({
  artefact,
  ...part
}: OrderPart): Partial<DeployOrder> & Pick<DeployOrder, 'build' | 'prepared' | 'mayGoOn'> => ({
  prepared: Promise.resolve(),
  build: async () => artefact,
  mayGoOn: async () => undefined,
  ...part,
});

export const watching = (part: Partial<Watch> = {}): Watch => ({
  signal: new AbortController().signal,
  log: () => undefined,
  entered: () => undefined,
  later: () => undefined,
  ...part,
});

/** A server that answers every request with a text. */
export const answering = (text: string): string =>
  `require('http').createServer((q, s) => s.end(${JSON.stringify(text)})).listen(process.env.PORT, process.env.HOST)`;

export const nextRevision = (order: DeployOrder, { artefact, ...part }: Partial<OrderPart>): DeployOrder => ({
  ...order,
  live: order.revision,
  revision: toLaunchId(ulid()),
  ...(artefact && { build: async () => artefact }),
  ...part,
});

const codeOf = async (deed: Promise<unknown>): Promise<string> => {
  const error: unknown = await deed.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error instanceof Fault ? error.code : String(error);
};

/** What every target does. */
export function targetContract(name: string, openWorld: () => Promise<TargetWorld>): void {
  describe(name, () => {
    let w: TargetWorld;
    beforeAll(async () => {
      w = await openWorld();
    });
    afterAll(() => w[Symbol.asyncDispose]());
    /** What the target has of one site, by kind. */
    const found = async ({ site }: DeployOrder): Promise<readonly string[]> =>
      (await w.target.survey()).flatMap((it) => (it.site === site ? [it.kind] : [])).sort();

    test('a site is put up, and answers', async () => {
      const served = await w.target.deploy(
        w.hold(),
        w.order({ artefact: await w.artefact({ 'server.js': answering('hello') }) }),
        watching(),
      );
      expect(await w.visit(served)).toBe('hello');
    });

    test('an update leaves what is live until it is settled', async () => {
      const order = w.order({ artefact: await w.artefact({ 'server.js': answering('one') }) });
      const one = await w.target.deploy(w.hold(), order, watching());
      const next = nextRevision(order, { artefact: await w.artefact({ 'server.js': answering('two') }) });
      const two = await w.target.deploy(w.hold(), next, watching());
      expect([await w.visit(one), await w.visit(two)]).toEqual([w.revisions === 'in place' ? 'two' : 'one', 'two']);
      await w.target.settle(w.hold(), order.site, next.revision);
      expect(await w.visit(two)).toBe('two');
      expect(await found(order)).toEqual([w.app, 'stack']);
    });

    test('T-F08: an app that ends at once is told, what was live stays, and the next good one succeeds', async () => {
      const order = w.order({ artefact: await w.artefact({ 'server.js': answering('good') }) });
      const good = await w.target.deploy(w.hold(), order, watching());
      const said: string[] = [];
      const broken = nextRevision(order, { artefact: await w.artefact({ 'server.js': 'console.log("no luck"); process.exit(3)' }) });
      expect(await codeOf(w.target.deploy(w.hold(), broken, watching({ log: (chunk) => said.push(chunk) })))).toBe('start-failed');
      expect(said.join('')).toContain('no luck');
      expect(await w.visit(good)).toBe('good');
      const mended = nextRevision(order, { artefact: await w.artefact({ 'server.js': answering('better') }) });
      expect(await w.visit(await w.target.deploy(w.hold(), mended, watching()))).toBe('better');
    });

    test('a seed that fails is told with its line, and nothing is left of it', async () => {
      const artefact = await w.artefact({ 'server.js': answering('never') });
      const order = w.order({ artefact, database: await w.seed('create table a (b int);\n\nselect c from a;') });
      const failure = await w.target.deploy(w.hold(), order, watching()).catch((error: unknown) => error);
      expect(failure).toMatchObject({ code: 'seed-failed', details: { seed: 'db/seed.sql', cause: 'column "c" does not exist (line 3)' } });
      // A stack may be there by then, or not yet.
      expect((await found(order)).filter((kind) => kind !== 'stack')).toEqual([]);
    });

    test('the database is made while the build goes on', async () => {
      const order = w.order({
        artefact: await w.artefact({ 'server.js': answering('seeded') }),
        database: await w.seed('create table a (b int)'),
      });
      const build = async (): Promise<Artefact> => {
        await expect.poll(() => found(order), { timeout: 30_000 }).toContain('database');
        return order.build();
      };
      expect(await w.visit(await w.target.deploy(w.hold(), { ...order, build }, watching()))).toBe('seeded');
    });

    test('a first launch that fails leaves no database, whatever its state knows of one, and the next makes it anew', async () => {
      const artefact = await w.artefact({ 'server.js': 'process.exit(3)' });
      const order = w.order({ artefact, database: await w.seed('create table a (b int)') });
      const build = async (): Promise<never> => {
        await expect.poll(() => found(order), { timeout: 30_000 }).toContain('database');
        throw new Fault('build-failed');
      };
      for (const [launch, code] of [
        [{ ...order, build }, 'build-failed'],
        [order, 'start-failed'],
      ] as const) {
        expect(await codeOf(w.target.deploy(w.hold(), launch, watching()))).toBe(code);
        await w.target.settle(w.hold(), order.site, null);
        expect(await found(order)).not.toContain('database');
      }
      const mended = nextRevision(order, { artefact: await w.artefact({ 'server.js': answering('mended') }), live: null });
      expect(await w.visit(await w.target.deploy(w.hold(), mended, watching()))).toBe('mended');
      expect(await found(order)).toEqual(['database', w.app, 'stack']);
    });

    test('destroy leaves nothing, and may be repeated', async () => {
      const artefact = await w.artefact({ 'server.js': answering('hello') });
      const order = w.order({ artefact, database: await w.seed('create table a (b int)') });
      await w.target.deploy(w.hold(), order, watching());
      expect(await found(order)).toEqual(['database', w.app, 'stack']);
      await w.target.destroy(w.hold(), order.site, watching());
      await w.target.destroy(w.hold(), order.site, watching());
      expect(await found(order)).toEqual([]);
    });

    test('an abort in the middle leaves nothing running', async () => {
      const abort = new AbortController();
      const order = w.order({ artefact: await w.artefact({ 'server.js': 'console.log("up"); setInterval(() => {}, 1000)' }) });
      const deploying = w.target.deploy(
        w.hold(),
        order,
        watching({ signal: abort.signal, log: () => abort.abort(new Error('superseded')) }),
      );
      deploying.catch(() => undefined);
      if (w.revisions === 'in place') await w.hasSaid('up').then(() => abort.abort(new Error('superseded')));
      await expect(deploying).rejects.toThrow('superseded');
      expect(await found(order)).not.toContain(w.app);
      await w.target.destroy(w.hold(), order.site, watching());
      expect(await found(order)).toEqual([]);
    });

    test('a static site is a folder', async () => {
      const artefact = await w.artefact({ 'index.html': 'static' }, { kind: 'static', output: '.' });
      expect(await w.visit(await w.target.deploy(w.hold(), w.order({ artefact }), watching()), '/index.html')).toBe('static');
    });
  });
}
