import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { glance } from './comment.ts';
import type { Comment, Developer } from './developer.ts';
import type { GitHub } from './github.ts';
import type { Mayfly } from './mayfly.ts';
import { type Visit, visit } from './visitor.ts';

export type Cast = { readonly github: GitHub; readonly mayfly: Mayfly; readonly developer: Developer };

/** One step: what is done and waited for. `play` resolves with the words for it, and throws with what was seen instead. */
export type Step = { readonly name: string; readonly play: (signal: AbortSignal) => Promise<string> };

const BRANCH = 'lanterns';
const PULL = 1;
const FIRST = { title: 'Lanterns for the long evenings', accent: '#c2410c', message: 'Lanterns for the long evenings' };
const SECOND = { title: 'Lanterns, and a kettle beside them', accent: '#9f1239', message: 'A kettle beside the lanterns' };
/** What the sample shop is known by. */
export type Shop = { readonly shows: string; readonly hasToo: string };
/** From the seeded table, not from the commit: it shows that the database is there. */
const SHOP: Shop = { shows: 'Tin kettle', hasToo: ', with its own database' };
const POLL_MS = 100;

const Sites = z.object({ sites: z.array(z.object({ status: z.string(), live: z.object({ url: z.string() }).nullable() })) });

/** Looks again and again until there is something to see. When time is up, throws with what was seen last. */
async function until<T>(signal: AbortSignal, look: () => Promise<T | string>, isSeen: (seen: T | string) => seen is T): Promise<T> {
  for (;;) {
    const seen = await look().catch((error: unknown) => `an error: ${error instanceof Error ? error.message : String(error)}`);
    if (isSeen(seen)) return seen;
    if (signal.aborted) throw new Error(`at the end of its time, still ${seen}`);
    await sleep(POLL_MS);
  }
}

const isFound = <T extends object>(seen: T | string): seen is T => typeof seen !== 'string';

/** The one comment of Mayfly's on the pull. Two would be a fault, whatever they say. */
async function findComment({ developer, github }: Cast): Promise<Comment | undefined> {
  const ours = (await developer.comments(PULL)).filter((one) => one.user.login === `${github.app.slug}[bot]`);
  if (ours.length > 1) throw new Error(`Mayfly wrote ${ours.length} comments instead of one`);
  return ours[0];
}

async function lookAtComment(cast: Cast, wanted: (comment: Comment) => boolean): Promise<Comment | string> {
  const comment = await findComment(cast);
  if (comment === undefined) return 'no comment';
  return wanted(comment) ? comment : `the comment “${glance(comment.body).heading}”`;
}

async function lookAtSite(address: string, wanted: (page: Visit) => boolean): Promise<Visit | string> {
  const page = await visit(address);
  return wanted(page) ? page : `the site answering ${page.status}: ${page.body.replace(/\s+/g, ' ').slice(0, 200)}`;
}

const isReadyWith = (sha: string) => (comment: Comment) =>
  glance(comment.body).heading.endsWith('Preview is ready') && comment.body.includes(sha.slice(0, 7));
const serves = (title: string, shop: Shop) => (page: Visit) =>
  page.status === 200 && page.body.includes(title) && page.body.includes(shop.shows);

async function siteStatus({ mayfly }: Cast): Promise<string> {
  const response = await fetch(`${mayfly.url}/api/v1/sites?pull=${PULL}`, { headers: { authorization: `Bearer ${mayfly.apiToken}` } });
  return Sites.parse(await response.json()).sites[0]?.status ?? 'unknown';
}

async function leftovers(cast: Cast): Promise<readonly string[]> {
  const status = await siteStatus(cast);
  const artefacts = await readdir(join(cast.mayfly.dataDir, 'artefacts')).catch(() => []); // never made: nothing is left in it
  return [
    ...(status === 'ended' ? [] : [`the site ${status}`]),
    ...(cast.github.deployments() === 0 ? [] : [`${cast.github.deployments()} deployments on GitHub`]),
    ...(artefacts.length === 0 ? [] : [`${artefacts.length} artefacts`]),
  ];
}

/** What all steps know of the steps before. */
type Memory = { comment: number; address: string; sha: string; readonly shop: Shop };

