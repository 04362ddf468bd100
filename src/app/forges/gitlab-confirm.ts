import { setTimeout as wait } from 'node:timers/promises';
import { z } from 'zod';
import type { Claim } from '../../site/forge-event.ts';
import type { Caller } from './gitlab-call.ts';
import { isBot, isOurs } from './gitlab-events.ts';
import type { OpenedForge } from './opened.ts';

const noteAnswer = z.object({
  id: z.number(),
  body: z.string(),
  system: z.literal(false),
  internal: z.literal(false).optional(),
  confidential: z.literal(false).nullish(),
  author: z.object({ id: z.number(), username: z.string(), bot: z.unknown().optional() }),
  created_at: z.string(),
});
const anyAnswer = z.unknown();
/** GitLab may read from a copy of its database that is this far behind what it told us of. */
const REPLICATION_MS = 1_000;

/**
 * Since 16.10 every Maintainer of a project may write the payloads of its webhooks, also of ours, which GitLab then sends with our secret:
 * what one says of the project, of who wrote a comment and of its words is asked again
 * (https://docs.gitlab.com/user/project/integrations/webhooks/#custom-webhook-template).
 */
export function gitlabConfirm(caller: Caller): OpenedForge['confirm'] {
  return async (event: Claim) => {
    const repository = await caller.locate(event.repository);
    if (repository === undefined) return undefined;
    if (event.type !== 'commentWritten') return { ...event, repository };
    const { comment, number } = event;
    const ask = () => caller.read(repository, anyAnswer, (api, project) => api.notes.show(project, number, Number(comment.id)));
    let answer = await ask();
    if (answer.kind === 'missing') {
      await wait(REPLICATION_MS);
      answer = await ask();
    }
    const note = noteAnswer.safeParse(answer.kind === 'found' ? answer.data : undefined).data;
    // Edited meanwhile, or never said so: neither is a command.
    if (note === undefined || note.body !== comment.body || Number.isNaN(Date.parse(note.created_at))) return undefined;
    const { id, username: login } = note.author;
    const kind = isBot(note.author) || isOurs(note.body) ? 'bot' : 'person';
    return { ...event, repository, comment: { ...comment, writtenAt: note.created_at }, author: { id, login, kind } };
  };
}
