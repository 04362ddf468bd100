import type { Problem } from './problem.ts';

/** What can go wrong on Google Cloud alone: rows of the one table. */
export const GOOGLE_PROBLEMS = {
  'google-forbidden': {
    brief: 'a role is missing on Google Cloud',
    sentence:
      'Google Cloud does not let Mayfly {action}: its identity lacks the role `{role}`. Once the operator has granted it with `{command}`, `{word} deploy` tries again.',
    retry: 'later',
    status: 502,
  },
  'google-disabled': {
    brief: 'the API {api} is not enabled',
    sentence:
      'The API `{api}` is not enabled in the project `{project}`. Once the operator has enabled it with `{command}`, `{word} deploy` tries again.',
    retry: 'later',
    status: 502,
  },
  'google-limited': {
    brief: 'a limit of Google Cloud is reached',
    sentence:
      'Google Cloud does not let Mayfly {action} in {region} now, since a quota of the project is used up. `{word} deploy` tries again; another `region` may have room.',
    retry: 'later',
    status: 503,
  },
  'google-unreachable': {
    brief: 'no answer from Google Cloud',
    sentence: 'Google Cloud could not be reached in {region} ({cause}). `{word} deploy` tries again; another `region` may be well.',
    retry: 'soon',
    status: 502,
  },
  'google-credentials': {
    brief: 'the credentials for Google Cloud are refused',
    sentence:
      'Google Cloud does not accept Mayfly’s credentials ({cause}). Once the operator has renewed them, `{word} deploy` tries again.',
    retry: 'later',
    status: 502,
  },
  'google-refused': {
    brief: 'refused by Google Cloud',
    sentence: 'Google Cloud did not {action}: {cause}. `{word} deploy` tries again; the operator finds more in the log under {launch}.',
    retry: 'later',
    status: 502,
  },
  'google-name-taken': {
    brief: 'the name of the site is taken on Google Cloud',
    sentence:
      'The name of this site is taken on Google Cloud: `{service}` does not wear its labels, so Mayfly left it alone. Once the operator has found out whose it is and removed it, `{word} deploy` tries again.',
    retry: 'later',
    status: 409,
  },
  'region-cannot-build': {
    brief: 'this project may not build in {region}',
    sentence:
      'Google does not let this project build in {region} ({cause}). It may in {regions}. Choose one with `{word} region` or `region` in `.mayfly.yml`, or ask Google’s support to lift the limit.',
    retry: 'never',
    status: 422,
  },
  'cloud-build-failed': {
    brief: 'the build could not be finished by Cloud Build',
    sentence: 'Cloud Build could not finish the build ({cause}). `{word} deploy` tries again.',
    retry: 'soon',
    status: 502,
  },
  'image-gone': {
    brief: 'the image is gone',
    sentence: 'The image of this commit is no longer in {region}, so it could not be started. `{word} deploy` builds it again.',
    retry: 'soon',
    status: 502,
  },
  'google-timeout': {
    brief: 'it took longer than {limit} on Google Cloud',
    sentence: 'Google Cloud did not {action} within {limit}, so Mayfly gave up on it. `{word} deploy` tries again.',
    retry: 'soon',
    status: 504,
  },
} as const satisfies Record<string, Problem>;
