import { defineConfig } from 'vitest/config';

// What takes minutes: `npm run test:slow`. Two cores, as in vitest.config.ts; the patience of a test is its own to set.
export default defineConfig({
  test: {
    include: ['test/slow/**/*.test.ts'],
    maxWorkers: 2,
    testTimeout: 300_000,
    hookTimeout: 120_000,
    globalSetup: ['test/global-setup.ts'],
    passWithNoTests: true,
  },
});
