import { createHash, timingSafeEqual } from 'node:crypto';
import type { HttpBindings } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { outcomeOf } from '../site/answer.ts';
import { costOf, NO_USAGE, PRICES, type Usage } from '../site/cost.ts';
import { parseDuration } from '../site/deadline.ts';
import { type Repository, type SiteId, toSiteId } from '../site/identity.ts';
import { sentence } from '../site/problem.ts';
import { regionLabel } from '../site/region.ts';
import { type Site, STATUSES } from '../site/site.ts';
import { isOver } from '../site/site-changes.ts';
import type { Launch, SiteFilter, Store } from '../store/store.ts';
import { readBody } from './body.ts';
import { HTTP_PROBLEMS, type HttpProblem, PROBLEM_TYPE, problemBody } from './problems.ts';
import { siteUrl } from './reporter.ts';

export type ApiParts = {
  readonly store: Pick<Store, 'sites' | 'launches' | 'commands' | 'repositories' | 'usage' | 'apply'>;
  /** Null: nobody gets in. */
  readonly token: string | null;
  readonly previewUrl: URL;
  /** The word that commands start with, for sentences that name one. */
  readonly word: string;
  readonly target: 'local' | 'gcp';
};

type Env = { readonly Bindings: HttpBindings };
const PAGE = 20;
const MAX_PAGE = 100;
const LAUNCHES_SHOWN = 20;
const COMMANDS_SHOWN = 50;
const BODY_LIMITS = { maxBytes: 16 * 1024, withinMs: 10_000 };
/** Who history names for what the operator's token did. */
const OPERATOR = 'the operator';

const wholeNumber = (max: number) =>
  z
    .string()
    .regex(/^[1-9][0-9]{0,9}$/)
    .transform(Number)
    .pipe(z.number().max(max));
const listQuery = z.strictObject({
  repository: z.string().min(1).max(500).optional(),
  status: z.enum(STATUSES).optional(),
  pull: wholeNumber(2_147_483_647).optional(),
  cursor: z.string().min(1).max(200).optional(),
  limit: wholeNumber(MAX_PAGE).optional(),
});
const extendBody = z.strictObject({ for: z.string() });

/** `/api/v1`: the operator's way to see, extend and end sites. */
export function createApi(parts: ApiParts): Hono<Env> {
  const api = new Hono<Env>();
  /** The pull without a site that we remember is nothing to see here. */
  const find = async (id: string): Promise<Site | undefined> => {
    const site = await parts.store.sites.find(toSiteId(id));
    return site?.status === 'absent' ? undefined : site;
  };
  api.use(async (c, next) => {
    if (isOperator(parts.token, c.req.header('authorization'))) return next();
    return problem(c, 'unauthorized');
  });
  api.get('/sites', async (c) => {
    const query = listQuery.safeParse(c.req.query());
    if (!query.success) return problem(c, 'query-invalid', query.error.issues.map(toDetail).join('; '));
    const { sites, next } = await parts.store.sites.list(toFilter(query.data));
    return c.json({ sites: await showAll(parts, sites), next });
  });
  api.get('/sites/:id', async (c) => {
    const site = await find(c.req.param('id'));
    return site ? c.json(await show(parts, site)) : problem(c, 'site-unknown');
  });
  api.get('/sites/:id/commands', async (c) => {
    const site = await find(c.req.param('id'));
    return site ? c.json({ commands: await commandsOf(parts, site) }) : problem(c, 'site-unknown');
  });
  api.post('/sites/:id/extend', async (c) => {
    const byMs = await readExtension(c);
    if (typeof byMs === 'string') return problem(c, byMs);
    const found = await find(c.req.param('id'));
    if (!found) return problem(c, 'site-unknown');
    const { site, changed } = await parts.store.apply(found.id, { type: 'extended', byMs, by: OPERATOR });
    if (isOver(site)) return problem(c, 'site-over');
    return changed ? c.json(await show(parts, site)) : problem(c, 'limit-reached', `It ends at ${site.endsAt.toISOString()}.`);
  });
  api.delete('/sites/:id', async (c) => {
    const found = await find(c.req.param('id'));
    if (!found) return problem(c, 'site-unknown');
    const { site } = await parts.store.apply(found.id, { type: 'stopped', by: OPERATOR, order: null });
    return c.json(await show(parts, site), site.status === 'ended' ? 200 : 202);
  });
  for (const path of ['/sites', '/sites/:id', '/sites/:id/extend', '/sites/:id/commands'])
    api.all(path, (c) => problem(c, 'method-not-allowed'));
  return api;
}

/** Compares digests, so that neither content nor length of the token shows in the time it takes. */
function isOperator(token: string | null, header: string | undefined): boolean {
  const given = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1];
  if (token === null || given === undefined) return false;
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}

/** An answer as RFC 9457 has it. */
export function problem(c: Context, code: HttpProblem, detail?: string): Response {
  const headers = { 'Content-Type': PROBLEM_TYPE, ...(code === 'unauthorized' ? { 'WWW-Authenticate': 'Bearer realm="mayfly"' } : {}) };
  return c.body(problemBody(code, detail), HTTP_PROBLEMS[code].status, headers);
}

const toDetail = (issue: z.core.$ZodIssue): string => `${issue.path.join('.') || 'query'}: ${issue.message}`;

