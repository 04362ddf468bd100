import { capped } from '../../src/app/forges/capped.ts';
import { cappedBytes } from '../../src/app/forges/github-check.ts';
import type { Repository, Sha, SiteId } from '../../src/site/identity.ts';
import type { Check, Deployment, Voice } from '../../src/site/ports.ts';

export type ForgeComment = { readonly id: number; readonly number: number; readonly ours: boolean; body: string; reactions: string[] };
export type ForgeCheck = { readonly id: number; readonly site: SiteId; check: Check };
export type ForgeDeployment = {
  readonly id: number;
  readonly site: SiteId;
  readonly number: number;
  /** Of our app, not of another. */
  readonly ours: boolean;
  readonly sha: Sha;
  state: Deployment['state'] | 'inactive';
  url: string | null;
};

type Spoken = {
  readonly repository: Repository;
  readonly comments: Map<number, ForgeComment>;
  readonly checks: ForgeCheck[];
  readonly deployments: ForgeDeployment[];
  readonly next: () => number;
  /** Throws when it does not. */
  readonly answers: () => void;
  /** Throws when the answer to what was made is lost. */
  readonly answered: () => void;
};
const MAX_COMMENT = 65_536;
const REACTIONS = { taken: 'eyes', done: '+1', refused: '-1', confused: 'confused' } as const;

/** What is said on a forge in memory, each call at once or not at all. */
export function openForgeVoice({ repository, comments, checks, deployments, next, answers, answered }: Spoken): Voice {
  return {
    async ensureComment({ number }, { marker, body, known }) {
      answers();
      const isOurs = (one: ForgeComment): boolean => one.ours && one.number === number && one.body.split('\n')[0] === marker;
      const [oldest, ...later] = [...comments.values()].filter(isOurs);
      for (const { id } of later) comments.delete(id);
      const comment = comments.get(Number(known)) ?? oldest ?? { id: next(), number, ours: true, body, reactions: [] };
      comment.body = capped(body, MAX_COMMENT);
      const isNew = !comments.has(comment.id);
      comments.set(comment.id, comment);
      if (isNew) answered();
      return { id: String(comment.id), url: `https://forge.example/comments/${comment.id}` };
    },
    async ensureCheck({ site }, check, known) {
      answers();
      const mine = checks.filter((one) => one.site === site && one.check.sha === check.sha);
      const found = mine.find(({ id }) => String(id) === known) ?? mine[0];
      const kept = found ?? { id: next(), site, check };
      kept.check = { ...check, text: cappedBytes(check.text) };
      if (found === undefined) checks.push(kept);
      if (found === undefined) answered();
      return { id: String(kept.id), url: `https://forge.example/checks/${kept.id}` };
    },
    async ensureDeployment({ site, number }, { sha, state, url }, known) {
      answers();
      const mine = deployments.filter((one) => one.ours && one.site === site);
      const ofCommit = mine.filter((one) => one.sha === sha);
      const found = ofCommit.find(({ id }) => String(id) === known) ?? ofCommit[0];
      const kept = found ?? { id: next(), site, number, ours: true, sha, state, url };
      Object.assign(kept, { state, url });
      if (found === undefined) deployments.push(kept);
      if (state === 'success') for (const older of mine) if (older.id < kept.id) older.state = 'inactive';
      if (found === undefined) answered();
      return { id: String(kept.id) };
    },
    async removeDeployments({ site }) {
      answers();
      const others = deployments.filter((one) => !one.ours || one.site !== site);
      deployments.splice(0, deployments.length, ...others);
    },
    async deployedPlaces() {
      answers();
      return [...new Map(deployments.filter(({ ours }) => ours).map(({ site, number }) => [site, { repository, number, site }])).values()];
    },
    async react(_, id, reaction) {
      answers();
      const comment = comments.get(Number(id));
      if (comment) comment.reactions = [REACTIONS[reaction]];
    },
  };
}
