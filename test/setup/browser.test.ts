import { expect, test } from 'vitest';
import { openBrowser } from '../browser.ts';
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
