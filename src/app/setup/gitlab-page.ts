import { html } from 'hono/html';
import type { Project } from '../forges/gitlab-setup.ts';
import type { ConnectProblem, Outcome, Undoing } from './gitlab-projects.ts';
import { type Html, NOTHING, note, type Page, words } from './page.ts';
import { formToken, problemPage } from './pages.ts';

/** What keeps a GitLab from being connected, and what to do about it; the same on the page and on the terminal. */
export const CONNECT_PROBLEMS: Readonly<Record<ConnectProblem, string>> = {
  'token-unknown': 'GitLab does not know this token: it was revoked, has expired, or belongs to another GitLab.',
  'token-blocked': 'GitLab lets nobody in with this token: its user is blocked, or must first accept terms.',
  'scope-missing': 'The token does not have the scope `api`. Make another one that has it.',
  unreachable: 'This GitLab could not be reached from Mayfly. Check the address, and that this machine gets there.',
  'no-gitlab': 'There is no GitLab at this address. If it lies under a path, like `https://acme.dev/gitlab`, give the path as well.',
  'group-unknown': 'The token sees no group of that name. Write it as in its address, like `acme/web`.',
  'no-projects':
    'The token is a Maintainer of no project here, and only Maintainers may make webhooks. Give its user, or the token itself, that role.',
  environment: 'GitLab is connected by the environment, which wins. Unset `GITLAB_URL` and what belongs to it first.',
  elsewhere:
    'This Mayfly serves, or has served, projects of another GitLab, and numbers of projects there and here would be mixed up. Give the other one a Mayfly of its own.',
  'not-reachable':
    "Mayfly's own address is one of this machine alone, and a GitLab elsewhere cannot reach it to send its webhooks. Set `MAYFLY_PUBLIC_URL` to an address that it can reach, and start Mayfly again.",
};

/** Why a token is not taken beside what is connected already. The same on the page and on the terminal, as the next. */
export const lostWords = (names: readonly string[]): string =>
  `Nothing was changed: the new token is no Maintainer of ${names.join(', ')}, connected with the one before. Mayfly keeps one token for all projects, and the previews there would end. Give the new token that role there too, or take them out first: untick them at \`/setup\`, or run \`npm run connect -- gitlab --undo --project ${names[0] ?? ''}\`.`;

/** What became of a token that was stored beside the environment's. */
export const forgottenWords = (names: readonly string[]): string =>
  `The stored token was removed, and nothing else: GitLab is connected by the environment, and its previews go on.${names.length === 0 ? '' : ` Webhooks that were made with the token stay in ${names.join(', ')}; delete by hand those that the environment does not use.`}`;

export type TokenForm = { readonly token: string; readonly address: string; readonly group: string; readonly problem: string | null };

/** The title of a page that says why nothing was done. */
export const LEFT = 'GitLab was left as it is';

/** Asks for the address and the token, which is never shown again. */
export const tokenForm = ({
  token,
  address,
  group,
  problem,
}: TokenForm): Html => html`${problem === null ? NOTHING : note('bad', words(problem))}
<form method="post" action="/setup/gitlab">
${formToken(token)}
<label for="address">Address of GitLab</label>
<input type="text" inputmode="url" id="address" name="address" value="${address}" autocapitalize="none" spellcheck="false" required>
<label for="token">Access token</label>
<p class="hint" id="token-hint">${words('Of a group, a project or a person, with the scope `api` and the role Maintainer.')}</p>
<input type="password" id="token" name="token" aria-describedby="token-hint" autocomplete="off" required>
<label for="group">Only projects of this group</label>
<p class="hint" id="group-hint">Empty: all that the token is a Maintainer of.</p>
<input type="text" id="group" name="group" value="${group}" aria-describedby="group-hint" autocapitalize="none" spellcheck="false">
<button>Choose projects</button>
</form>`;

/** GitLab not connected: what the token is for. */
export const gitlabOffer = (form: TokenForm): Html => html`<section aria-labelledby="gitlab">
<h2 id="gitlab">GitLab</h2>
<p>With an access token Mayfly reads merge requests and their code, and writes its comment, a commit status and an environment. On each project that you choose it makes a webhook for merge requests, comments and pushes, and remembers it, so that exactly those can be removed again.</p>
${tokenForm(form)}
</section>`;

