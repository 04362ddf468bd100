import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { glance, renderForTerminal } from './comment.ts';
import { createDeveloper, type Developer } from './developer.ts';
import { type GitHub, startGitHub } from './github.ts';
import { type Mayfly, startMayfly } from './mayfly.ts';
import { freePort } from './ports.ts';
import { act, type Cast, type Step, tellStory } from './story.ts';

const STEP_MS = 120_000;
const WANTED = { github: 4000, mayfly: 3000, gate: 8080 };

/** Ctrl-C ends the demo at any moment, and everything with it. */
const interrupted = new Promise<void>((resolve) => {
  process.once('SIGINT', () => resolve());
  process.once('SIGTERM', () => resolve());
});

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`.padStart(7);

/** A step that did not end well. Its line has been printed. */
class StepFailed extends Error {}

/** Plays one step and prints its line. Throws when it fails, takes too long, or the person has seen enough. */
async function play(step: Step): Promise<void> {
  const started = Date.now();
  // A moment more than the step itself has, so that the step can say what it saw.
  const late = sleep(STEP_MS + 5_000, undefined, { ref: false }).then(() => {
    throw new Error('no end after two minutes');
  });
  const asked = interrupted.then(() => {
    throw new Error('interrupted');
  });
  try {
    const seen = await Promise.race([step.play(AbortSignal.timeout(STEP_MS)), late, asked]);
    console.log(`${seconds(Date.now() - started)}  ${step.name}: ${seen}`);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    console.log(`${seconds(Date.now() - started)}  FAILED  ${step.name}: ${why}`);
    throw new StepFailed(why, { cause: error });
  }
}

function showPages(cast: Cast): void {
  const { developer, github } = cast;
  const show = async (number: number) => {
    const { title, state } = await developer.pull(number);
    const comments = (await developer.comments(number)).map(({ id, body, user }) => ({
      login: user.login,
      body,
      reactions: github.reactions(id),
    }));
    return { repository: github.repository, number, title, state, comments };
  };
  github.showPulls({ show, act: (number, action) => act(cast, number, action) });
}

/** What a person needs to go on from here. */
async function printAddresses({ github, mayfly, developer }: Cast): Promise<void> {
  const comment = (await developer.comments(1)).find((one) => one.user.login === `${github.app.slug}[bot]`)?.body ?? '';
  const address = glance(comment).address ?? '';
  console.log(`\n${renderForTerminal(comment)}\n`);
  console.log(`  the site      ${address}`);
  console.log(`                curl -H 'Host: ${new URL(address).host}' http://127.0.0.1:${mayfly.gatePort}/`);
  console.log(`  the pull      ${github.url}/${github.repository}/pull/1   (its comments; push, extend, close, reopen)`);
  console.log(`  health        ${mayfly.url}/healthz  ${mayfly.url}/readyz`);
  console.log(`  metrics       ${mayfly.url}/metrics`);
  console.log(`  API           curl -H 'Authorization: Bearer ${mayfly.apiToken}' ${mayfly.url}/api/v1/sites`);
  console.log(`  log           ${join(mayfly.dataDir, '..', 'mayfly.log')}`);
  console.log('\nCtrl-C ends it all.');
}

/** What helps to understand a step that failed. */
async function printEvidence(github: GitHub, mayfly: Mayfly): Promise<void> {
  console.log('\nThe last webhooks:');
  for (const { event, action, status, ms } of github.deliveries.slice(-10)) console.log(`  ${event} ${action} → ${status} in ${ms} ms`);
  if (github.refusals.length > 0) console.log(`\nRefused by the emulated GitHub:\n  ${github.refusals.slice(-10).join('\n  ')}`);
  console.log(`\nThe end of Mayfly's log:\n${await mayfly.logTail(30)}`);
}

async function tell(cast: Cast, ending: 'once' | 'stay'): Promise<void> {
  const story = tellStory(cast);
  showPages(cast);
  for (const step of story.toReady) await play(step);
  if (ending === 'once') {
    for (const step of story.toItsEnd) await play(step);
    return;
  }
  await printAddresses(cast);
  await interrupted;
  console.log('\nending');
}

async function main(ending: 'once' | 'stay'): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-demo-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  await chmod(folder, 0o755); // the embedded PostgreSQL has a user of its own, who must be able to pass
  await mkdir(join(folder, 'github'));
  const ports = { github: await freePort(WANTED.github), mayfly: await freePort(WANTED.mayfly), gate: await freePort(WANTED.gate) };
  const webhookUrl = `http://127.0.0.1:${ports.mayfly}/api/github/webhooks`;
  const github = stack.use(await startGitHub({ port: ports.github, folder: join(folder, 'github'), webhookUrl }));
  const developer: Developer = await createDeveloper(github, folder);
  await play({
    name: 'An emulated GitHub with a repository',
    play: async () => {
      await developer.createRepository();
      return `${github.url}/${github.repository}`;
    },
  });
  const mayfly = stack.use(await startMayfly({ port: ports.mayfly, gatePort: ports.gate, folder, github }));
  try {
    await play({
      name: 'Mayfly starts',
      play: async (signal) => {
        await mayfly.ready(signal);
        return mayfly.unboxed === undefined ? mayfly.url : `${mayfly.url}, sites without a sandbox (${mayfly.unboxed})`;
      },
    });
    await tell({ github, mayfly, developer }, ending);
  } catch (error) {
    await printEvidence(github, mayfly);
    throw error;
  }
}

const started = Date.now();
const ending = process.argv.includes('--once') ? 'once' : 'stay';
try {
  await main(ending);
  if (ending === 'once') console.log(`${seconds(Date.now() - started)}  in all`);
} catch (error) {
  if (!(error instanceof StepFailed)) console.error(error);
  process.exitCode = 1;
}
