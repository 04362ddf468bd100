import { GOOGLE_PROBLEMS } from './problem-google.ts';

/**
 * The table of everything that can go wrong and be told: one row a code. `brief` is a few words for a check's title; the sentence is
 * what a person reads: what happened, then what to do. `{name}` is filled from the fault's details, `{word}` with the word that
 * commands start with. Backticks mark code, in which a detail may stand.
 */
export type Retry = 'soon' | 'later' | 'never';
export type Problem = { readonly brief: string; readonly sentence: string; readonly retry: Retry; readonly status: number };

export const PROBLEMS = {
  'fetch-failed': {
    brief: 'the commit could not be fetched',
    sentence: 'The commit could not be fetched from the forge ({cause}), {attempts} times in a row. `{word} deploy` tries again.',
    retry: 'soon',
    status: 502,
  },
  'fetch-timeout': {
    brief: 'fetching took longer than {limit}',
    sentence:
      'Fetching the commit took longer than {limit}. `{word} deploy` tries again; a smaller repository helps if it keeps happening.',
    retry: 'never',
    status: 504,
  },
  'commit-gone': {
    brief: 'the commit is gone',
    sentence: 'The commit `{sha}` is no longer on the forge. Push again, and the newest commit is launched.',
    retry: 'never',
    status: 404,
  },
  'config-invalid': {
    brief: '.mayfly.yml has {count}',
    sentence: '`.mayfly.yml` has {count}, so nothing was launched. Once that is corrected, the preview is launched by itself.',
    retry: 'never',
    status: 422,
  },
  'nothing-detected': {
    brief: 'nothing to run was found',
    sentence:
      'Nothing to run was found: Mayfly looked in {folder} for {looked}. Add one of them, or say how in `.mayfly.yml` with `build`, `start` and `output`.',
    retry: 'never',
    status: 422,
  },
  'root-missing': {
    brief: 'the folder {root} is not there',
    sentence: 'The folder `{root}`, which `root` in `.mayfly.yml` names, is not in this commit. Correct `root`, or add the folder.',
    retry: 'never',
    status: 422,
  },
  'output-missing': {
    brief: 'the build left no {output}',
    sentence: 'The build finished but left no folder `{output}`. Set `output` in `.mayfly.yml` to the folder that the build writes.',
    retry: 'never',
    status: 422,
  },
  'install-failed': {
    brief: '{command} exited with {exit}',
    sentence: '`{command}` exited with {exit}. The log says why; mend it and push.',
    retry: 'never',
    status: 422,
  },
  'build-failed': {
    brief: '{command} exited with {exit}',
    sentence: '`{command}` exited with {exit}. The log says why; mend it and push.',
    retry: 'never',
    status: 422,
  },
  'build-timeout': {
    brief: 'the build took longer than {limit}',
    sentence: 'The build took longer than {limit} and was stopped. Make it faster, or build less for a preview.',
    retry: 'never',
    status: 504,
  },
  'build-limit': {
    brief: 'the build used too much {resource}',
    sentence: 'The build was stopped because it used more {resource} than a preview may ({limit}). Make it smaller, and push.',
    retry: 'never',
    status: 507,
  },
  'output-limit': {
    brief: 'the build made more than {limit}',
    sentence: 'What the build made is larger than a preview may be ({limit}). Leave out what the site does not need, and push.',
    retry: 'never',
    status: 507,
  },
  'seed-missing': {
    brief: 'the seed {seed} is not there',
    sentence: 'The seed `{seed}`, which `database` in `.mayfly.yml` names, is not in this commit. Correct its name, or add the file.',
    retry: 'never',
    status: 422,
  },
  'seed-failed': {
    brief: 'the seed {seed} failed',
    sentence: 'The database seed `{seed}` failed: {cause}. Mend it and push.',
    retry: 'never',
    status: 422,
  },
  'start-failed': {
    brief: 'the app exited with {exit}',
    sentence: 'The app exited with {exit} before it answered. The log says why; mend it and push.',
    retry: 'never',
    status: 422,
  },
  'health-timeout': {
    brief: 'the app did not answer {path}',
    sentence:
      'The app did not answer `{path}` on port {port} with 2xx or 3xx within {limit}{last}. Let it listen on the port in `PORT`, or set `port` and `health` in `.mayfly.yml`.',
    retry: 'never',
    status: 504,
  },
  'deploy-failed': {
    brief: 'it could not be deployed',
    sentence: 'The site could not be deployed. `{word} deploy` tries again; the operator finds the cause in the log under {launch}.',
    retry: 'soon',
    status: 502,
  },
  'disk-full': {
    brief: 'no disk space is left',
    sentence: 'The machine that runs previews has no disk space left. Once the operator has made room, `{word} deploy` tries again.',
    retry: 'later',
    status: 507,
  },
  'region-unknown': {
    brief: 'there is no region {region}',
    sentence: 'There is no region `{region}`. These may be used here: {regions}. Correct `region` in `.mayfly.yml`.',
    retry: 'never',
    status: 422,
  },
  'region-forbidden': {
    brief: 'the region {region} is not allowed',
    sentence: 'The region `{region}` may not be used here. These may: {regions}. Correct `region` in `.mayfly.yml`, or ask the operator.',
    retry: 'never',
    status: 422,
  },
  ...GOOGLE_PROBLEMS,
  'wake-failed': {
    brief: 'the app did not wake',
    sentence: 'The app did not start again when it was woken. Reload to try once more, or push a new commit.',
    retry: 'soon',
    status: 503,
  },
  'forge-unreachable': {
    brief: 'the forge could not be reached',
    sentence: 'The forge could not be reached ({cause}). Mayfly goes on trying.',
    retry: 'soon',
    status: 502,
  },
  'forge-refused': {
    brief: 'the forge refused',
    sentence: 'The forge refused ({cause}). Check what the installed app is permitted to do.',
    retry: 'later',
    status: 502,
  },
  'forge-limited': {
    brief: 'the forge asked for a pause',
    sentence: 'The forge asked for a pause until {until}. Mayfly goes on after that.',
    retry: 'later',
    status: 503,
  },
  'access-gone': {
    brief: 'no access to the repository',
    sentence: 'Mayfly no longer has access to this repository. Install the app on it again to get previews.',
    retry: 'never',
    status: 404,
  },
  'approval-void': {
    brief: 'the approval no longer holds',
    sentence: 'The approval of this commit no longer holds: the pull moved on, or who gave it may not any more.',
    retry: 'never',
    status: 409,
  },
  'lease-lost': {
    brief: 'another worker took over',
    sentence: 'Another worker took this over and goes on with it.',
    retry: 'never',
    status: 409,
  },
  unexpected: {
    brief: 'something went wrong inside Mayfly',
    sentence: 'Something went wrong inside Mayfly. `{word} deploy` tries again; the operator finds the cause in the log under {launch}.',
    retry: 'later',
    status: 500,
  },
} as const satisfies Record<string, Problem>;

