import { createHash } from 'node:crypto';
import type { Context } from 'hono';
import { html, raw } from 'hono/html';
import { PAGE_STYLE } from '../../site/page-style.ts';

/** What `html` made: everything from outside in it is escaped. */
export type Html = ReturnType<typeof html>;
export type Page = {
  readonly title: string;
  readonly body: Html;
  readonly status?: 200 | 400 | 403 | 404 | 409 | 413 | 429 | 502;
  /** Where its forms may lead besides to us: a forge's origin. */
  readonly formsTo?: string;
};

const STYLE = `${PAGE_STYLE}
main{max-width:44rem}
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25;font-weight:650;letter-spacing:-.01em}
h2{margin:0 0 .5rem;font-size:1.15rem;line-height:1.3;font-weight:650}
h3{margin:1.25rem 0 .25rem;font-size:1rem;font-weight:600}
p{margin:.6rem 0 0}.quiet,dd{color:var(--quiet)}
section{margin-top:1.75rem;padding-top:1.5rem;border-top:1px solid var(--line)}
dl{margin:.5rem 0 0}dt{margin-top:.6rem;font-weight:600}dd{margin:.1rem 0 0}
dt span{font-weight:400;color:var(--quiet)}
form{margin-top:1rem}
label+input{margin-top:.3rem}
label{display:block;font-weight:600;margin-top:.9rem}
label.box{display:flex;gap:.6rem;align-items:baseline;font-weight:400;margin-top:.35rem}
.hint{font-size:.95rem;color:var(--quiet);margin:.15rem 0 .3rem}
button+.hint{margin-top:.5rem}form+p{margin-top:1.2rem}
input[type=text],input[type=password],input[type=url]{width:100%;min-height:2.9rem;padding:.5rem .75rem;font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--edge);border-radius:9px}
input[type=checkbox]{width:1.1rem;height:1.1rem;flex:none;transform:translateY(.12rem);accent-color:var(--act)}
button{min-height:2.9rem;margin-top:1rem;padding:.5rem 1.2rem;font:inherit;font-weight:600;color:var(--act-ink);background:var(--act);border:1px solid var(--act);border-radius:9px;cursor:pointer}
button.plain{color:var(--ink);background:var(--card);border-color:var(--edge)}
a,button,input,summary{outline-offset:3px}:focus-visible{outline:3px solid var(--link)}
summary{cursor:pointer;font-weight:600;min-height:1.9rem}details{margin-top:1rem}
.note{margin-top:1rem;padding:.8rem 1rem;border:1px solid var(--line);border-left:4px solid var(--tone);border-radius:9px;background:var(--ground)}
.note p:first-child{margin-top:0}.good{--tone:#2e8b57}.bad{--tone:#d13d3d}.warn{--tone:#b7791f}
fieldset{margin:0;padding:.8rem 1rem 1rem;border:1px solid var(--line);border-radius:9px}legend{padding:0 .4rem;font-weight:600}
ul{margin:.5rem 0 0;padding-left:1.2rem}li{margin-top:.3rem}
:root{--edge:#8a8f98;--act:#1f57c3;--act-ink:#fff}
@media(prefers-color-scheme:dark){:root{--edge:#757a84;--act:#8db4ff;--act-ink:#10141c}}`;

const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

/** The page as an answer: nothing in it runs, is loaded from anywhere, is kept, or is shown in a frame. */
export function show(c: Context, { title, body, status = 200, formsTo }: Page): Response | Promise<Response> {
  const formAction = formsTo === undefined ? "'self'" : `'self' ${formsTo}`;
  const policy = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action ${formAction}; frame-ancestors 'none'`;
  c.header('Content-Security-Policy', policy);
  // The forge is told who sends its form, and nobody a path.
  c.header('Referrer-Policy', 'strict-origin');
  c.header('X-Frame-Options', 'DENY');
  return c.html(
    html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<title>${title}</title>
<style>${raw(STYLE)}</style>
</head>
<body>
<main>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`,
    status,
  );
}

export type Tone = 'good' | 'bad' | 'warn';
/** Something that stands out: what went well or wrong, and what to do. */
export const note = (tone: Tone, text: Html | string): Html =>
  html`<div class="note ${tone}" role="${tone === 'bad' ? 'alert' : 'status'}"><p>${text}</p></div>`;
/** Text whose words in backticks are code. */
export const words = (text: string): Html => html`${text.split('`').map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : part))}`;
export const NOTHING = html``;
