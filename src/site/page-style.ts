/** What all pages of Mayfly's own look like, in light and dark: names of colours, the card, code, links. Both grounds keep 4.5:1 for text. */
export const PAGE_STYLE = `:root{color-scheme:light dark;--ground:#f6f5f1;--card:#fff;--ink:#1d1f23;--quiet:#5c6068;--line:#e3e1da;--link:#1f57c3;--tone:#8a8f98}
@media(prefers-color-scheme:dark){:root{--ground:#131417;--card:#1c1e22;--ink:#eceae4;--quiet:#a2a6ae;--line:#2e3138;--link:#8db4ff}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;min-height:100svh;display:grid;place-items:center;padding:1.25rem;background:var(--ground);color:var(--ink);font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:34rem;background:var(--card);border:1px solid var(--line);border-radius:14px;padding:clamp(1.5rem,5vw,2.5rem);overflow-wrap:anywhere}
code{padding:.1em .35em;border-radius:5px;background:var(--ground);border:1px solid var(--line);color:var(--ink);font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
a{color:var(--link);text-underline-offset:.2em}`;
