import { marked } from 'marked';

export type PullPage = {
  readonly repository: string;
  readonly number: number;
  readonly title: string;
  readonly state: string;
  readonly comments: readonly { readonly login: string; readonly body: string; readonly reactions: readonly string[] }[];
};

const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
const FACES: Readonly<Record<string, string>> = { '+1': '👍', '-1': '👎', confused: '😕', eyes: '👀' };

const STYLE = `
  :root { color-scheme: light dark; --line: light-dark(#d0d7de, #3d444d); --quiet: light-dark(#59636e, #9198a1); --soft: light-dark(#f6f8fa, #151b23) }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.5rem; font-weight: 500 } h1 span, .who, sub { color: var(--quiet) }
  article { border: 1px solid var(--line); border-radius: .5rem; margin: 1rem 0; overflow: hidden }
  .who { background: var(--soft); border-bottom: 1px solid var(--line); padding: .5rem 1rem }
  .text { padding: .5rem 1rem 1rem } table { border-collapse: collapse } td, th { border: 1px solid var(--line); padding: .3rem .7rem; text-align: left }
  pre { background: var(--soft); padding: 1rem; overflow: auto } form { display: inline } button { font: inherit; padding: .3rem .8rem; margin: 0 .4rem .4rem 0 }
  sub { vertical-align: baseline; font-size: .85em } details { margin-top: .8rem }`;

const button = (action: string, label: string): string => `<form method="post" action="${action}"><button>${label}</button></form>`;

/** The pull as GitHub's page would show it, with what a developer may do as buttons. Renews itself; holds no script. */
export function renderPullPage(pull: PullPage): string {
  const comments = pull.comments.map(({ login, body, reactions }) => {
    const faces = reactions.map((content) => FACES[content] ?? content).join(' ');
    return `<article><div class="who"><b>${escapeHtml(login)}</b> ${faces}</div><div class="text">${marked.parse(body, { async: false })}</div></article>`;
  });
  const at = `/${pull.repository}/pull/${pull.number}`;
  const ways =
    pull.state === 'open'
      ? [
          button(`${at}/push`, 'Push a change'),
          button(`${at}/extend`, 'Comment “/preview extend 2d”'),
          button(`${at}/close`, 'Close the pull'),
        ]
      : [button(`${at}/reopen`, 'Reopen the pull')];
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="3"><title>${escapeHtml(pull.title)} · ${escapeHtml(pull.repository)}</title><style>${STYLE}</style></head>
<body><h1>${escapeHtml(pull.title)} <span>#${pull.number} · ${escapeHtml(pull.state)} · ${escapeHtml(pull.repository)}</span></h1>
${comments.join('\n')}<p>${ways.join('')}</p></body></html>`;
}

export const PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'";
