import { GoogleAuth } from 'google-auth-library';

/** Where the live tests run, and as whom. */
export type Surroundings = {
  readonly project: string;
  /** The service account that the credentials are of: sites let it in, and nobody else. */
  readonly account: string;
  readonly region: string;
  /** A domain for the certificate, which need not lead anywhere. */
  readonly domain: string;
  /** Runs as Mayfly's own parts, which nobody asks anything. */
  readonly image: string;
};

const SAMPLE_IMAGE = 'us-docker.pkg.dev/cloudrun/container/hello:latest';
const SCOPE = 'https://www.googleapis.com/auth/cloud-platform';

const HOW = `The live tests make a platform in a real Google Cloud project, about an hour and a dollar, and remove it again. They need

  GOOGLE_CLOUD_PROJECT   a project for it, with billing
  credentials            Application Default Credentials of a service account that owns the project:
                         gcloud auth application-default login --impersonate-service-account ACCOUNT

docs/google-cloud.md has every command.`;

/** What is set, or what is missing in words. */
export async function findSurroundings(environment = process.env): Promise<Surroundings | { readonly missing: string }> {
  const { GOOGLE_CLOUD_PROJECT: project, MAYFLY_LIVE_REGION: region, MAYFLY_LIVE_DOMAIN: domain, MAYFLY_LIVE_IMAGE: image } = environment;
  if (!project) return { missing: `GOOGLE_CLOUD_PROJECT is not set.\n\n${HOW}` };
  const account = await new GoogleAuth({ scopes: SCOPE }).getCredentials().then(
    ({ client_email: email }) => email,
    () => undefined,
  );
  if (!account?.endsWith('.gserviceaccount.com')) return { missing: `There are no credentials of a service account.\n\n${HOW}` };
  return { project, account, region: region || 'europe-west1', domain: domain || 'mayfly-live.example.com', image: image || SAMPLE_IMAGE };
}
