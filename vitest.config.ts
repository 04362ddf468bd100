import { defineConfig } from 'vitest/config';

// Two cores, and tests that mostly wait: for processes, for leases of the dead, for the pause between two launches. Four workers keep both busy.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/slow/**', 'test/live/**'],
    maxWorkers: 4,
    testTimeout: 180_000,
    hookTimeout: 120_000,
    globalSetup: ['test/global-setup.ts'],
  },
});
