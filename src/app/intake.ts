import { parseCommands } from '../site/command.ts';
import type { Claim, ForgeEvent } from '../site/forge-event.ts';
import type { ForgeId, Repository, RepositoryId } from '../site/identity.ts';
import { isAllowed } from '../site/policy.ts';
import { Fault, PROBLEMS } from '../site/problem.ts';
import type { Store } from '../store/store.ts';
import type { CommandParts } from './command-verbs.ts';
import { handleComment } from './commands.ts';
import { endSitesOf } from './leaving.ts';
import type { Metrics } from './metrics.ts';
import { getLink, lookAtOpenPulls, lookAtPull } from './pulls.ts';
import { parseStoredEvent } from './stored-event.ts';

export type IntakeParts = CommandParts & {
  readonly store: CommandParts['store'] & Pick<Store, 'inbox'>;
  readonly metrics: Pick<Metrics, 'intook'>;
};

export interface Intake {
  /** Does what a stored delivery asks for; throws when it has to be tried again, by whoever runs the job. */
  handleDelivery(delivery: string): Promise<void>;
  /** The same look at one pull without a delivery. */
  lookAtPull(repository: Repository, number: number): Promise<void>;
  /** What is done with a repository that was opened to us, without a delivery. */
  addRepository(repository: Repository): Promise<void>;
  /** Ends the sites of a repository that the forge no longer opens to us. It stays known: it may be opened again, and nobody tell us. */
  endIfOutOfReach(repository: Repository): Promise<void>;
}

/** With a forge that is away these are hours; reconcile brings in what a dead delivery would have. */
const MAX_ATTEMPTS = 60;
/** A bug does not go away by trying; a race that looks like one may. */
const MAX_ATTEMPTS_BUG = 5;

export function openIntake(parts: IntakeParts): Intake {
  return {
    lookAtPull: (repository, number) => lookAtPull(parts, { repository, number }, { reopened: false }),
    addRepository: (repository) => repositoryAdded(parts, repository),
    async endIfOutOfReach(repository) {
      if (!(await isInReach(parts, repository))) await endSitesOf(parts.store, repository);
    },
    async handleDelivery(delivery) {
      const { inbox } = parts.store;
      const stored = await inbox.get(delivery);
      if (stored === undefined || stored.handledAt !== null) return;
      const event = parseStoredEvent(stored.event);
      if (event === undefined) return bury(parts, delivery, { reason: 'The stored event is not one that this version knows.' });
      const attempts = await inbox.attempted(delivery);
      try {
        await handle({ ...parts, log: parts.log.child({ delivery }) }, event, delivery);
        parts.metrics.intook('handled');
      } catch (error) {
        await afterFailure(parts, { delivery, event, attempts, error });
      }
    },
  };
}

type Failure = { readonly delivery: string; readonly event: ForgeEvent; readonly attempts: number; readonly error: unknown };

async function afterFailure(parts: IntakeParts, { delivery, event, attempts, error }: Failure): Promise<void> {
  if (error instanceof Fault && error.code === 'access-gone') {
    // We were told of a repository that is closed to us by now: that it was is news of its own, brought by another delivery or reconcile.
    parts.log.info({ delivery, event: event.type }, 'the repository of a delivery is out of our reach');
    await parts.store.inbox.handled(delivery);
    return parts.metrics.intook('handled');
  }
  const lost = error instanceof Fault ? PROBLEMS[error.code].retry === 'never' : false;
  const limit = error instanceof Fault ? MAX_ATTEMPTS : MAX_ATTEMPTS_BUG;
  if (!lost && attempts < limit) throw error;
  await bury(parts, delivery, { reason: `${event.type}: ${error instanceof Error ? error.message : String(error)}`, error });
}

async function bury(
  parts: IntakeParts,
  delivery: string,
  { reason, error }: { readonly reason: string; readonly error?: unknown },
): Promise<void> {
  parts.log.error({ delivery, reason, err: error }, 'a delivery was given up');
  await parts.store.inbox.dead(delivery, reason);
  parts.metrics.intook('dead');
}

