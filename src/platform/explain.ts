import { PLATFORM_PROJECT } from '../../infra/platform/names.ts';
import { bucketWords, NO_CREDENTIALS, type Place } from './words.ts';

type Where = Place & { readonly instance: string };
type Explained = { readonly says: RegExp; readonly words: (where: Where) => string };

/**
 * What the engine and Google say when something outside stands in the way, and what to do about it. There is nothing but their text to
 * go by: Pulumi passes Google's answers on as words. What is not recognised is shown as it is.
 */
const KNOWN: readonly Explained[] = [
  { says: /could not find default credentials|Application Default Credentials|invalid_grant|reauth/i, words: () => NO_CREDENTIALS },
  {
    says: /no resource plugin 'pulumi-resource-gcp|(?:download|install|find|load)[^\n]*plugin[^\n]*\bgcp\b/i,
    words: () =>
      'The plugin gcp of Pulumi is missing and could not be fetched. Where its download is reachable, `pulumi plugin install resource gcp` puts it in place; else put `pulumi-resource-gcp` into a folder of PATH.',
  },
  { says: /incorrect passphrase/i, words: () => 'PULUMI_CONFIG_PASSPHRASE is not the one that the state was encrypted with.' },
  {
    says: /currently locked by|the stack is locked/i,
    words: ({ project, instance }) =>
      `Somebody else is at work on this platform, or was and was killed. When nobody is, \`pulumi cancel --stack organization/${PLATFORM_PROJECT}/${project}-${instance}\` frees its state.`,
  },
  {
    says: /bucket does ?n.t exist|NoSuchBucket|unable to open bucket/i,
    words: (place) => `The bucket of PULUMI_BACKEND_URL is not there. ${bucketWords(place)}`,
  },
  {
    says: /billing (?:account|must be enabled|is disabled)|BILLING_DISABLED/i,
    words: ({ project }) =>
      `${project} has no billing account: \`gcloud billing projects link ${project} --billing-account=ACCOUNT\`, with one of \`gcloud billing accounts list\`.`,
  },
  {
    says: /SERVICE_DISABLED|has not been used in project|it is disabled/i,
    words: () => 'Google takes some minutes to switch an API on. Run the same command again then.',
  },
  {
    says: /CONSUMER_INVALID|\bproject ['"]?[a-z0-9-]+['"]? (?:not found|does not exist|has been deleted)/i,
    words: ({ project }) =>
      `Google knows no project ${project}, or does not show it to these credentials: \`gcloud projects describe ${project}\`.`,
  },
  {
    says: /USER_PROJECT_DENIED|PERMISSION_DENIED|Error 403|does not have permission|forbidden/i,
    words: ({ project }) =>
      `These credentials may not do that in ${project}. Whoever runs this has to be its owner, or to have the roles that docs/google-cloud.md lists.`,
  },
  {
    says: /deletion_protection|deletion protection|deletionProtection/i,
    words: () => 'A database is still protected: write `protected: false` into its settings, run `up`, then destroy again.',
  },
  {
    says: /alreadyExists|ALREADY_EXISTS|already exists/,
    words: ({ project }) =>
      `Google has what the state does not know: an \`up\` was killed while it was made, or somebody else made it. Delete what is named above (a database: \`gcloud sql instances delete NAME --project=${project}\`, and choose another name for it in \`names\`, as Google keeps that one for a week), then run the same command again.`,
  },
  {
    says: /resourceInUseByAnotherResource|is already being used by|serverless-ipv4/i,
    words: () =>
      'Cloud Run gives the addresses of a subnetwork back within two hours of its last service. All else is removed; run destroy again then.',
  },
];

/** The sentence for what went wrong, or nothing when it is not known. */
export const explain = (text: string, where: Where): string | undefined => KNOWN.find(({ says }) => says.test(text))?.words(where);