function opening(cast: Cast, memory: Memory): readonly Step[] {
  const { developer } = cast;
  return [
    {
      name: `Dana opens a pull request: a comment appears`,
      async play(signal) {
        memory.sha = await developer.push(BRANCH, FIRST);
        await developer.openPull(BRANCH, FIRST.title);
        const comment = await until(signal, () => lookAtComment(cast, () => true), isFound);
        memory.comment = comment.id;
        return `“${glance(comment.body).heading}”`;
      },
    },
    {
      name: `The site is ready${memory.shop.hasToo}`,
      async play(signal) {
        const comment = await until(signal, () => lookAtComment(cast, isReadyWith(memory.sha)), isFound);
        const { address } = glance(comment.body);
        if (address === undefined) throw new Error(`the comment names no address:\n${comment.body}`);
        memory.address = address;
        await until(signal, () => lookAtSite(address, serves(FIRST.title, memory.shop)), isFound);
        return address;
      },
    },
  ];
}

function changing(cast: Cast, memory: Memory): readonly Step[] {
  const { developer, github } = cast;
  return [
    {
      name: 'Dana pushes: the site follows, in the same comment',
      async play(signal) {
        memory.sha = await developer.push(BRANCH, SECOND);
        await until(signal, () => lookAtSite(memory.address, serves(SECOND.title, memory.shop)), isFound);
        const comment = await until(signal, () => lookAtComment(cast, isReadyWith(memory.sha)), isFound);
        if (comment.id !== memory.comment) throw new Error('Mayfly wrote a second comment instead of editing its first');
        return `${memory.sha.slice(0, 7)} is live`;
      },
    },
    {
      name: 'Dana comments “/preview extend 2d”',
      async play(signal) {
        const before = await findComment(cast);
        const ended = before === undefined ? undefined : glance(before.body).ends;
        const asked = await developer.comment(PULL, '/preview extend 2d');
        const changed = (comment: Comment) => glance(comment.body).ends !== undefined && glance(comment.body).ends !== ended;
        const comment = await until(signal, () => lookAtComment(cast, changed), isFound);
        const thumb = async () =>
          github.reactions(asked).includes('+1') ? { seen: true } : `the reactions ${github.reactions(asked).join(', ')}`;
        await until(signal, thumb, isFound);
        return `👍 ends ${glance(comment.body).ends} instead of ${ended}`;
      },
    },
  ];
}

function closing(cast: Cast, memory: Memory): Step {
  return {
    name: 'Dana closes the pull request: nothing is left',
    async play(signal) {
      await cast.developer.setPullState(PULL, 'closed');
      await until(signal, () => lookAtSite(memory.address, (page) => page.status === 410), isFound);
      const none = async () => {
        const left = await leftovers(cast);
        return left.length === 0 ? { gone: true } : `left: ${left.join(', ')}`;
      };
      await until(signal, none, isFound);
      const hasEnded = (comment: Comment) => glance(comment.body).heading.endsWith('Preview has ended');
      const comment = await until(signal, () => lookAtComment(cast, hasEnded), isFound);
      return `410, “${glance(comment.body).heading}”`;
    },
  };
}

/** The story of a preview. Its steps are played in their order, once. `toItsEnd`: also what comes after the site is ready. */
export function tellStory(cast: Cast, shop = SHOP): { readonly toReady: readonly Step[]; readonly toItsEnd: readonly Step[] } {
  const memory: Memory = { comment: 0, address: '', sha: '', shop };
  return { toReady: opening(cast, memory), toItsEnd: [...changing(cast, memory), closing(cast, memory)] };
}

/** What the buttons of the pull's page do. */
export async function act({ developer }: Cast, number: number, action: string): Promise<void> {
  if (action === 'extend') await developer.comment(number, '/preview extend 2d');
  if (action === 'close') await developer.setPullState(number, 'closed');
  if (action === 'reopen') await developer.setPullState(number, 'open');
  if (action !== 'push') return;
  const hue = Math.floor(Math.random() * 360);
  const title = `Lanterns, seen at ${new Date().toISOString().slice(11, 19)}`;
  await developer.push(BRANCH, { title, accent: `hsl(${hue} 70% 40%)`, message: title });
}
