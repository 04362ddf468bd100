import { z } from 'zod';
import type { ForgeEvent } from '../site/forge-event.ts';
import { parseRepositoryId, parseSha, type RepositoryId, type Sha, toForgeId } from '../site/identity.ts';

// What the inbox gives back was written by us, but perhaps by another version of us: it is read as strictly as anything else.

const forge = z.string().min(1).transform(toForgeId);
const repositoryId = z.custom<RepositoryId>((value) => typeof value === 'string' && parseRepositoryId(value) !== undefined);
const sha = z.custom<Sha>((value) => parseSha(value) !== undefined);
const repository = z.strictObject({ forge, id: repositoryId, name: z.string(), access: z.string() });
const number = z.int().positive();

const storedEvent = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('pullChanged'),
    repository,
    number,
    action: z.enum(['opened', 'reopened', 'pushed', 'closed', 'other']),
    sha,
  }),
  z.strictObject({
    type: z.literal('commentWritten'),
    repository,
    number,
    comment: z.strictObject({ id: z.string(), body: z.string(), writtenAt: z.string() }),
    author: z.strictObject({ id: z.number(), login: z.string(), kind: z.enum(['person', 'bot']) }),
  }),
  z.strictObject({ type: z.literal('branchPushed'), repository, branch: z.string(), touchesSettings: z.boolean() }),
  z.strictObject({ type: z.literal('repositoryRenamed'), repository }),
  z.strictObject({ type: z.literal('repositoriesAdded'), repositories: z.array(repository) }),
  z.strictObject({ type: z.literal('repositoriesRemoved'), forge, access: z.string(), repositories: z.array(repositoryId) }),
  z.strictObject({ type: z.literal('accessRemoved'), forge, access: z.string() }),
  z.strictObject({ type: z.literal('accessRestored'), forge, access: z.string() }),
]) satisfies z.ZodType<ForgeEvent>;

/** The event of a stored delivery; undefined when it is not one that this version knows. */
export function parseStoredEvent(value: unknown): ForgeEvent | undefined {
  const parsed = storedEvent.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}
