import { defineConfig } from 'vitest/config';

// Two cores, and tests that wait for each other's databases and processes: a third worker uses what the two leave idle.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/slow/**', 'test/live/**'],
    maxWorkers: 3,
    testTimeout: 180_000,
    hookTimeout: 120_000,
    globalSetup: ['test/global-setup.ts'],
  },
});
