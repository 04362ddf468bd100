import { createHash, randomBytes } from 'node:crypto';
import type { Context, Hono } from 'hono';
import { z } from 'zod';
import { GITLAB } from '../forges/gitlab-events.ts';
import type { Project } from '../forges/gitlab-setup.ts';
import { parseForgeAddress } from './addresses.ts';
import { type Env, readForm, type SetupParts } from './forms.ts';
import {
  CONNECT_PROBLEMS,
  choicePage,
  donePage,
  gitlabConfigured,
  gitlabFormPage,
  gitlabOffer,
  gitlabStored,
  LEFT,
  lostWords,
  type TokenForm,
  undonePage,
} from './gitlab-page.ts';
import { connect, disconnect, type GitLabParts, type Given, look } from './gitlab-projects.ts';
import { type Html, type Page, show } from './page.ts';
import { problemPage } from './pages.ts';
import type { Visit } from './visits.ts';

const TICKET = 'gitlab';
const TICKET_MS = 30 * 60_000;
const given: z.ZodType<Given> = z.strictObject({ url: z.string(), token: z.string(), group: z.string().nullable() });
/** What GitLab makes is far shorter; nothing else fits into a header. */
const TOKEN = /^[\x21-\x7e]{1,500}$/;

const partsOf = ({ store, connections, forges, about: { publicUrl }, log }: SetupParts): GitLabParts => ({
  store,
  connections,
  forges,
  publicUrl,
  log,
});

/** GitLab's part of the overview. */
export async function gitlabSection({ forges, store, visits, about }: SetupParts, visit: Visit): Promise<Html> {
  const token = visits.formToken(visit);
  const { gitlab } = forges.stored();
  if (about.gitlabUrl !== null) return gitlabConfigured(about.gitlabUrl, gitlab ? 'stored too' : 'alone');
  if (gitlab === null) return gitlabOffer({ token, address: 'https://gitlab.com', group: '', problem: null });
  const names = (await store.hooks.of(GITLAB)).map(({ name }) => name);
  return gitlabStored({ token, address: gitlab.url, names });
}

/** Address and token, then the choice, then what was done; and the way to undo it. */
export function gitlabRoutes(app: Hono<Env>, setup: SetupParts): void {
  const parts = partsOf(setup);
  app.post('/gitlab', async (c) => {
    const posted = await readForm(setup, c, 'admitted');
    if (posted instanceof Response) return posted;
    const text = (name: string): string => posted.fields.get(name)?.trim() ?? '';
    const form = { token: setup.visits.formToken(posted.visit), address: text('address'), group: text('group') };
    const address = parseForgeAddress(form.address);
    if ('wrong' in address) return show(c, gitlabFormPage({ ...form, problem: address.wrong }));
    if (!TOKEN.test(text('token'))) return show(c, gitlabFormPage({ ...form, problem: CONNECT_PROBLEMS['token-unknown'] }));
    return choose(setup, c, { visit: posted.visit, given: { url: address.value, token: text('token'), group: form.group || null }, form });
  });
  app.post('/gitlab/choose', async (c) => {
    const posted = await readForm(setup, c, 'admitted');
    if (posted instanceof Response) return posted;
    const stored = setup.forges.stored().gitlab;
    if (stored === null) return c.redirect('/setup', 303);
    const form = { token: setup.visits.formToken(posted.visit), address: stored.url, group: '' };
    return choose(setup, c, { visit: posted.visit, given: { url: stored.url, token: stored.token, group: null }, form });
  });
  app.post('/gitlab/projects', async (c) => {
    const posted = await readForm(setup, c, 'admitted');
    if (posted instanceof Response) return posted;
    const about = await setup.store.tickets.take(TICKET, digestOf(posted.visit, posted.fields.get('ticket') ?? ''));
    if (about === undefined) return show(c, STALE);
    const wish = opened(setup, about);
    const looked = await look(parts, wish);
    if ('problem' in looked) return show(c, problemPage(LEFT, CONNECT_PROBLEMS[looked.problem], 400));
    return show(c, await carryOut(parts, { wish, shown: looked.projects, ticked: posted.fields.getAll('project') }));
  });
  app.post('/gitlab/disconnect', async (c) => {
    const posted = await readForm(setup, c, 'admitted');
    if (posted instanceof Response) return posted;
    return show(c, undonePage(await disconnect(parts, () => true)));
  });
}

const STALE = problemPage(
  'This choice is too old',
  'It was sent already, or the page was open for more than half an hour. Nothing was changed; begin again.',
  400,
);

type Choosing = { readonly visit: Visit; readonly given: Given; readonly form: Omit<TokenForm, 'problem'> };

async function choose(setup: SetupParts, c: Context<Env>, { visit, given: wish, form }: Choosing): Promise<Response> {
  const looked = await look(partsOf(setup), wish);
  if ('problem' in looked) return show(c, gitlabFormPage({ ...form, problem: CONNECT_PROBLEMS[looked.problem] }));
  const ticket = randomBytes(32).toString('base64url');
  const about = setup.sealer.seal(JSON.stringify(wish), TICKET).toString('base64');
  await setup.store.tickets.put({ kind: TICKET, digest: digestOf(visit, ticket), about, lifeMs: TICKET_MS });
  const chosen = new Set((await setup.store.hooks.of(GITLAB)).map(({ repository }) => repository));
  return show(c, choicePage({ token: form.token, ticket, address: wish.url, projects: looked.projects, chosen }));
}

const opened = ({ sealer }: SetupParts, about: string): Given => given.parse(JSON.parse(sealer.open(Buffer.from(about, 'base64'), TICKET)));

type Ticked = { readonly wish: Given; readonly shown: readonly Project[]; readonly ticked: readonly string[] };

/** Webhooks on what is ticked, none of ours any more on what was shown without a tick. */
async function carryOut(parts: GitLabParts, { wish, shown, ticked }: Ticked): Promise<Page> {
  const wanted = shown.filter(({ id }) => ticked.includes(id));
  const dropped = shown.filter(({ id }) => !ticked.includes(id)).map(({ id }) => String(id));
  const connected = wanted.length === 0 ? { outcomes: [] } : await connect(parts, wish, wanted);
  if ('lost' in connected) return problemPage(LEFT, lostWords(connected.lost), 400);
  const undone = await disconnect(parts, ({ repository }) => dropped.includes(repository));
  return 'outcomes' in undone ? donePage([...connected.outcomes, ...undone.outcomes]) : undonePage(undone);
}

/** A ticket that was given to one browser opens nothing for another. */
const digestOf = ({ id }: Visit, ticket: string): string => createHash('sha256').update(`${id} ${ticket}`).digest('hex');