export const gitlabFormPage = (form: TokenForm): Page => ({
  title: 'Connect GitLab',
  status: 400,
  body: html`${tokenForm(form)}
<p><a href="/setup">Back to the set-up</a></p>`,
});

export type Choice = {
  readonly token: string;
  /** Stands for the address and the token that were given. */
  readonly ticket: string;
  readonly address: string;
  readonly projects: readonly Project[];
  readonly chosen: ReadonlySet<string>;
};

/** Which projects get webhooks. */
export const choicePage = ({ token, ticket, address, projects, chosen }: Choice): Page => ({
  title: 'Choose projects',
  body: html`<p>On ${new URL(address).host}. Each project that is ticked gets a webhook; from one that was ticked before and is not any more, it is removed, and its previews end.</p>
<form method="post" action="/setup/gitlab/projects">
${formToken(token)}
<input type="hidden" name="ticket" value="${ticket}">
<fieldset>
<legend>Projects</legend>
${projects.map(({ id, name }) => html`<label class="box"><input type="checkbox" name="project" value="${id}"${chosen.has(id) ? ' checked' : ''}> ${name}</label>`)}
</fieldset>
<button>Make the webhooks</button>
</form>
<p><a href="/setup">Back to the set-up</a></p>`,
});

/** What was done on each project, and what comes next. */
export const donePage = (outcomes: readonly Outcome[]): Page => ({
  title: 'GitLab',
  body: html`${outcomes.length === 0 ? html`<p>There was nothing to do.</p>` : html`<ul>${outcomes.map((one) => html`<li><b>${one.name}</b>: ${words(outcomeWords(one))}</li>`)}</ul>`}
${outcomes.some(({ came }) => came === 'made' || came === 'updated') ? html`<p>Open a merge request in one of them: its preview appears by itself. Those that are open get theirs within a few minutes.</p>` : NOTHING}
<p><a href="/setup">Back to the set-up</a></p>`,
});

/** Of what was disconnected. */
export function undonePage(undoing: Undoing): Page {
  if ('outcomes' in undoing) return donePage(undoing.outcomes);
  if ('problem' in undoing) return problemPage(LEFT, CONNECT_PROBLEMS[undoing.problem], 400);
  return problemPage('GitLab', forgottenWords(undoing.forgotten), 200);
}

/** One project's outcome, for people. */
export function outcomeWords({ came, signs, why }: Outcome): string {
  switch (came) {
    case 'made':
    case 'updated':
      return `webhook ${came}; ${signs === 'signed' ? 'GitLab signs what it sends' : 'this GitLab cannot sign, so its secret token alone is checked'}`;
    case 'removed':
      return 'webhook removed, previews end';
    case 'left':
      return 'previews end; the token is not known any more, so delete the webhook by hand';
    case 'failed':
      return `not done: ${why}`;
    default:
      return came satisfies never;
  }
}

export type StoredView = { readonly token: string; readonly address: string; readonly names: readonly string[] };

/** GitLab connected by what is stored: where, and what can be changed. */
export const gitlabStored = ({ token, address, names }: StoredView): Html => html`<section aria-labelledby="gitlab">
<h2 id="gitlab">GitLab</h2>
${note('good', `Connected to ${address} with a token that is stored.`)}
<p>Projects with a webhook of ours:</p>
<ul>${names.map((name) => html`<li>${name}</li>`)}</ul>
<form method="post" action="/setup/gitlab/choose">
${formToken(token)}
<button class="plain">Change the projects</button>
</form>
<details>
<summary>Another token</summary>
${tokenForm({ token, address, group: '', problem: null })}
</details>
<details>
<summary>Disconnect GitLab</summary>
<p>The webhooks that were made are removed, all previews of these projects end, and the token is forgotten.</p>
<form method="post" action="/setup/gitlab/disconnect">
${formToken(token)}
<button class="plain">Remove the webhooks and the token</button>
</form>
</details>
</section>`;

export const gitlabConfigured = (address: string, isStoredToo: 'stored too' | 'alone'): Html => html`<section aria-labelledby="gitlab">
<h2 id="gitlab">GitLab</h2>
${note('good', words(`Connected by the environment to ${address}. Unset \`GITLAB_URL\` and what belongs to it to set GitLab up here.`))}
${isStoredToo === 'alone' ? NOTHING : note('warn', 'A token is stored here as well. The environment wins over it.')}
</section>`;
