import type { Place, Voice } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { capped } from './capped.ts';
import type { Caller } from './github-call.ts';
import type { Us } from './github-us.ts';

/** GitHub refuses a longer comment. */
const MAX_COMMENT = 65_536;

type Ours = { readonly id: number; readonly html_url: string };
const gone = (): Fault => new Fault('forge-refused', { details: { cause: 'the pull request is not there' } });

export function githubComment(caller: Caller, us: Us): Pick<Voice, 'ensureComment'> {
  /** Our comments with the marker on their first line, oldest first. */
  async function ours(place: Place, marker: string): Promise<readonly Ours[]> {
    const all = await caller.readAll(place.repository, {
      ask: (octokit, at) => octokit.rest.issues.listComments({ ...at, issue_number: place.number }),
      items: (data) => data,
    });
    if (all.kind === 'missing') throw gone();
    const found: Ours[] = [];
    for (const comment of all.data) {
      const isMarked = (comment.body ?? '').split(/\r?\n/, 1)[0]?.trim() === marker;
      if (isMarked && (await us.wrote(place.repository, comment))) found.push({ id: comment.id, html_url: comment.html_url });
    }
    return found.sort((a, b) => a.id - b.id);
  }

  /** Undefined when it is no longer there. */
  async function edit(place: Place, id: number, body: string, kind: 'content' | 'passing' = 'content'): Promise<Ours | undefined> {
    const answer = await caller.write(place.repository, kind, (octokit, named) =>
      octokit.rest.issues.updateComment({ ...named, comment_id: id, body }),
    );
    return answer.kind === 'found' ? answer.data : undefined;
  }

  /** The oldest stays; a second one, of two workers or of an answer that was lost, goes. */
  async function keepOldest(place: Place, found: readonly Ours[]): Promise<Ours | undefined> {
    const [oldest, ...later] = found;
    for (const { id } of later) {
      await caller.write(place.repository, 'content', (octokit, named) => octokit.rest.issues.deleteComment({ ...named, comment_id: id }));
    }
    return oldest;
  }

  return {
    async ensureComment(place, { marker, body, known, isPassing }) {
      const text = capped(body.startsWith(marker) ? body : `${marker}\n${body}`, MAX_COMMENT);
      const told = (one: Ours) => ({ id: String(one.id), url: one.html_url });
      const remembered = known === null ? undefined : await edit(place, Number(known), text, isPassing ? 'passing' : 'content');
      if (remembered) return told(remembered);

      const before = await keepOldest(place, await ours(place, marker));
      const edited = before && (await edit(place, before.id, text));
      if (edited) return told(edited);

      const made = await caller.write(place.repository, 'content', (octokit, named) =>
        octokit.rest.issues.createComment({ ...named, issue_number: place.number, body: text }),
      );
      if (made.kind === 'missing') throw gone();
      // Another worker may have created one in the same moment: both look, and both keep the older one.
      const kept = await keepOldest(place, await ours(place, marker));
      if (!kept || kept.id === made.data.id) return told(made.data);
      return told((await edit(place, kept.id, text)) ?? made.data);
    },
  };
}
