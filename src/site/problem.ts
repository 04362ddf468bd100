/**
 * The table of everything that can go wrong and be told: one row a code. The sentence is what a person reads (what happened, then
 * what to do); `{name}` is filled from the fault's details, which are escaped by whoever renders them.
 */
export type Retry = 'soon' | 'later' | 'never';
type Problem = { readonly sentence: string; readonly retry: Retry; readonly status: number };

export const PROBLEMS = {
  'fetch-failed': {
    sentence: 'The commit could not be fetched from the forge ({cause}). Mayfly tried {attempts} times; `/preview deploy` tries again.',
    retry: 'soon',
    status: 502,
  },
  'fetch-timeout': {
    sentence: 'Fetching the commit took longer than {limit}. Make the repository smaller or try `/preview deploy` again.',
    retry: 'never',
    status: 504,
  },
  'commit-gone': {
    sentence: 'The commit {sha} is no longer on the forge. Push again, and the newest commit is launched.',
    retry: 'never',
    status: 404,
  },
  'config-invalid': {
    sentence: '`.mayfly.yml` on the base branch has {count} to mend. Nothing was launched.',
    retry: 'never',
    status: 422,
  },
  'nothing-detected': {
    sentence:
      'Mayfly could not tell how to run this. It looked in {folder} for {looked}. Add one of them, or say how in `.mayfly.yml` (`build`, `start`, `output`).',
    retry: 'never',
    status: 422,
  },
  'root-missing': {
    sentence: 'The folder `{root}` named by `root` in `.mayfly.yml` is not in this commit. Correct `root`, or add the folder.',
    retry: 'never',
    status: 422,
  },
  'output-missing': {
    sentence:
      'The build finished, but its output folder `{output}` does not exist. Set `output` in `.mayfly.yml` to the folder that the build writes.',
    retry: 'never',
    status: 422,
  },
  'install-failed': { sentence: '`{command}` exited with {exit}. The log below says why; mend it and push.', retry: 'never', status: 422 },
  'build-failed': { sentence: '`{command}` exited with {exit}. The log below says why; mend it and push.', retry: 'never', status: 422 },
  'build-timeout': {
    sentence: 'The build took longer than {limit} and was stopped. Make it faster, or build less in previews.',
    retry: 'never',
    status: 504,
  },
  'build-limit': {
    sentence: 'The build was stopped because it used more {resource} than a preview may ({limit}).',
    retry: 'never',
    status: 507,
  },
  'output-limit': {
    sentence: 'What the build made is larger than a preview may be ({limit}). Leave out what the site does not need.',
    retry: 'never',
    status: 507,
  },
  'seed-missing': {
    sentence: 'The seed file `{seed}` named in `.mayfly.yml` is not in this commit. Correct `database.seed`, or add the file.',
    retry: 'never',
    status: 422,
  },
  'seed-failed': { sentence: 'The database seed `{seed}` failed: {cause}. Mend it and push.', retry: 'never', status: 422 },
  'start-failed': {
    sentence: 'The app exited with {exit} before it answered. The log below says why; mend it and push.',
    retry: 'never',
    status: 422,
  },
  'health-timeout': {
    sentence:
      'The app did not answer `{path}` on port {port} with 2xx or 3xx within {limit}{last}. Listen on the port in `PORT`, or set `health` and `port` in `.mayfly.yml`.',
    retry: 'never',
    status: 504,
  },
  'deploy-failed': {
    sentence: 'The site could not be deployed. `/preview deploy` tries again; the operator finds the cause in the log under {launch}.',
    retry: 'soon',
    status: 502,
  },
  'disk-full': {
    sentence: 'The machine that runs previews has no disk space left. The operator has to make room; `/preview deploy` tries again.',
    retry: 'later',
    status: 507,
  },
  'region-unknown': { sentence: 'The region `{region}` does not exist. These do: {regions}.', retry: 'never', status: 422 },
  'region-forbidden': { sentence: 'The region `{region}` may not be used here. These may: {regions}.', retry: 'never', status: 422 },
  'wake-failed': {
    sentence: 'The app did not start again when it was woken. Reload to try once more, or push a new commit.',
    retry: 'soon',
    status: 503,
  },
  'forge-unreachable': { sentence: 'The forge could not be reached ({cause}).', retry: 'soon', status: 502 },
  'forge-refused': { sentence: 'The forge refused ({cause}). Check the permissions of the installed app.', retry: 'later', status: 502 },
  'forge-limited': { sentence: 'The forge asked for a pause until {until}.', retry: 'later', status: 503 },
  'access-gone': { sentence: 'Mayfly no longer has access to this repository.', retry: 'never', status: 404 },
  'lease-lost': { sentence: 'Another worker took this over.', retry: 'never', status: 409 },
  unexpected: {
    sentence: 'Something went wrong inside Mayfly. `/preview deploy` tries again; the operator finds the cause in the log under {launch}.',
    retry: 'later',
    status: 500,
  },
} as const satisfies Record<string, Problem>;

export type ProblemCode = keyof typeof PROBLEMS;
/** What fills the `{names}` of a sentence. Text from outside: escape before showing. */
export type Details = Readonly<Record<string, string>>;

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

/** The problem's sentence with its details filled in; `quote` is applied to each detail. A missing detail shows as `?`. */
export function sentence(code: ProblemCode, details: Details, quote: (text: string) => string = (text) => text): string {
  return PROBLEMS[code].sentence.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = details[name];
    return value === undefined ? '?' : quote(value);
  });
}
