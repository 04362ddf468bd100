import { expect, test } from 'vitest';
import { openBrowser, type View } from '../browser.ts';
import { createGitLab } from '../doubles/gitlab.ts';
import { nodeApp } from '../scenarios/apps.ts';
import { createSetupWorld } from '../setup-world.ts';
import { until } from '../world.ts';

test('code, button, back from GitHub, connected without a restart: the next pull becomes a site', async () => {
  await using w = await createSetupWorld();
  await using browser = await openBrowser();
  const page = await browser.open('phone light');
  await page.goto(`${w.base}/setup`);
  await page.getByLabel('Code').fill(w.code());
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('For an organisation, or on GitHub Enterprise').click();
  await page.getByLabel('Organisation').fill('acme');
  await page.getByRole('button', { name: 'Use these' }).click();
  await page.getByRole('button', { name: 'Create the GitHub App' }).click();
  expect(new URL(page.url()).origin).toBe(w.github.serverUrl);
  await page.getByRole('button', { name: 'Create GitHub App for acme' }).click();
  expect(page.url()).toBe(`${w.base}/setup`);
  expect(await page.getByRole('status').textContent()).toBe(
    'Connected: the App mayfly-preview was made, its credentials are stored, and Mayfly listens to it.',
  );
  expect(await page.getByRole('link', { name: 'install it on your repositories' }).getAttribute('href')).toBe(
    `${w.github.serverUrl}/apps/mayfly-preview/installations/new`,
  );
  const repo = await w.github.createRepository({ name: 'acme/shop', files: nodeApp('main') });
  const pull = await w.github.openPull(repo, { files: nodeApp('made by a manifest') });
  await until('the preview to be ready', () => w.github.ourComment(pull)?.body.includes('Preview is ready'));
});

test('a token, two ticks, a webhook each, and all of it undone', async () => {
  await using w = await createSetupWorld();
  await using gitlab = await createGitLab();
  const repos = await Promise.all(['acme/shop', 'acme/blog', 'acme/tool'].map((name) => gitlab.createRepository({ name, hook: 'none' })));
  await using browser = await openBrowser();
  const page = await browser.open('desktop dark');
  await page.goto(`${w.base}/setup`);
  await page.getByLabel('Code').fill(w.code());
  await page.keyboard.press('Enter');
  await page.getByLabel('Address of GitLab').fill(gitlab.url);
  await page.getByLabel('Access token').fill(gitlab.token);
  await page.getByRole('button', { name: 'Choose projects' }).click();
  await page.getByRole('group', { name: 'Projects' }).getByLabel('acme/shop').check();
  await page.getByLabel('acme/tool').check();
  await page.getByRole('button', { name: 'Make the webhooks' }).click();
  expect(await page.getByRole('listitem').allTextContents()).toEqual([
    'acme/shop: webhook made; GitLab signs what it sends',
    'acme/tool: webhook made; GitLab signs what it sends',
  ]);
  expect(repos.map((repo) => gitlab.hooksOf(repo).length)).toEqual([1, 0, 1]);
  await page.getByRole('link', { name: 'Back to the set-up' }).click();
  await page.getByText('Disconnect GitLab').click();
  await page.getByRole('button', { name: 'Remove the webhooks and the token' }).click();
  expect(repos.map((repo) => gitlab.hooksOf(repo).length)).toEqual([0, 0, 0]);
  expect(gitlab.unknownRequests).toEqual([]);
});

/** WCAG 2.2, 1.4.3: how much lighter one colour is than another, from 1 to 21. */
function contrast(one: string, other: string): number {
  const luminance = (colour: string): number => {
    const hex = colour.length === 4 ? colour.replace(/[0-9a-f]/gi, '$&$&') : colour;
    const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
      const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

test('text has its contrast in light and dark, fields have a visible edge, and nothing is wider than a phone', async () => {
  await using w = await createSetupWorld();
  const css = await (await fetch(`${w.base}/setup`)).text();
  for (const scheme of ['light', 'dark']) {
    const blocks = [...css.matchAll(/(@media\(prefers-color-scheme:dark\)\{)?:root\{([^}]*)\}/g)].filter(
      ([, dark]) => scheme === 'dark' || dark === undefined,
    );
    const colours = new Map(
      blocks.flatMap(([, , names = '']) =>
        [...names.matchAll(/--([\w-]+):(#[0-9a-f]+)/gi)].map(([, name = '', value = '']) => [name, value] as const),
      ),
    );
    const of = (one: string, other: string): number => contrast(colours.get(one) ?? '', colours.get(other) ?? '');
    for (const ground of ['card', 'ground']) for (const text of ['ink', 'quiet', 'link']) expect(of(text, ground)).toBeGreaterThan(4.5);
    expect(of('act-ink', 'act')).toBeGreaterThan(4.5);
    expect(of('edge', 'card')).toBeGreaterThan(3);
  }
  await using browser = await openBrowser();
  for (const view of ['phone light', 'desktop dark'] satisfies View[]) {
    const page = await browser.open(view);
    for (const path of ['/setup', '/setup/nowhere']) {
      await page.goto(`${w.base}${path}`);
      expect(await page.evaluate('document.documentElement.scrollWidth <= window.innerWidth')).toBe(true);
    }
  }
});
