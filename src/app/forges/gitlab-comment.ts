import { z } from 'zod';
import type { Place, Voice } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { capped } from './capped.ts';
import { type Caller, NOTHING } from './gitlab-call.ts';

/** As long as GitHub's, so that a comment is the same on both; GitLab itself takes a million characters. */
const MAX_COMMENT = 65_536;
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
  /** Our notes with the marker on their first line, oldest first. */
  async function ours(place: Place, marker: string): Promise<readonly Note[]> {
    const us = await caller.us();
    const order = { orderBy: 'created_at', sort: 'asc', perPage: 100 } as const;
    const all = await caller.read(place.repository, z.array(noteAnswer), (api, project) => api.notes.all(project, place.number, order));
    if (all.kind === 'missing') throw gone();
    return all.data
      .filter(({ system, author, body }) => !system && author?.id === us && body.split(/\r?\n/, 1)[0]?.trim() === marker)
      .sort((a, b) => a.id - b.id);
  }

  /** Undefined when it is no longer there. */
  async function edit(place: Place, id: number, body: string, kind: 'write' | 'passing' = 'write'): Promise<Note | undefined> {
    const answer = await caller.write(place.repository, { kind, as: noteAnswer }, (api, project) =>
      api.notes.edit(project, place.number, id, { body }),
    );
    return answer.kind === 'found' ? answer.data : undefined;
  }

  /** The oldest stays; a second one, of two workers or of an answer that was lost, goes. */
  async function keepOldest(place: Place, found: readonly Note[]): Promise<Note | undefined> {
    const [oldest, ...later] = found;
    for (const { id } of later) {
      await caller.write(place.repository, { kind: 'write', as: NOTHING }, (api, project) => api.notes.remove(project, place.number, id));
    }
    return oldest;
  }

  return {
    async ensureComment(place, { marker, body, known, isPassing }) {
      const whole = body.startsWith(marker) ? body : `${marker}\n${body}`;
      const text = capped(withoutOrders(whole), MAX_COMMENT);
      const page = `${caller.connection.url}/${place.repository.name}/-/merge_requests/${place.number}`;
      const told = ({ id }: Note) => ({ id: String(id), url: `${page}#note_${id}` });
      const remembered = known === null ? undefined : await edit(place, Number(known), text, isPassing ? 'passing' : 'write');
      if (remembered) return told(remembered);

      const before = await keepOldest(place, await ours(place, marker));
      const edited = before && (await edit(place, before.id, text));
      if (edited) return told(edited);

      const made = await caller.write(place.repository, { kind: 'note', as: noteAnswer }, (api, project) =>
        api.notes.create(project, place.number, text),
      );
      if (made.kind === 'missing') throw gone();
      // Another worker may have created one in the same moment: both look, and both keep the older one.
      const kept = await keepOldest(place, await ours(place, marker));
      if (!kept || kept.id === made.data.id) return told(made.data);
      return told((await edit(place, kept.id, text)) ?? made.data);
    },
  };
}