async function handle(parts: IntakeParts, told: ForgeEvent, delivery: string): Promise<void> {
  const { repositories, inbox } = parts.store;
  const event = isClaim(told) ? await confirmed(parts, told) : told;
  if (event === undefined) return inbox.handled(delivery);
  switch (event.type) {
    case 'pullChanged':
      await repositories.seen(event.repository);
      return lookAtPull(parts, event, {
        reopened: event.action === 'reopened',
        ...(event.action === 'opened' ? { opened: event.sha } : {}),
        delivery,
      });
    case 'commentWritten':
      return handleComment(parts, event, delivery);
    case 'branchPushed':
      await settingsChanged(parts, event.repository, event.branch);
      break;
    case 'repositoryRenamed':
      // One that we never heard of is none of ours: it may be off the allow-list.
      if (await repositories.find(event.repository.forge, event.repository.id)) await repositories.seen(event.repository);
      break;
    case 'repositoriesAdded':
      for (const repository of event.repositories) await repositoryAdded(parts, repository);
      break;
    case 'repositoriesRemoved':
      for (const id of event.repositories) await repositoryRemoved(parts, { forge: event.forge, id, access: event.access });
      break;
    case 'accessRemoved':
      for (const repository of await repositories.ofAccess(event.forge, event.access)) await repositoryRemoved(parts, repository);
      await accessGone(parts, event);
      break;
    case 'accessRestored':
      for (const repository of await getLink(parts.links, event.forge).facts.repositories(event.access))
        await repositoryAdded(parts, repository);
      break;
    default:
      return event satisfies never;
  }
  await inbox.handled(delivery);
}

const isClaim = (event: ForgeEvent): event is Claim =>
  event.type === 'pullChanged' || event.type === 'commentWritten' || event.type === 'branchPushed';

/** Of talk nothing is asked. The name by which a repository is allowed is the one that the forge has for it. */
async function confirmed(parts: IntakeParts, told: Claim): Promise<Claim | undefined> {
  if (told.type === 'commentWritten' && (told.author.kind === 'bot' || parseCommands(told.comment.body, parts.word).length === 0))
    return undefined;
  const event = await getLink(parts.links, told.repository.forge).confirm(told);
  if (event !== undefined && isAllowed(parts.policy.repositories, event.repository.name)) return event;
  parts.log.info(
    { event: told.type, repository: told.repository.id },
    'the forge knows nothing of what a webhook said, or it is not allowed here',
  );
  return undefined;
}

/** The settings are those of the base branch, so every pull onto it is looked at anew. */
async function settingsChanged(parts: IntakeParts, repository: Repository, branch: string): Promise<void> {
  await parts.store.repositories.seen(repository);
  await lookAtOpenPulls(parts, repository, branch);
}

async function repositoryAdded(parts: IntakeParts, repository: Repository): Promise<void> {
  // Asked again: the allow-list may have been narrowed since it was stored.
  if (!isAllowed(parts.policy.repositories, repository.name)) return;
  await parts.store.repositories.seen(repository);
  await lookAtOpenPulls(parts, repository);
}

/** Ends every site of a repository that is out of our reach, and forgets it. The forge is asked: the news may be older than a return. */
async function repositoryRemoved(
  parts: IntakeParts,
  gone: { readonly forge: ForgeId; readonly id: RepositoryId; readonly access: string },
): Promise<void> {
  if (await isInReach(parts, gone)) return;
  await endSitesOf(parts.store, gone);
  await parts.store.repositories.forget(gone.forge, gone.id);
  getLink(parts.links, gone.forge).forget(gone);
}

/** Once no repository of it is in reach; the news may be older than a return. */
async function accessGone(parts: IntakeParts, { forge, access }: { readonly forge: ForgeId; readonly access: string }): Promise<void> {
  if ((await parts.store.repositories.ofAccess(forge, access)).length > 0) return;
  getLink(parts.links, forge).forget({ access, id: 'all' });
}

async function isInReach(parts: IntakeParts, gone: Pick<Repository, 'forge' | 'id' | 'access'>): Promise<boolean> {
  try {
    return (await getLink(parts.links, gone.forge).facts.repository(gone)) !== undefined;
  } catch (error) {
    // An access that is gone, or suspended, is the answer and not a failure. A refusal for any other reason is no answer.
    if (error instanceof Fault && error.code === 'access-gone') return false;
    throw error;
  }
}
