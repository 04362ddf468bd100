import { parseArgs } from 'node:util';
import type { PlatformOutputs } from '../../infra/platform/plan.ts';
import { table } from '../site/table.ts';

export const VERBS = ['up', 'preview', 'destroy', 'outputs'] as const;
export type Verb = (typeof VERBS)[number];

/** What `npm run platform` was asked to do. */
export type PlatformWish = {
  readonly verb: Verb;
  /** Null: `platform.yml`, if it is there. */
  readonly file: string | null;
  /** Given on the command line, above what the file says. */
  readonly given: Readonly<Record<string, string>>;
  /** Whether the project's name was typed already, so to speak. */
  readonly consent: 'ask' | 'given';
};

export const PLATFORM_USAGE = `usage: npm run platform -- up | preview | destroy | outputs [options]

Makes everything that Mayfly needs in a Google Cloud project, and keeps it as the settings say.
  up         makes what is missing and changes what differs
  preview    shows what up would change, and changes nothing
  destroy    removes all of it, after the project's name was typed
  outputs    prints the value of MAYFLY_PLATFORM, and beside it the addresses

  --settings FILE    the settings; platform.yml unless given
  --project ID       the Google Cloud project; GOOGLE_CLOUD_PROJECT unless given
  --instance NAME    of this Mayfly: mayfly unless given
  --regions A,B      where sites may be; the first is the default
  --home REGION      where Mayfly itself is; the first of the regions unless given
  --domain HOST      of the control plane: mayfly.acme.dev
  --previews HOST    under which every site gets a name: preview.acme.dev
  --image IMAGE      Mayfly's own container image
  --yes              does not ask

The state is kept where PULUMI_BACKEND_URL says. docs/google-cloud.md has the whole way, and every setting of the file.
`;

const OPTIONS = {
  settings: { type: 'string' },
  project: { type: 'string' },
  instance: { type: 'string' },
  regions: { type: 'string' },
  home: { type: 'string' },
  domain: { type: 'string' },
  previews: { type: 'string' },
  image: { type: 'string' },
  yes: { type: 'boolean' },
} as const;

export function parsePlatform(args: readonly string[]): { readonly wish: PlatformWish } | { readonly wrong: string } {
  const parsed = parse(args);
  if ('wrong' in parsed) return parsed;
  const { settings = null, yes = false, ...others } = parsed.values;
  const [word, ...more] = parsed.positionals;
  const verb = VERBS.find((one) => one === word);
  if (verb === undefined || more.length > 0) return { wrong: word === undefined ? '' : `One of ${VERBS.join(', ')} is wanted.` };
  return { wish: { verb, file: settings, given: { ...others }, consent: yes ? 'given' : 'ask' } };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true });
  } catch (error) {
    return { wrong: error instanceof Error ? error.message.replace(/\. To specify .*$/s, '.') : String(error) };
  }
}

/** Where the platform is, for the commands that people are shown. */
export type Place = { readonly project: string; readonly home: string };

export const bucketWords = ({ project, home }: Place): string => `A bucket of the project itself will do:

  gcloud storage buckets create gs://${project}-mayfly-state --project=${project} --location=${home} \\
    --uniform-bucket-level-access --public-access-prevention
  gcloud storage buckets update gs://${project}-mayfly-state --versioning
  export PULUMI_BACKEND_URL=gs://${project}-mayfly-state`;

export const noBackendWords = (place: Place): string =>
  `PULUMI_BACKEND_URL is not set: it says where the state is kept, without which nothing that was made is found again.\n${bucketWords(place)}`;

export const NO_PASSPHRASE = `PULUMI_CONFIG_PASSPHRASE is not set: it encrypts the passwords in the state. Make one, and keep it where the team keeps such things:

  export PULUMI_CONFIG_PASSPHRASE="$(openssl rand -base64 32)"

PULUMI_CONFIG_PASSPHRASE_FILE names a file that holds it; PULUMI_SECRETS_PROVIDER=gcpkms://… takes a key of yours instead.`;

