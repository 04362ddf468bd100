import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { LocalWorkspace, PulumiCommand } from '@pulumi/pulumi/automation/index.js';
import { expect, test } from 'vitest';
import { PLATFORM_PROJECT } from '../../infra/platform/names.ts';
import { pulumiCliRoot } from '../../src/provision/pulumi-cli.ts';
import { openPlatformWorld, SETTINGS } from './world.ts';

const STACK = 'acme-previews-mayfly';
const urn = `urn:pulumi:${STACK}::${PLATFORM_PROJECT}::gcp:sql/databaseInstance:DatabaseInstance::database`;
/** As the engine leaves it that is killed while Google makes a database. */
const KILLED = {
  manifest: { time: '2026-01-01T00:00:00Z', magic: '', version: '' },
  pending_operations: [
    {
      type: 'creating',
      resource: { urn, custom: true, type: 'gcp:sql/databaseInstance:DatabaseInstance', inputs: { name: 'mayfly-0123abcd' } },
    },
  ],
};

test('destroy after an up that was killed names what may be left', { timeout: 120_000 }, async () => {
  await using w = await openPlatformWorld();
  const projectSettings = { name: PLATFORM_PROJECT, runtime: 'nodejs' } as const;
  const pulumiCommand = await PulumiCommand.get({ root: pulumiCliRoot() });
  const workspace = await LocalWorkspace.create({ pulumiCommand, projectSettings, envVars: { ...w.environment } });
  await workspace.createStack(STACK);
  // `pulumi stack import` would take what is pending out of it.
  const file = new URL(`${w.environment.PULUMI_BACKEND_URL}/.pulumi/stacks/${PLATFORM_PROJECT}/${STACK}.json`);
  const { checkpoint, ...rest } = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, JSON.stringify({ ...rest, checkpoint: { ...checkpoint, latest: { ...checkpoint.latest, ...KILLED } } }));
  const said = await w.run(SETTINGS, 'destroy', '--yes');
  expect(said.code).toBe(1);
  expect(
    said.errors,
  ).toContain(`Everything that is known is removed. What was being made when an \`up\` was killed may be there all the same, and cost money:
  DatabaseInstance mayfly-0123abcd
What Google’s console still shows of it is to be deleted by hand.
`);
});

test('an up that is interrupted writes down what it had begun, and the next one goes on from there', { timeout: 240_000 }, async () => {
  await using w = await openPlatformWorld();
  const { promise: begun, resolve: hasBegun } = Promise.withResolvers<void>();
  w.google.onMade = async (type) => {
    if (!type.endsWith(':DatabaseInstance')) return;
    hasBegun();
    // As long as the engine takes to hear of it, and more: Google takes ten minutes.
    await delay(3_000);
  };
  const said = await w.runUntil(begun, SETTINGS, 'up');
  expect(said.errors).toContain('Stopped. The same command goes on where it ended.');
  expect(said.code).toBe(130);
  w.google.onMade = async () => undefined;
  expect(await w.run(SETTINGS, 'up')).toMatchObject({ code: 0 });
  expect(await w.run(SETTINGS, 'destroy', '--yes')).toMatchObject({ code: 0 });
  expect(w.google.all()).toEqual([]);
});
