import { z } from 'zod';
import type { Check, Place, Voice } from '../../site/ports.ts';
import { Fault } from '../../site/problem.ts';
import { capped } from './capped.ts';
import { type Caller, isSenseless } from './gitlab-call.ts';
import type { Pulls } from './gitlab-pulls.ts';

const NAME = 'mayfly';
/** GitLab refuses more, of either. */
const MAX_DESCRIPTION = 255;
const MAX_URL = 255;

const statusAnswer = z.object({
  id: z.number(),
  status: z.string(),
  name: z.string(),
  ref: z.string().nullable(),
  description: z.string().nullish(),
  target_url: z.string().nullish(),
  author: z.object({ id: z.number() }).nullable().catch(null),
});
type Status = z.infer<typeof statusAnswer>;

/** `neutral` is what waits for somebody or is not wanted: nothing that a merge should wait for. */
const STATES = {
  queued: 'pending',
  inProgress: 'running',
  success: 'success',
  failure: 'failed',
  neutral: 'success',
  cancelled: 'canceled',
} as const satisfies Record<Check['status'], string>;

type Wanted = { readonly state: (typeof STATES)[Check['status']]; readonly description: string; readonly targetUrl: string | null };

const isSo = (status: Status, { state, description, targetUrl }: Wanted): boolean =>
  status.status === state && status.description === description && (targetUrl === null || status.target_url === targetUrl);

/** The check as a commit status: one line and a link; a log has no place in it. Told apart by the branch, as GitLab does. */
export function gitlabStatus(caller: Caller, pulls: Pulls): Pick<Voice, 'ensureCheck'> {
  /** The one that counts now; GitLab makes a new one after each that has come to its end. */
  async function newest(place: Place, { sha }: Check, ref: string): Promise<Status | undefined> {
    const us = await caller.us();
    const filter = { name: NAME, ref, perPage: 100 };
    const all = await caller.read(place.repository, z.array(statusAnswer), (api, project) => api.commits.allStatuses(project, sha, filter));
    const ours = (all.kind === 'found' ? all.data : []).filter((one) => one.name === NAME && one.ref === ref && one.author?.id === us);
    return ours.sort((a, b) => b.id - a.id)[0];
  }

  async function post(place: Place, { sha }: Check, { ref, state, description, targetUrl }: Wanted & { readonly ref: string }) {
    const fields = { name: NAME, ref, description, ...(targetUrl === null ? {} : { targetUrl }) };
    const made = await caller.write(place.repository, { kind: 'write', as: statusAnswer }, (api, project) =>
      api.commits.editStatus(project, sha, state, fields),
    );
    if (made.kind === 'missing') throw new Fault('forge-refused', { details: { cause: 'the commit is not there' } });
    return made.data;
  }

  return {
    async ensureCheck(place, check) {
      const ref = await pulls.refOf(place.repository, place.number);
      if (ref === undefined) throw new Fault('forge-refused', { details: { cause: 'the merge request is not there' } });
      const url = check.url !== null && check.url.length <= MAX_URL ? check.url : null;
      const wanted: Wanted = { state: STATES[check.status], description: capped(check.title, MAX_DESCRIPTION), targetUrl: url };
      const page = `${caller.connection.url}/${place.repository.name}/-/commit/${check.sha}/pipelines`;
      const told = ({ id }: Status) => ({ id: String(id), url: page });
      const before = await newest(place, check, ref);
      if (before !== undefined && isSo(before, wanted)) return told(before);
      try {
        return told(await post(place, check, { ...wanted, ref }));
      } catch (error) {
        // GitLab changes the words only along with the state, and lets nothing that runs wait again: what it says is near enough.
        if (before !== undefined && isSenseless(error)) return told(before);
        throw error;
      }
    },
  };
}
