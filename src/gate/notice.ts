import type { IncomingMessage } from 'node:http';
import { PAGE_STYLE } from '../site/page-style.ts';
import { isBrowser } from './exchange.ts';

/** What the gate itself has to say. All text is plain; whoever renders it escapes. `code` in backticks is shown as such. */
export type Notice = {
  readonly status: number;
  /** Stable, for programs: `building`, `ended`, … */
  readonly code: string;
  /** One glance: building, waiting, failed or gone. */
  readonly tone: 'working' | 'waiting' | 'failed' | 'gone';
  readonly title: string;
  readonly lines: readonly string[];
  readonly link: { readonly href: string; readonly text: string } | null;
  /** Seconds after which the page loads itself anew. */
  readonly refresh: number | null;
  /** Seconds for `Retry-After`. */
  readonly retryAfter: number | null;
};

export type Rendered = { readonly status: number; readonly headers: readonly string[]; readonly body: string };

/** As a page for browsers, as a problem document (RFC 9457) for what asks for JSON, else as plain text. */
export function renderNotice(notice: Notice, request: IncomingMessage): Rendered {
  const headers = ['Cache-Control', 'no-store', 'Vary', 'Accept', 'X-Content-Type-Options', 'nosniff'];
  if (notice.status === 405) headers.push('Allow', 'GET, HEAD');
  if (notice.retryAfter !== null) headers.push('Retry-After', String(notice.retryAfter));
  if (isBrowser(request)) {
    headers.push('Content-Type', 'text/html; charset=utf-8', 'Content-Security-Policy', POLICY, 'Referrer-Policy', 'no-referrer');
    return { status: notice.status, headers, body: renderPage(notice) };
  }
  if (/\bjson\b/i.test(request.headers.accept ?? '')) {
    const problem = { type: 'about:blank', title: notice.title, status: notice.status, detail: toWords(notice), code: notice.code };
    headers.push('Content-Type', 'application/problem+json');
    return { status: notice.status, headers, body: `${JSON.stringify(problem)}\n` };
  }
  headers.push('Content-Type', 'text/plain; charset=utf-8');
  return { status: notice.status, headers, body: `${notice.title}\n${toWords(notice)}${notice.link ? `\n${notice.link.href}` : ''}\n` };
}

const toWords = (notice: Notice): string => notice.lines.join(' ');

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
/** Escaped first: a backtick from outside can at most open a `<code>`. */
const toHtml = (text: string): string => escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>');

const STYLE = `${PAGE_STYLE}
.working{--tone:#2f6fed}.waiting{--tone:#b7791f}.failed{--tone:#d13d3d}.gone{--tone:#8a8f98}
h1{display:flex;gap:.7rem;align-items:baseline;margin:0 0 .75rem;font-size:1.4rem;line-height:1.25;font-weight:650;letter-spacing:-.01em}
h1 i{flex:none;width:.65rem;height:.65rem;border-radius:50%;background:var(--tone);transform:translateY(-.1rem)}
p{margin:.75rem 0 0;color:var(--quiet)}p:first-of-type{color:var(--ink)}
.working i{animation:beat 1.6s ease-in-out infinite}@keyframes beat{50%{opacity:.25}}
@media(prefers-reduced-motion:reduce){.working i{animation:none}}`;

function renderPage(notice: Notice): string {
  const refresh = notice.refresh === null ? '' : `<meta http-equiv="refresh" content="${notice.refresh}">\n`;
  const link = notice.link ? `\n<p><a href="${escapeHtml(notice.link.href)}" rel="noreferrer">${escapeHtml(notice.link.text)}</a></p>` : '';
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
${refresh}<title>${escapeHtml(notice.title)}</title>
<style>${STYLE}</style>
</head>
<body class="${notice.tone}">
<main>
<h1><i aria-hidden="true"></i><span>${escapeHtml(notice.title)}</span></h1>
${notice.lines.map((line) => `<p>${toHtml(line)}</p>`).join('\n')}${link}
</main>
</body>
</html>
`;
}
