import { spawn } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { pino } from 'pino';
import { openEmbeddedPostgres } from '../src/store/embedded.ts';
import { createGitHub, type GitHub } from '../test/doubles/github.ts';
import { makeFolder, openMayfly } from './mayfly.ts';
import { type Measurement, type Row, row } from './measurement.ts';
import { quantile } from './sample.ts';

const PER_SECOND = 100;
const BURST = 1_000;
const PACED = 300;
const ROUNDS = 6;

type Signed = { readonly body: Buffer; readonly signature: string };
/** How one delivery was answered, and after how many milliseconds. */
type Answered = { readonly status: number; readonly ms: number };

function deliver(url: string, { body, signature }: Signed, agent: Agent): Promise<Answered> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'content-length': body.length,
      'x-github-event': 'pull_request',
      'x-github-delivery': randomUUID(),
      'x-hub-signature-256': signature,
    };
    const outgoing = request(url, { method: 'POST', headers, agent }, (incoming) => {
      incoming.resume();
      incoming.once('end', () => resolve({ status: incoming.statusCode ?? 0, ms: performance.now() - started }));
    });
    outgoing.on('error', reject).end(body);
  });
}

/** A real delivery of the double: an opened pull, as Mayfly is to remember it before it answers. */
async function deliveryOf(github: GitHub): Promise<Signed> {
  const repo = await github.createRepository({ name: 'bench/webhooks', files: { 'index.html': 'hello' } });
  await github.openPull(repo, { files: { 'index.html': 'changed' } });
  const sent = github.deliveries.find(({ event }) => event === 'pull_request');
  if (sent === undefined) throw new Error('GitHub has sent no pull_request');
  const body = Buffer.from(sent.body);
  return { body, signature: `sha256=${createHmac('sha256', github.webhookSecret).update(body).digest('hex')}` };
}

/** At a pace that does not wait for answers: one that is late holds up none of those after it. */
async function paced(url: string, signed: Signed, count: number): Promise<readonly Answered[]> {
  const agent = new Agent({ keepAlive: true });
  const started = performance.now();
  const answers: Promise<Answered>[] = [];
  for (let n = 0; n < count; n++) {
    const wait = started + (n * 1_000) / PER_SECOND - performance.now();
    if (wait > 0) await delay(wait);
    answers.push(deliver(url, signed, agent));
  }
  const all = await Promise.all(answers);
  agent.destroy();
  return all;
}

async function burst(
  url: string,
  signed: Signed,
  count: number,
): Promise<{ readonly answers: readonly Answered[]; readonly perSecond: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: 200 });
  const started = performance.now();
  const answers = await Promise.all(Array.from({ length: count }, () => deliver(url, signed, agent)));
  const perSecond = count / ((performance.now() - started) / 1_000);
  agent.destroy();
  return { answers, perSecond };
}

async function startPlain(github: GitHub, stack: AsyncDisposableStack): Promise<string> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'plain-probot.ts'), String(github.appId)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  stack.defer(() => void child.kill());
  child.stdin.end(JSON.stringify({ privateKey: github.privateKey, secret: github.webhookSecret }));
  const [url] = await once(createInterface({ input: child.stdout }), 'line');
  return String(url);
}

const accepted = (answers: readonly Answered[]): readonly number[] => {
  const refused = answers.filter(({ status }) => status < 200 || status > 299);
  if (refused.length > 0) throw new Error(`${refused.length} of ${answers.length} deliveries were refused with ${refused[0]?.status}`);
  return answers.map(({ ms }) => ms);
};

/** What is seen of one side, a number a round. */
const nothingYet = (): Record<'p50' | 'p99' | 'burst' | 'burst99', number[]> => ({ p50: [], p99: [], burst: [], burst99: [] });

export const webhooks: Measurement = {
  title: 'Signed webhooks: stored before they are answered, beside a Probot app that stores nothing',
  async run({ scale, say }) {
    await using stack = new AsyncDisposableStack();
    const github = stack.use(await createGitHub());
    const signed = await deliveryOf(github);
    const folder = await makeFolder(stack);
    const log = pino({ level: 'error' });
    const postgres = stack.use(await openEmbeddedPostgres({ folder: join(folder, 'postgres'), name: 'bench', log }));
    // The web role alone: what was stored is worked on elsewhere.
    const settings = { DATABASE_URL: await postgres.ensureDatabase('mayfly'), MAYFLY_ROLES: 'web' };
    const mayfly = stack.use(await openMayfly(settings, { github }));
    await mayfly.start();
    github.sendWebhooksTo(null);
    const sides = { ours: `${mayfly.web}/api/github/webhooks`, plain: await startPlain(github, stack) };
    const rounds = scale === 'whole' ? ROUNDS : 1;
    const [count, calmly] = scale === 'whole' ? [BURST, PACED] : [50, 50];
    const seen = { ours: nothingYet(), plain: nothingYet() };
    // A server that has run for a minute is what people have: in the first thousand or so requests half of the code is not compiled yet.
    for (const url of Object.values(sides)) for (let n = 0; n < 2; n++) accepted((await burst(url, signed, count)).answers);
    for (let round = 0; round < rounds; round++) {
      for (const side of ['ours', 'plain'] as const) {
        const calm = accepted(await paced(sides[side], signed, calmly));
        seen[side].p50.push(quantile(calm, 0.5));
        seen[side].p99.push(quantile(calm, 0.99));
        const { answers, perSecond } = await burst(sides[side], signed, count);
        seen[side].burst.push(perSecond);
        seen[side].burst99.push(quantile(accepted(answers), 0.99));
      }
    }
    say(`${rounds} rounds of ${calmly} deliveries at ${PER_SECOND}/s and of ${count} at once, all answered with 2xx`);
    const beside = (of: keyof (typeof seen)['plain']) => ({ name: 'plain Probot', sample: seen.plain[of] });
    const rows: readonly Row[] = [
      row({ what: `answered at ${PER_SECOND}/s, p50`, unit: 'ms', ours: seen.ours.p50 }, { beside: beside('p50') }),
      row(
        { what: `answered at ${PER_SECOND}/s, p99`, unit: 'ms', ours: seen.ours.p99 },
        { beside: beside('p99'), bar: { text: '< 50 ms, ≤ 2 ×', is: (ours, other) => ours < 50 && ours <= 2 * other } },
      ),
      row({ what: `burst of ${count}, p99`, unit: 'ms', ours: seen.ours.burst99 }, { beside: beside('burst99') }),
      row({ what: `burst of ${count}, answers a second`, unit: '/s', ours: seen.ours.burst }, { beside: beside('burst') }),
    ];
    return rows;
  },
};
