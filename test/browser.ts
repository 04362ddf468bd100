import { type Browser, chromium, type Page } from 'playwright-core';

/** Debian's Chromium; as root it has no sandbox of its own, and only pages of the tests are opened in it. */
const CHROMIUM = '/usr/bin/chromium';

export type View = 'phone light' | 'phone dark' | 'desktop light' | 'desktop dark';
const VIEWS = {
  'phone light': { viewport: { width: 390, height: 844 }, colorScheme: 'light' },
  'phone dark': { viewport: { width: 390, height: 844 }, colorScheme: 'dark' },
  'desktop light': { viewport: { width: 1280, height: 800 }, colorScheme: 'light' },
  'desktop dark': { viewport: { width: 1280, height: 800 }, colorScheme: 'dark' },
} as const;

/** A headless browser without scripts: nothing of Mayfly's pages needs them. */
export async function openBrowser(): Promise<AsyncDisposable & { open(view: View): Promise<Page> }> {
  const browser: Browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
  return {
    open: async (view) => (await browser.newContext({ ...VIEWS[view], javaScriptEnabled: false })).newPage(),
    [Symbol.asyncDispose]: () => browser.close(),
  };
}