export type ProblemCode = keyof typeof PROBLEMS;
/** What fills the `{names}` of a sentence. Text from outside: escape before showing. */
export type Details = Readonly<Record<string, string>>;

/** Failures whose cause is in the settings. */
export const CAUSED_BY_SETTINGS: readonly ProblemCode[] = [
  'config-invalid',
  'nothing-detected',
  'root-missing',
  'output-missing',
  'seed-missing',
  'region-unknown',
  'region-forbidden',
  'region-cannot-build',
];

/** Failures for want of the forge: once it answers again, what failed is tried again. */
export const CAUSED_BY_FORGE: readonly ProblemCode[] = ['fetch-failed', 'fetch-timeout', 'forge-unreachable', 'forge-limited'];

/** Failures that other settings on the base branch may mend: once those have changed, it is tried again. */
export const MENDED_BY_SETTINGS: readonly ProblemCode[] = [
  ...CAUSED_BY_SETTINGS,
  'seed-failed',
  'install-failed',
  'build-failed',
  'start-failed',
  'health-timeout',
];

export const isProblemCode = (text: string): text is ProblemCode => Object.hasOwn(PROBLEMS, text);

/** A failure that has a row in the table; anything else that is thrown is a bug. */
export class Fault extends Error {
  readonly code: ProblemCode;
  readonly details: Details;
  constructor(code: ProblemCode, options: { readonly details?: Details; readonly cause?: unknown } = {}) {
    super(code, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'Fault';
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** How the details of a sentence are shown: in running text, and for a whole piece of code once its details are in. */
export type Quoting = { readonly plain: (text: string) => string; readonly code: (text: string) => string };
const AS_THEY_ARE: Quoting = { plain: (text) => text, code: (text) => `\`${text}\`` };

/** The problem's sentence with its details filled in, each quoted for where it stands. A missing detail shows as `?`. */
export const sentence = (code: ProblemCode, details: Details, quoting?: Quoting): string =>
  fillSentence(PROBLEMS[code].sentence, details, quoting);

/** A template's `{names}` filled in, each quoted for where it stands: in running text, or in a piece of code between backticks. */
export function fillSentence(template: string, details: Details, quoting: Quoting = AS_THEY_ARE): string {
  return template
    .split(/(`[^`]*`)/)
    .map((part) =>
      part.startsWith('`') ? quoting.code(fill(part.slice(1, -1), details, (text) => text)) : fill(part, details, quoting.plain),
    )
    .join('');
}

/** The problem in a few words, as plain text. */
export const brief = (code: ProblemCode, details: Details): string => fill(PROBLEMS[code].brief, details, (text) => text);

function fill(template: string, details: Details, quote: (text: string) => string): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = Object.hasOwn(details, name) ? details[name] : name === 'word' ? '/preview' : undefined;
    return value === undefined ? '?' : quote(value);
  });
}