export const NO_CREDENTIALS = `There are no credentials for Google Cloud. On your own machine:

  gcloud auth application-default login

On Google's machines the attached service account is taken. A key file is never needed.`;

export const NOT_MADE = 'There is no platform here yet: `npm run platform -- up` makes it.';

export const otherProject = (settings: string, environment: string): string =>
  `The settings are for the project ${settings}, and GOOGLE_CLOUD_PROJECT is ${environment}. Which of the two is meant has to be said.`;

export const protectedWords = (instance: string): string =>
  `The database of ${instance} is protected, and with it everything that Mayfly knows. To remove it, write \`protected: false\` below \`database\` (and \`preview-database\`) in the settings, run \`npm run platform -- up\`, then destroy again.`;

export const askName = (project: string): string =>
  `This removes everything that Mayfly has in ${project}: its database, its secrets, every image.\nSites that still stand are not removed with it; end them first.\nThe project's name, to go on: `;
export const NOT_REMOVED = 'That is not the project’s name. Nothing was removed.';
export const NOBODY_TO_ASK = 'There is nobody to ask here for the project’s name: give --yes.';
export const NOTHING_TO_REMOVE = 'There is no platform here: nothing to remove.';
export const unknownLeft = (unknown: readonly string[]): string =>
  `Everything that is known is removed. What was being made when an \`up\` was killed may be there all the same, and cost money:\n${unknown.map((it) => `  ${it}`).join('\n')}\nWhat Google’s console still shows of it is to be deleted by hand.`;
export const STOPPED = 'Stopped. The same command goes on where it ended.';
export const REMOVED = 'Everything is removed. The key ring stays, as Google deletes none; it costs nothing.';

/** What `preview` found. */
export const summaryWords = (changes: Readonly<Record<string, number>>): string =>
  countWords(changes, TO_DO) ?? `Nothing to change: ${changes.same ?? 0} resources are as they should be.`;
/** What `up` did. */
export const doneWords = (changes: Readonly<Record<string, number>>): string =>
  countWords(changes, DONE) ?? `Nothing was changed: ${changes.same ?? 0} resources are as they should be.`;

const TO_DO: Readonly<Record<string, string>> = { create: 'to make', update: 'to change', delete: 'to remove', replace: 'to replace' };
const DONE: Readonly<Record<string, string>> = { create: 'made', update: 'changed', delete: 'removed', replace: 'replaced' };

function countWords({ same = 0, ...others }: Readonly<Record<string, number>>, verbs: typeof DONE): string | undefined {
  const counted = Object.entries(others).filter(([, count]) => count > 0);
  if (counted.length === 0) return undefined;
  return `${counted.map(([verb, count]) => `${count} ${verbs[verb] ?? verb}`).join(', ')}, ${same} as they should be.`;
}

/** What somebody needs to know after an `up`. `zone`: whether the records are in a zone of Google's already. */
export function outputWords({ addresses, records, nameServers }: PlatformOutputs, zone: 'ours' | 'elsewhere'): string {
  const lines = [
    `control plane  ${addresses.control}`,
    `previews       ${addresses.previews.replace('https://', 'https://*.')}`,
    `address        ${addresses.ip}`,
  ];
  const parts = [`${lines.join('\n')}\n`];
  if (zone === 'elsewhere') {
    const rows = records.map(({ name, type, value }) => [name, type, value]);
    parts.push(`Enter these in your DNS; the certificate comes some minutes after them:\n\n${table(['NAME', 'TYPE', 'VALUE'], rows, 120)}`);
  }
  if (nameServers.length > 0) {
    parts.push(`Tell the domain's registrar these name servers:\n\n${nameServers.map((name) => `${name}\n`).join('')}`);
  }
  return parts.join('\n');
}
