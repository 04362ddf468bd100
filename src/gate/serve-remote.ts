import type { SiteId } from '../site/identity.ts';
import type { Agents } from './agents.ts';
import { MAX_REQUEST_BYTES, type Verdict } from './cloud-run.ts';
import { type Exchange, isNavigating, pathname } from './exchange.ts';
import type { IdentityTokens } from './identity-token.ts';
import type { Log } from './log.ts';
import type { Notice } from './notice.ts';
import { answerNotice, answerRobots } from './own-answers.ts';
import { appBroken, appBusy, appLate, appWaking, gateUnknown, notFound, notLetIn, tooLarge } from './pages.ts';
import { type App, forward, isRepeatable, type Outcome } from './proxy.ts';
import type { Recently } from './recently.ts';
import type { UsageMeter } from './usage-meter.ts';

export type RemoteOptions = {
  /** Null: this gate has no identity, as where sites run on this machine. */
  readonly identity: IdentityTokens | null;
  /** The origins that answered lately. Whether a service sleeps nobody tells us. */
  readonly awake: Recently;
  readonly agents: Agents;
  readonly usage: Pick<UsageMeter, 'answering'>;
  readonly log: Log;
  readonly answerMs: number;
  readonly wakePatienceMs: number;
};

type Remote = { readonly id: SiteId; readonly origin: string };

/** @returns `gone` when there is no such service: then nothing was answered */
export async function serveRemote(site: Remote, exchange: Exchange, options: RemoteOptions): Promise<'gone' | undefined> {
  using _answering = options.usage.answering(site.id);
  const { origin } = site;
  const first = await ask(origin, exchange, options);
  // A token may have been taken back before its time.
  const outcome = first === 'unknown-token' && isRepeatable(exchange) ? await ask(origin, exchange, options) : first;
  switch (outcome) {
    case 'answered':
    case 'left':
      return undefined;
    case 'declined':
      if (!answerRobots(exchange)) answerNotice(exchange, notFound());
      return undefined;
    case 'no-service':
      return 'gone';
    default:
      answerNotice(exchange, PAGES[outcome]());
      return undefined;
  }
}

type Told = Exclude<Outcome, 'answered' | 'left' | 'declined' | 'no-service'> | 'unidentified';

const PAGES = {
  unidentified: gateUnknown,
  'unknown-token': gateUnknown,
  'not-invoker': notLetIn,
  busy: appBusy,
  crashed: appBroken,
  unreachable: appBroken,
  late: appLate,
  'timed-out': appLate,
  waking: appWaking,
  'too-large': tooLarge,
} as const satisfies Record<Told, () => Notice>;

async function ask(origin: string, exchange: Exchange, options: RemoteOptions): Promise<Outcome | 'unidentified'> {
  const { identity, awake, agents, answerMs, log } = options;
  // Why there is none was logged where it was asked for.
  const token = await identity?.tokenFor(origin).catch(() => undefined);
  if (identity === null || token === undefined) return 'unidentified';
  const isPatient = awake.has(origin) || !isNavigating(exchange.request);
  const app: App = {
    door: { origin, token },
    agents,
    answerMs,
    patienceMs: isPatient ? null : options.wakePatienceMs,
    woke: () => awake.add(origin),
    maxBytes: MAX_REQUEST_BYTES,
    decline: pathname(exchange.path) === '/robots.txt' ? 404 : null,
  };
  const outcome = await forward(exchange, app);
  if (outcome === 'unknown-token') identity.doubt(origin, token);
  const word = isVerdict(outcome) ? TO_OPERATOR[outcome] : undefined;
  if (word !== undefined) log.warn({ origin, outcome }, word);
  return outcome;
}

const isVerdict = (outcome: Outcome): outcome is keyof typeof TO_OPERATOR => Object.hasOwn(TO_OPERATOR, outcome);

/** What only the operator can do something about. */
const TO_OPERATOR = {
  'unknown-token': "Cloud Run did not accept the gate's identity token",
  'not-invoker':
    'Cloud Run did not let the gate in: its service account needs roles/run.invoker on the service; if it was granted just now, a minute may pass',
  'no-service': 'there is no such service on Cloud Run',
  busy: 'Cloud Run had no instance free for a visitor',
  crashed: 'Cloud Run could not get an answer from the app',
} as const satisfies Partial<Record<Verdict, string>>;
