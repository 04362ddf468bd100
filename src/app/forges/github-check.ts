import type { Check, Place, Voice } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { capped } from './capped.ts';
import type { Caller } from './github-call.ts';

const NAME = 'mayfly';
/** Each of summary and text; GitHub counts characters, and bytes are never fewer. */
const MAX_BYTES = 65_535;
const MAX_TITLE = 255;

/** As `capped`, by bytes. */
export function cappedBytes(text: string): string {
  if (Buffer.byteLength(text) <= MAX_BYTES) return text;
  // Cutting bytes may split the last character, which decodes to a replacement character at the end.
  return `${Buffer.from(text)
    .subarray(0, MAX_BYTES - 6)
    .toString()
    .replace(/�$/, '')}…`;
}

function stateOf(status: Check['status']) {
  switch (status) {
    case 'queued':
      return { status: 'queued' } as const;
    case 'inProgress':
      return { status: 'in_progress' } as const;
    case 'success':
    case 'failure':
    case 'neutral':
    case 'cancelled':
      return { status: 'completed', conclusion: status } as const;
    default:
      return status satisfies never;
  }
}

function fieldsOf(place: Place, check: Check) {
  const text = check.text === '' ? {} : { text: cappedBytes(check.text) };
  return {
    name: NAME,
    external_id: place.site,
    ...stateOf(check.status),
    ...(check.url === null ? {} : { details_url: check.url }),
    output: { title: capped(check.title, MAX_TITLE), summary: cappedBytes(check.summary), ...text },
  };
}

export function githubCheck(caller: Caller, appId: number): Pick<Voice, 'ensureCheck'> {
  /** The commit's oldest check of this site. Two pulls may have the same commit: each has its own. */
  async function find(place: Place, check: Check): Promise<number | undefined> {
    const all = await caller.readAll(place.repository, {
      ask: (octokit, at) => octokit.rest.checks.listForRef({ ...at, ref: check.sha, check_name: NAME, filter: 'all', app_id: appId }),
      items: (data) => data.check_runs,
    });
    if (all.kind === 'missing') return undefined;
    return all.data.filter((one) => one.external_id === place.site).sort((a, b) => a.id - b.id)[0]?.id;
  }

  return {
    async ensureCheck(place, check, known) {
      const fields = fieldsOf(place, check);
      const told = (one: { readonly id: number; readonly html_url: string | null }) => ({ id: String(one.id), url: one.html_url ?? '' });
      const edit = (id: number) =>
        caller.write(place.repository, 'state', (octokit, named) => octokit.rest.checks.update({ ...named, check_run_id: id, ...fields }));
      const remembered = known === null ? undefined : await edit(Number(known));
      if (remembered?.kind === 'found') return told(remembered.data);
      const before = await find(place, check);
      const edited = before === undefined ? undefined : await edit(before);
      if (edited?.kind === 'found') return told(edited.data);
      const made = await caller.write(place.repository, 'state', (octokit, named) =>
        octokit.rest.checks.create({ ...named, head_sha: check.sha, ...fields }),
      );
      if (made.kind === 'missing') throw new Fault('forge-refused', { details: { cause: 'the commit is not there' } });
      return told(made.data);
    },
  };
}
