import { type Answer, type Asked, unknownTo } from './asked.ts';
import type { GoogleCloud } from './cloud.ts';
import type { Tokens } from './tokens.ts';

const FLAVOR = { 'metadata-flavor': 'Google', server: 'Metadata Server for VM' };
const ROOT = '/computeMetadata/v1';
const ACCOUNT = /^instance\/service-accounts\/([^/]+)\/(token|identity|email|scopes)$/;

export type MetadataOptions = {
  readonly cloud: GoogleCloud;
  readonly tokens: Tokens;
  /** Email of the account that the process runs as. */
  readonly account: string;
  readonly region: string;
};

/** The metadata server of a machine on Google Cloud, as far as the client libraries ask it. */
export function openMetadata({ cloud, tokens, account, region }: MetadataOptions): (asked: Asked) => Answer | undefined {
  const text = (body: string): Answer => ({ status: 200, headers: { ...FLAVOR, 'content-type': 'application/text' }, body });
  const json = (body: object): Answer => ({ status: 200, headers: { ...FLAVOR, 'content-type': 'application/json' }, body: { ...body } });
  const facts: Readonly<Record<string, string>> = {
    instance: 'attributes/\nhostname\nid\nregion\nservice-accounts/\nzone\n',
    'project/project-id': cloud.project,
    'project/numeric-project-id': cloud.projectNumber,
    'instance/region': `projects/${cloud.projectNumber}/regions/${region}`,
    'instance/zone': `projects/${cloud.projectNumber}/zones/${region}-1`,
    'universe/universe-domain': 'googleapis.com',
  };
  const ofAccount = (what: string, query: URLSearchParams): Answer => {
    if (what === 'email') return text(account);
    if (what === 'scopes') return text('https://www.googleapis.com/auth/cloud-platform\n');
    if (what === 'token') {
      const { token, secondsLeft } = tokens.access(account);
      return json({ access_token: token, expires_in: secondsLeft, token_type: 'Bearer' });
    }
    const audience = query.get('audience');
    if (!audience) return { status: 400, headers: FLAVOR, body: 'non-empty audience parameter required' };
    return text(tokens.identity(account, audience));
  };
  return (asked) => {
    if (!asked.path.startsWith(ROOT)) return undefined;
    // Without it a page in a browser, or a server that fetches what others name, could ask as well.
    if (asked.headers['metadata-flavor'] !== 'Google' || asked.headers['x-forwarded-for'] !== undefined)
      return { status: 403, headers: FLAVOR, body: 'Missing Metadata-Flavor:Google header.' };
    const path = asked.path.slice(ROOT.length + 1).replace(/\/$/, '');
    const [, whose, what] = ACCOUNT.exec(path) ?? [];
    if (what !== undefined && (whose === 'default' || decodeURIComponent(whose ?? '') === account)) return ofAccount(what, asked.query);
    const fact = facts[path];
    if (fact !== undefined) return text(fact);
    // Of a cluster, where there is one.
    if (path.startsWith('instance/attributes/')) return { status: 404, headers: FLAVOR, body: 'Not Found' };
    throw unknownTo(cloud, `metadata ${asked.path}`);
  };
}
