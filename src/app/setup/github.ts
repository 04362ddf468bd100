import { createHash, randomBytes } from 'node:crypto';
import type { Hono } from 'hono';
import { z } from 'zod';
import { githubAddresses, isLoopback, parseForgeAddress } from './addresses.ts';
import { convert } from './conversion.ts';
import { askCode, type Env, readForm, type SetupParts } from './forms.ts';
import { CALLBACK_PROBLEMS, githubConfigured, githubOffer, githubStored } from './github-page.ts';
import { manifestOf, manifestPage, readAppFile, webhookUrl } from './manifest.ts';
import { type Html, note, show } from './page.ts';
import { addressNote, problemPage } from './pages.ts';
import type { Visit } from './visits.ts';

const STATE = 'github';
const STATE_BYTES = 32;
/** As long as GitHub keeps the code that it sends back. */
const STATE_MS = 60 * 60_000;
/** https://docs.github.com/organizations: letters, digits and single dashes. */
const ORGANISATION = /^[a-z\d](?:[a-z\d-]{0,38})$/i;
const target = z.strictObject({ serverUrl: z.string(), apiUrl: z.string() });

type Wish = { readonly server: string | undefined; readonly organisation: string | undefined };
type Section = { readonly section: Html; readonly formsTo: string | undefined };

/** GitHub's part of the overview. */
export async function githubSection(parts: SetupParts, visit: Visit, wish: Wish): Promise<Section> {
  const { forges, about, visits } = parts;
  const { github: app } = forges.stored();
  if (about.appId !== null) {
    return { section: githubConfigured(about.appId, about.github.serverUrl, app ? 'stored too' : 'alone'), formsTo: undefined };
  }
  if (app !== null) return { section: githubStored(app, visits.formToken(visit)), formsTo: undefined };
  return offer(parts, visit, wish);
}

async function offer(parts: SetupParts, visit: Visit, wish: Wish): Promise<Section> {
  const { store, about } = parts;
  const { publicUrl, instance, github } = about;
  const file = readAppFile();
  const server = parseForgeAddress(wish.server || github.serverUrl);
  const organisation = wish.organisation?.trim() ?? '';
  const shown = {
    file,
    server: 'value' in server ? server.value : (wish.server ?? ''),
    organisation,
    hook: webhookUrl(publicUrl, 'github'),
  };
  const refused = (problem: Html): Section => ({ section: githubOffer({ ...shown, problem, form: null }), formsTo: undefined });
  if ('wrong' in server) return refused(note('bad', server.wrong));
  if (organisation !== '' && !ORGANISATION.test(organisation)) return refused(note('bad', 'This is no name of an organisation on GitHub.'));
  if (isLoopback(publicUrl) && !isLoopback(new URL(server.value))) return refused(addressNote(publicUrl));
  if (await servedElsewhere(parts, server.value)) return refused(note('bad', CALLBACK_PROBLEMS.elsewhere));
  const state = randomBytes(STATE_BYTES).toString('base64url');
  const addresses = JSON.stringify(githubAddresses(server.value, github));
  await store.tickets.put({ kind: STATE, digest: digestOf(visit, state), about: addresses, lifeMs: STATE_MS });
  const action = manifestPage(server.value, organisation === '' ? null : organisation, state);
  const form = { action, manifest: manifestOf({ file, name: appName(instance), publicUrl }) };
  return { section: githubOffer({ ...shown, problem: null, form }), formsTo: new URL(server.value).origin };
}

/** Names of Apps are taken once in all of GitHub, and have at most 34 characters; whoever makes it may change it there. */
const appName = (instance: string): string => (instance.startsWith('mayfly') ? instance : `mayfly-${instance}`).slice(0, 34);

/** A state that was given to one browser opens nothing for another. */
const digestOf = ({ id }: Visit, state: string): string => createHash('sha256').update(`${id} ${state}`).digest('hex');

/** The way back from GitHub, and the way to undo it. */
export function githubRoutes(app: Hono<Env>, parts: SetupParts): void {
  const { store, visits, connections, forges, log } = parts;
  const refuse = (problem: keyof typeof CALLBACK_PROBLEMS) => problemPage('GitHub is not connected yet', CALLBACK_PROBLEMS[problem], 400);
  app.get('/github/callback', async (c) => {
    const visit = visits.of(c);
    if (visit?.kind !== 'admitted') return askCode(parts, c, 'expired');
    const about = await store.tickets.take(STATE, digestOf(visit, c.req.query('state') ?? ''));
    if (about === undefined) return show(c, refuse('stale'));
    if (forges.origin('github') !== undefined) return show(c, refuse('taken'));
    const at = target.parse(JSON.parse(about));
    if (await servedElsewhere(parts, at.serverUrl)) return show(c, refuse('elsewhere'));
    const converted = await convert(c.req.query('code') ?? '', at);
    if ('wrong' in converted) {
      log.warn({ problem: converted.wrong, server: at.serverUrl }, 'a GitHub App could not be connected');
      return show(c, refuse(converted.wrong));
    }
    await connections.saveGitHub(converted.app);
    await forges.reload();
    log.info({ app: converted.app.appId, slug: converted.app.slug, server: at.serverUrl }, 'GitHub was connected');
    return c.redirect('/setup', 303);
  });
  app.post('/github/disconnect', async (c) => {
    const posted = await readForm(parts, c, 'admitted');
    if (posted instanceof Response) return posted;
    if (forges.origin('github') === 'stored') await forges.disconnect('github');
    return c.redirect('/setup', 303);
  });
}

/** Repositories are known by their numbers on a forge, and those of another server are others. */
async function servedElsewhere({ store }: SetupParts, serverUrl: string): Promise<boolean> {
  const known = (await store.repositories.forges()).find(({ kind }) => kind === 'github');
  return known !== undefined && known.address !== serverUrl;
}
