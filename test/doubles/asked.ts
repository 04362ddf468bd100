import type { ForgeName, StagePull, StageRepo } from './stage.ts';

export type Asked = { readonly method: string; readonly path: string };
type Test = (asked: Asked) => boolean;
type Forge = {
  /** Of the repository, to the API and to git: by its name, which must be its own in the whole world, or by its id. */
  readonly isOf: (repo: StageRepo) => Test;
  readonly readsPull: (pull: StagePull) => Test;
  /** Who somebody is there. */
  readonly asksWho: Test;
  readonly makesComment: Test;
  readonly makesCheck: Test;
  readonly reacts: Test;
  /** A webhook of before, to be sent again. */
  readonly asksAgain: Test;
  /** Everything else that is made for one pull. */
  readonly makesOthers: readonly Test[];
  /** Changes something; what only proves who we are does not. */
  readonly writes: Test;
};

const posts =
  (path: RegExp): Test =>
  (asked) =>
    asked.method === 'POST' && path.test(asked.path);
const isChange: Test = ({ method, path }) => method !== 'GET' && !path.endsWith('/git-upload-pack');

/** Which requests do what, in each forge's own addresses. */
export const asked: Readonly<Record<ForgeName, Forge>> = {
  github: {
    isOf:
      ({ name }) =>
      ({ path }) =>
        path.includes(`/${name}/`) || path.includes(`/${name}.git/`),
    readsPull:
      ({ repository, number }) =>
      ({ path }) =>
        path.endsWith(`/${repository.name}/pulls/${number}`),
    asksWho: ({ path }) => path.includes('/collaborators/'),
    makesComment: posts(/\/issues\/\d+\/comments$/),
    makesCheck: posts(/\/check-runs$/),
    reacts: posts(/\/reactions$/),
    asksAgain: posts(/\/attempts$/),
    makesOthers: [posts(/\/deployments$/), posts(/\/deployments\/\d+\/statuses$/)],
    writes: (one) => isChange(one) && !one.path.endsWith('/access_tokens'),
  },
  gitlab: {
    isOf:
      ({ id, name }) =>
      ({ path }) =>
        path.startsWith(`/api/v4/projects/${id}/`) || path === `/api/v4/projects/${id}` || path.includes(`/${name}.git/`),
    readsPull:
      ({ repository, number }) =>
      ({ path }) =>
        path === `/api/v4/projects/${repository.id}/merge_requests/${number}`,
    asksWho: ({ path }) => path.includes('/members/all/'),
    makesComment: posts(/\/merge_requests\/\d+\/notes$/),
    makesCheck: posts(/\/statuses\/[0-9a-f]{40}$/),
    reacts: posts(/\/award_emoji$/),
    asksAgain: posts(/\/resend$/),
    // The environment is made with its first deployment.
    makesOthers: [posts(/\/deployments$/), ({ method, path }) => method === 'PUT' && /\/environments\/\d+$/.test(path)],
    writes: isChange,
  },
};