function toFilter({ repository, status, pull, cursor, limit }: z.infer<typeof listQuery>): SiteFilter {
  return {
    ...(repository === undefined ? {} : { repository }),
    ...(status === undefined ? {} : { status }),
    ...(pull === undefined ? {} : { pull }),
    ...(cursor === undefined ? {} : { after: cursor }),
    limit: limit ?? PAGE,
  };
}

async function readExtension(c: Context<Env>): Promise<number | HttpProblem> {
  const body = await readBody(c.env.incoming, BODY_LIMITS);
  if (body === 'gone') return 'not-json';
  if (typeof body === 'string') return body;
  try {
    const parsed = extendBody.safeParse(JSON.parse(body.toString('utf8')));
    return (parsed.success ? parseDuration(parsed.data.for) : undefined) ?? 'duration-invalid';
  } catch {
    // Text from outside: not JSON is one of the things it may be.
    return 'not-json';
  }
}

/** What is shown of a site besides its row. */
type Beside = { readonly repository: Repository | undefined; readonly launches: readonly Launch[]; readonly usage: Usage };

/** A page of them in as many questions to the database as one. */
async function showAll(parts: ApiParts, sites: readonly Site[]): Promise<readonly object[]> {
  const { store, target } = parts;
  const ids = sites.map(({ id }) => id);
  const named = new Map(sites.map(({ pull }) => [`${pull.forge} ${pull.repository}`, pull]));
  const [repositories, launches, usage] = await Promise.all([
    Promise.all([...named].map(async ([key, { forge, repository }]) => [key, await store.repositories.find(forge, repository)] as const)),
    store.launches.ofEach(ids, LAUNCHES_SHOWN),
    target === 'gcp' ? store.usage.ofEach(ids) : new Map<SiteId, Usage>(),
  ]);
  const byKey = new Map(repositories);
  return sites.map((site) =>
    toShown(parts, site, {
      repository: byKey.get(`${site.pull.forge} ${site.pull.repository}`),
      launches: launches.get(site.id) ?? [],
      usage: usage.get(site.id) ?? NO_USAGE,
    }),
  );
}

const show = async (parts: ApiParts, site: Site): Promise<object | undefined> => (await showAll(parts, [site]))[0];

function toShown(parts: ApiParts, site: Site, { repository, launches, usage }: Beside): object {
  return {
    id: site.id,
    forge: site.pull.forge,
    repository: nameOf(site, repository),
    pull: site.pull.number,
    branch: site.head.branch,
    sha: site.head.sha,
    status: site.status,
    live: site.live && { sha: site.live.sha, url: site.live.url, since: site.live.since.toISOString() },
    url: siteUrl(parts.previewUrl, site.host),
    region: site.region,
    endsAt: site.endsAt.toISOString(),
    createdAt: site.createdAt.toISOString(),
    reason: reasonOf(site, parts.word),
    launches: launches.map((launch) => showLaunch(launch, parts.word)),
    ...(parts.target === 'gcp' ? { cost: toCost(site, usage) } : {}),
  };
}

/** In US dollars, by the table of src/site/cost.ts: an estimate of what Cloud Run charges. */
function toCost(site: Site, usage: Usage): object {
  const { asleepPerHour, awakePerHour, soFar } = costOf(site.region, usage);
  // To a hundredth of a cent: more would look more exact than it is.
  const rounded = (amount: number): number => Math.round(amount * 10_000) / 10_000;
  return {
    currency: 'USD',
    asleepPerHour: rounded(asleepPerHour),
    awakePerHour: rounded(awakePerHour),
    soFar: rounded(soFar),
    pricesAsOf: PRICES.asOf,
  };
}

/** What people typed, newest first: who, what they were allowed then, and what came of it. */
async function commandsOf(parts: ApiParts, site: Site) {
  const commands = await parts.store.commands.ofPull(site.pull, COMMANDS_SHOWN);
  return commands.map(({ comment, typed, by, permission, answer, at }) => {
    const outcome = answer === null ? 'done' : outcomeOf(answer);
    return { comment, typed, by, permission, outcome, code: answer?.code ?? 'done', at: at.toISOString() };
  });
}

/** A repository that we had to forget keeps its number. */
const nameOf = (site: Site, repository: Repository | undefined): string => repository?.name ?? site.pull.repository;

/** Why it is in the state it is in, where that needs a why: a sentence after a failure, a word after an end. */
function reasonOf(site: Site, word: string): string | null {
  switch (site.status) {
    case 'failed':
      return sentence(site.code, { word, launch: site.launch, ...site.details });
    case 'ending':
    case 'ended':
      return site.reason.kind === 'stopped' ? `stopped by ${site.reason.by}` : site.reason.kind;
    case 'queued':
      if (site.home.full !== null) return `waits for room in ${site.home.full.map(regionLabel).join(', ')}`;
      return site.place === 'refused' ? 'waits for a place' : null;
    case 'absent':
    case 'held':
    case 'building':
    case 'deploying':
    case 'ready':
      return null;
    default:
      return site satisfies never;
  }
}

function showLaunch(launch: Launch, word: string) {
  const { queued = null, fetch = null, build = null, deploy = null, check = null } = launch.stages;
  return {
    id: launch.id,
    sha: launch.sha,
    outcome: launch.outcome,
    reason: launch.reason && sentence(launch.reason.code, { word, launch: launch.id, ...launch.reason.details }),
    startedAt: launch.startedAt.toISOString(),
    finishedAt: launch.finishedAt?.toISOString() ?? null,
    stages: { queued, fetch, build, deploy, check },
  };
}
