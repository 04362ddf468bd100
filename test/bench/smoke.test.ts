import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { runCommand } from '../command.ts';

const figure = z.strictObject({ median: z.number(), low: z.number(), high: z.number(), runs: z.number().min(1) });
const row = z.strictObject({
  what: z.string().min(1),
  unit: z.string(),
  ours: figure,
  beside: figure.extend({ name: z.string().min(1) }).nullable(),
  ratio: z.number().nullable(),
  bar: z.string().nullable(),
  holds: z.boolean().nullable(),
  parts: z.record(z.string(), z.number()),
});
const results = z.strictObject({
  at: z.iso.datetime(),
  scale: z.literal('smoke'),
  seconds: z.number(),
  machine: z.looseObject({ processors: z.number(), node: z.string(), mayfly: z.string(), versions: z.record(z.string(), z.string()) }),
  results: z.array(z.strictObject({ name: z.string(), title: z.string(), seconds: z.number(), rows: z.array(row).min(1) })),
});

test('npm run bench measures everything it names, in the smallest sizes, and writes down figures that are numbers', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mayfly-smoke-'));
  try {
    const file = join(folder, 'results.json');
    const { code, errors } = await runCommand('bench/main.ts', {}, { args: ['--smoke', '--to', file] });
    expect(code, errors).toBe(0);
    const { results: measured, machine } = results.parse(JSON.parse(await readFile(file, 'utf8')));
    expect(measured.map(({ name }) => name)).toEqual([
      'footprint',
      'webhooks',
      'gate',
      'pulumi',
      'launch',
      'google',
      'workers',
      'scale',
      'recovery',
    ]);
    expect(Object.keys(machine.versions)).toEqual(['pulumi', 'postgres', 'redis', 'npm', 'probot', 'nginx', 'caddy']);
    expect(Object.values(machine.versions)).not.toContain('unknown');
    for (const { rows } of measured) for (const one of rows) expect(one.holds === null).toBe(one.bar === null);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 600_000);

test('a measurement that is not there is named, with those that are', async () => {
  const { code, errors } = await runCommand('bench/main.ts', {}, { args: ['gates'] });
  expect(code).toBe(64);
  expect(errors).toContain('No measurement is called gates.\nusage: npm run bench -- [--smoke] [--to FILE] [NAME…]');
});
