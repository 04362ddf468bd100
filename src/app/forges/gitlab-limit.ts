import { MINUTE_MS, type Window, type Windows } from './limits.ts';

/** `note` is a new comment; `write` everything else that changes something, of which `passing` is what the next word makes up for. */
export type WriteKind = 'note' | 'write' | 'passing' | 'resend';
export type RequestKind = 'read' | WriteKind;

const most = (max: number, of: string): Window => ({ of, ms: MINUTE_MS, max, cost: 1 });

/**
 * GitLab.com allows a user 2,000 requests and 60 new comments a minute (https://docs.gitlab.com/user/gitlab_com/#rate-limits-on-gitlabcom),
 * a server of one's own what its operator likes; webhooks are sent again five times a minute (https://docs.gitlab.com/api/project_webhooks/).
 * A few of each are left for what is not counted here, and reads leave some to writes.
 */
export const GITLAB_WINDOWS: Windows<RequestKind> = {
  read: [most(1_500, 'requests')],
  note: [most(55, 'notes'), most(1_900, 'requests')],
  write: [most(600, 'writes'), most(1_900, 'requests')],
  passing: [most(300, 'writes'), most(1_900, 'requests')],
  resend: [most(5, 'resends'), most(1_900, 'requests')],
};
