import { accent, title } from './shop.js';

const escape = (text) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
const price = (cents) => new Intl.NumberFormat('en-IE', { style: 'currency', currency: 'EUR' }).format(cents / 100);

const card = ({ name, note, hue, cents }) => `
      <li style="--hue: ${hue}">
        <span class="picture" aria-hidden="true"></span>
        <h2>${escape(name)}</h2>
        <p>${escape(note)}</p>
        <b>${price(cents)}</b>
      </li>`;

/** The shop window as one HTML page. */
export const renderPage = (products) => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${escape(title)}</title>
    <style>
      :root { color-scheme: light dark; --accent: ${accent}; --ink: light-dark(#1c1917, #f5f5f4); --quiet: light-dark(#57534e, #a8a29e);
        --ground: light-dark(#fafaf9, #171412); --card: light-dark(#fff, #231f1c); --line: light-dark(#e7e5e4, #3a3430); }
      * { box-sizing: border-box; margin: 0 }
      body { font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); padding: clamp(1rem, 4vw, 3rem) }
      main { max-width: 62rem; margin: auto }
      header { border-top: .4rem solid var(--accent); padding-top: 1.5rem; margin-bottom: 2rem }
      h1 { font-size: clamp(1.8rem, 6vw, 3.2rem); line-height: 1.1; letter-spacing: -.02em; text-wrap: balance }
      header p { color: var(--quiet); margin-top: .5rem }
      ul { list-style: none; padding: 0; display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(16rem, 100%), 1fr)) }
      li { background: var(--card); border: 1px solid var(--line); border-radius: .9rem; padding: 1.25rem }
      .picture { display: block; height: 7rem; border-radius: .6rem; background:
        radial-gradient(circle at 30% 110%, hsl(var(--hue) 45% 38%) 0 46%, transparent 47%),
        radial-gradient(circle at 85% 125%, hsl(calc(var(--hue) + 14) 45% 30%) 0 48%, transparent 49%),
        radial-gradient(circle at 72% 34%, hsl(46 90% 88%) 0 17%, transparent 18%),
        linear-gradient(hsl(calc(var(--hue) + 20) 60% 82%), hsl(var(--hue) 55% 66%)) }
      h2 { font-size: 1.1rem; margin-top: .75rem }
      li p { color: var(--quiet); font-size: .95rem }
      b { display: inline-block; margin-top: .75rem; border-bottom: .2rem solid var(--accent); font-variant-numeric: tabular-nums }
    </style>
  </head>
  <body>
    <main>
      <header>
        <h1>${escape(title)}</h1>
        <p>${products.length} things, all in stock.</p>
      </header>
      <ul>${products.map(card).join('')}
      </ul>
    </main>
  </body>
</html>
`;
