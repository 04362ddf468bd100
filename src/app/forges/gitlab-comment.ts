import { z } from 'zod';
import type { Voice } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { type Caller, NOTHING } from './gitlab-call.ts';
import { isMarked, oneComment } from './one-comment.ts';

const noteAnswer = z.object({
  id: z.number(),
  body: z.string().catch(''),
  system: z.boolean().catch(false),
  author: z.object({ id: z.number() }).nullable().catch(null),
});
type Note = z.infer<typeof noteAnswer>;

/** U+2060: no width, no line break. */
const JOINER = '\u2060';
/**
 * GitLab takes a line that starts with `/` for an order to itself, given with our rights: `/merge` in a log would be carried out. It looks
 * past code blocks, but finds their end by three backticks whatever the fence, so no line of ours starts so.
 * See https://docs.gitlab.com/user/project/quick_actions/.
 */
export const withoutOrders = (text: string): string => text.replace(/^([^\S\n]*)\//gm, `$1${JOINER}/`);

const gone = (): Fault => new Fault('forge-refused', { details: { cause: 'the merge request is not there' } });

export function gitlabComment(caller: Caller): Pick<Voice, 'ensureComment'> {
  const { url } = caller.connection;
  return oneComment<Note>({
    async ours(place, marker) {
      const us = await caller.us();
      const order = { orderBy: 'created_at', sort: 'asc', perPage: 100 } as const;
      const all = await caller.read(place.repository, z.array(noteAnswer), (api, project) => api.notes.all(project, place.number, order));
      if (all.kind === 'missing') throw gone();
      return all.data
        .filter(({ system, author, body }) => !system && author?.id === us && isMarked(body, marker))
        .sort((a, b) => a.id - b.id);
    },
    async edit(place, { id, body }, kind) {
      const how = { kind: kind === 'passing' ? kind : 'write', as: noteAnswer } as const;
      const answer = await caller.write(place.repository, how, (api, project) =>
        api.notes.edit(project, place.number, id, { body: withoutOrders(body) }),
      );
      return answer.kind === 'found' ? answer.data : undefined;
    },
    async remove(place, id) {
      const how = { kind: 'write', as: NOTHING } as const;
      await caller.write(place.repository, how, (api, project) => api.notes.remove(project, place.number, id));
    },
    async create(place, body) {
      const made = await caller.write(place.repository, { kind: 'note', as: noteAnswer }, (api, project) =>
        api.notes.create(project, place.number, withoutOrders(body)),
      );
      if (made.kind === 'missing') throw gone();
      return made.data;
    },
    url: ({ repository, number }, { id }) => `${url}/${repository.name}/-/merge_requests/${number}#note_${id}`,
  });
}
