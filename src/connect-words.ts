import { parseForgeAddress } from './app/setup/addresses.ts';

/** What `npm run connect` was asked to do. */
export type ConnectWish =
  | {
      readonly do: 'connect';
      readonly url: string;
      readonly tokenFile: string;
      readonly projects: readonly string[];
      readonly groups: readonly string[];
    }
  | { readonly do: 'undo'; readonly projects: readonly string[]; readonly groups: readonly string[] };

export const CONNECT_USAGE = `usage: npm run connect -- gitlab --url ADDRESS --token-file FILE [--project PATH]… [--group PATH]…
       npm run connect -- gitlab --undo [--project PATH]… [--group PATH]…

Connects projects of a GitLab to the Mayfly that runs here, or takes them out again. Done again it changes nothing but what differs.
  --url ADDRESS       of the GitLab, with the path that it lies under: https://gitlab.com
  --token-file FILE   holds the access token, which has the scope api and the role Maintainer; - is standard input
  --project PATH      a project, like acme/shop; may be given several times
  --group PATH        every project of a group and its subgroups; may be given several times
  --undo              removes the webhooks that were made, of all projects if none is named, and with the last one the token
`;

const TOKEN_AS_ARGUMENT =
  'A token is never an argument: everybody on this machine can read those. Put it into a file and give --token-file FILE, or --token-file - and the token on standard input.';
/** Named without their values: a value may be the token. */
const NOT_UNDERSTOOD = 'This is not understood.';
const NEEDS = ['--url', '--token-file', '--project', '--group'];

export function parseConnect(args: readonly string[]): { readonly wish: ConnectWish } | { readonly wrong: string } {
  if (args.some((arg) => /^--?(?:token|password|secret)(?:=|$)/.test(arg))) return { wrong: TOKEN_AS_ARGUMENT };
  const [forge, ...rest] = args;
  if (forge !== 'gitlab') return { wrong: forge === 'github' ? 'GitHub is connected in a browser: `npm run setup-code` says where.' : '' };
  const given = gather(rest);
  if (given === undefined) return { wrong: NOT_UNDERSTOOD };
  const { values, isUndo } = given;
  const named = { projects: values.get('--project') ?? [], groups: values.get('--group') ?? [] };
  if (isUndo === 'undo')
    return values.has('--url') || values.has('--token-file')
      ? { wrong: 'To undo, neither --url nor --token-file is needed.' }
      : { wish: { do: 'undo', ...named } };
  const [url] = values.get('--url') ?? [];
  const [tokenFile] = values.get('--token-file') ?? [];
  if (url === undefined || tokenFile === undefined) return { wrong: '--url and --token-file are both needed.' };
  if (named.projects.length + named.groups.length === 0) return { wrong: 'Name projects with --project, or a group with --group.' };
  const address = parseForgeAddress(url);
  return 'wrong' in address ? { wrong: `--url: ${address.wrong}` } : { wish: { do: 'connect', url: address.value, tokenFile, ...named } };
}

type Given = { readonly values: ReadonlyMap<string, readonly string[]>; readonly isUndo: 'undo' | 'connect' };

function gather(args: readonly string[]): Given | undefined {
  const values = new Map<string, readonly string[]>();
  let isUndo: Given['isUndo'] = 'connect';
  const left = [...args];
  for (let arg = left.shift(); arg !== undefined; arg = left.shift()) {
    const [name = '', inline] = arg.split(/=(.*)/s, 2);
    if (arg === '--undo') {
      isUndo = 'undo';
      continue;
    }
    const value = inline ?? left.shift();
    if (!NEEDS.includes(name) || value === undefined || (value.startsWith('-') && value !== '-')) return undefined;
    values.set(name, [...(values.get(name) ?? []), name === '--token-file' ? value : value.replace(/^\/+|\/+$/g, '')]);
  }
  return { values, isUndo };
}
