import { html } from 'hono/html';
import { type Html, NOTHING, note, type Page, words } from './page.ts';

/** What stands in every form of ours. */
export const formToken = (token: string): Html => html`<input type="hidden" name="form" value="${token}">`;

export type CodeProblem = 'wrong' | 'too many' | 'expired';
const CODE_PROBLEMS: Readonly<Record<CodeProblem, string>> = {
  wrong: 'That is not the code, or it was used already.',
  'too many': 'Too many wrong codes were typed. Wait a minute.',
  expired: 'This page was open for too long, or your browser keeps no cookies. Type the code once more.',
};

/** What everybody sees who comes here. */
export const codePage = ({ token, problem }: { readonly token: string; readonly problem: CodeProblem | null }): Page => ({
  title: 'Set up Mayfly',
  status: problem === null ? 200 : problem === 'too many' ? 429 : 403,
  body: html`<p>Mayfly printed a code on its terminal when it started. Type it here to show that this Mayfly is yours.</p>
${problem === null ? NOTHING : note('bad', CODE_PROBLEMS[problem])}
<form method="post" action="/setup/code">
${formToken(token)}
<label for="code">Code</label>
<p class="hint" id="code-hint">Seven groups of four letters and digits. It works once.</p>
<input type="text" id="code" name="code" aria-describedby="code-hint" autocomplete="one-time-code" autocapitalize="none" spellcheck="false" required autofocus>
<button>Go on</button>
</form>
<p class="quiet">${words('No code in sight? `npm run setup-code` on the machine where Mayfly runs prints a new one.')}</p>`,
});

/** The address of this Mayfly as a problem, where it is one for forges elsewhere. */
export const addressNote = (publicUrl: URL): Html =>
  note(
    'warn',
    words(
      `Mayfly's own address is \`${publicUrl.origin}\`, and a forge elsewhere cannot reach that to send its webhooks. Set \`MAYFLY_PUBLIC_URL\` to an address ` +
        'that it can reach – of a reverse proxy, or of a tunnel to this machine – and start Mayfly again.',
    ),
  );

export type Overview = {
  readonly github: Html;
  readonly gitlab: Html;
  readonly formsTo: string | undefined;
};

/** Everything that is and can be connected. */
export const overviewPage = ({ github, gitlab, formsTo }: Overview): Page => ({
  title: 'Set up Mayfly',
  ...(formsTo === undefined ? {} : { formsTo }),
  body: html`<p>Mayfly serves the repositories of a forge: through a GitHub App of your own, with a GitLab token, or both. What is stored here is encrypted in Mayfly's database.</p>
${github}
${gitlab}`,
});

/** One thing that went wrong or is not possible, with the way back. */
export const problemPage = (title: string, text: string, status: NonNullable<Page['status']>): Page => ({
  title,
  status,
  body: html`<p>${words(text)}</p>
<p><a href="/setup">Back to the set-up</a></p>`,
});
