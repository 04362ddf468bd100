import type { Place, Voice } from '../../site/ports.ts';
import { capped } from './capped.ts';

/** GitHub refuses a longer one; ours is the same on every forge. */
const MAX_COMMENT = 65_536;

/** `passing` is an edit that the next word makes up for. */
export type EditKind = 'content' | 'passing';

/** How comments are written on one forge. */
export interface Pen<Comment extends { readonly id: number }> {
  /** Those that are ours, and on whose first line the marker stands alone. Oldest first. */
  ours(place: Place, marker: string): Promise<readonly Comment[]>;
  /** Undefined when it is no longer there. */
  edit(place: Place, comment: { readonly id: number; readonly body: string }, kind: EditKind): Promise<Comment | undefined>;
  remove(place: Place, id: number): Promise<void>;
  create(place: Place, body: string): Promise<Comment>;
  /** Its address. */
  url(place: Place, comment: Comment): string;
}

export const isMarked = (body: string, marker: string): boolean => body.split(/\r?\n/, 1)[0]?.trim() === marker;

/** The one comment of ours with a marker, however often and by how many it is written at once. */
export function oneComment<Comment extends { readonly id: number }>(pen: Pen<Comment>): Pick<Voice, 'ensureComment'> {
  /** The oldest stays; a second one, of two workers or of an answer that was lost, goes. */
  async function keepOldest(place: Place, marker: string): Promise<Comment | undefined> {
    const [oldest, ...later] = await pen.ours(place, marker);
    for (const { id } of later) await pen.remove(place, id);
    return oldest;
  }

  return {
    async ensureComment(place, { marker, body: said, known, isPassing }) {
      const body = capped(said.startsWith(marker) ? said : `${marker}\n${said}`, MAX_COMMENT);
      const told = (one: Comment) => ({ id: String(one.id), url: pen.url(place, one) });
      const remembered = known === null ? undefined : await pen.edit(place, { id: Number(known), body }, isPassing ? 'passing' : 'content');
      if (remembered) return told(remembered);

      const before = await keepOldest(place, marker);
      const edited = before && (await pen.edit(place, { id: before.id, body }, 'content'));
      if (edited) return told(edited);

      const made = await pen.create(place, body);
      // Another worker may have created one in the same moment: both look, and both keep the older one.
      const kept = await keepOldest(place, marker);
      if (!kept || kept.id === made.id) return told(made);
      return told((await pen.edit(place, { id: kept.id, body }, 'content')) ?? made);
    },
  };
}
