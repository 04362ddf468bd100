import { html } from 'hono/html';
import type { StoredGitHub } from './connections.ts';
import type { ConversionProblem } from './conversion.ts';
import type { AppFile, Wanted } from './manifest.ts';
import { type Html, NOTHING, note, words } from './page.ts';
import { formToken } from './pages.ts';

export type GitHubChoice = {
  readonly file: AppFile;
  readonly server: string;
  readonly organisation: string;
  /** What is wrong with the two, or with our own address: then there is no button. */
  readonly problem: Html | null;
  readonly hook: string;
  /** The button's form: where it leads, and the manifest that it carries. */
  readonly form: { readonly action: string; readonly manifest: string } | null;
};

const LEVELS: Readonly<Record<string, string>> = { read: 'to read', write: 'to read and write' };

/** GitHub not connected: what will be asked for and why, and the one button. */
export const githubOffer = ({
  file,
  server,
  organisation,
  problem,
  hook,
  form,
}: GitHubChoice): Html => html`<section aria-labelledby="github">
<h2 id="github">GitHub</h2>
<p>A GitHub App of your own is made with one button. GitHub shows you what it is asked for before anything is made, and hands the App's key to this Mayfly alone. Sign in to GitHub in this browser first.</p>
<details>
<summary>What the App asks for, and why</summary>
<h3>Permissions in the repositories that you choose</h3>
<dl>${file.permissions.map(({ level, ...wanted }) => row(wanted, LEVELS[level] ?? level))}</dl>
<h3>Events that it is told of</h3>
<dl>${file.events.map((wanted) => row(wanted, ''))}</dl>
<p class="quiet">${words(`GitHub also tells it where it is installed and removed. All of that goes to \`${hook}\`. Nothing else is asked for.`)}</p>
</details>
${problem ?? NOTHING}
${form === null ? NOTHING : button(form, server, organisation)}
<details ${organisation !== '' || problem !== null ? 'open' : ''}>
<summary>For an organisation, or on GitHub Enterprise</summary>
<form method="get" action="/setup">
<label for="organisation">Organisation</label>
<p class="hint" id="organisation-hint">An App can be installed by its owner alone: name the organisation whose repositories get previews. Empty: your own account.</p>
<input type="text" id="organisation" name="organisation" value="${organisation}" aria-describedby="organisation-hint" autocapitalize="none" spellcheck="false">
<label for="server">Address of GitHub</label>
<input type="text" inputmode="url" id="server" name="server" value="${server}" autocapitalize="none" spellcheck="false">
<button class="plain">Use these</button>
</form>
</details>
</section>`;

const row = ({ name, reason }: Wanted, level: string): Html =>
  html`<dt><code>${name}</code> <span>${level}</span></dt><dd>${words(reason)}</dd>`;

const button = (
  form: NonNullable<GitHubChoice['form']>,
  server: string,
  organisation: string,
): Html => html`<form method="post" action="${form.action}">
<input type="hidden" name="manifest" value="${form.manifest}">
<button>Create the GitHub App</button>
<p class="hint">On ${new URL(server).host}, ${organisation === '' ? 'for your own account' : html`for the organisation <b>${organisation}</b>`}. You come back here by yourself.</p>
</form>`;

/** GitHub connected by what is stored: what was done, what comes next, and how to undo it. */
export const githubStored = (app: StoredGitHub, token: string): Html => html`<section aria-labelledby="github">
<h2 id="github">GitHub</h2>
${note('good', html`Connected: the App <a href="${app.page}">${app.slug}</a> was made, its credentials are stored, and Mayfly listens to it.`)}
<p>Next, <a href="${app.page}/installations/new">install it on your repositories</a>. Then open a pull request: its preview appears by itself.</p>
<details>
<summary>Disconnect</summary>
<p>All previews of GitHub's repositories end, and the stored credentials are removed. The App itself stays on GitHub: delete it in its settings there.</p>
<form method="post" action="/setup/github/disconnect">
${formToken(token)}
<button class="plain">Disconnect GitHub</button>
</form>
</details>
</section>`;

export const githubConfigured = (
  appId: number,
  server: string,
  isStoredToo: 'stored too' | 'alone',
): Html => html`<section aria-labelledby="github">
<h2 id="github">GitHub</h2>
${note('good', words(`Connected by the environment: the App ${appId} on ${new URL(server).host}. Unset \`APP_ID\` and what belongs to it to set GitHub up here.`))}
${isStoredToo === 'alone' ? NOTHING : note('warn', 'Another App is stored here. The environment wins over it.')}
</section>`;

/** What came of a way back from GitHub that did not end well. */
export const CALLBACK_PROBLEMS: Readonly<Record<ConversionProblem | 'stale' | 'taken' | 'elsewhere', string>> = {
  stale:
    'This way back from GitHub was used already, is older than an hour, or belongs to another browser. Begin again; an App that was made meanwhile can be deleted on GitHub.',
  'code-unknown':
    'GitHub does not know the code that it sent you back with, or not any more. Begin again; an App that was made meanwhile can be deleted on GitHub.',
  unreachable:
    'GitHub could not be reached from Mayfly to fetch the credentials of the new App. Check that this machine reaches its API, delete the App on GitHub, and begin again.',
  strange: 'GitHub answered with something that is no App. Check the address of GitHub, and begin again.',
  taken: 'GitHub is connected already, so the new App was not stored. Delete it on GitHub, or disconnect the other one first.',
  elsewhere:
    'This Mayfly has served repositories of another GitHub, and numbers of repositories there and here would be mixed up. Give the other one a Mayfly of its own.',
};
