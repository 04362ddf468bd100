import { defineConfig } from 'vitest/config';

// In a real project of Google Cloud: `npm run test:live`, which looks first whether there is one.
export default defineConfig({
  test: {
    include: ['test/live/**/*.test.ts'],
    maxWorkers: 1,
    // A platform takes half an hour to make, and up to two hours until Google lets its last part go.
    testTimeout: 5 * 3_600_000,
    hookTimeout: 5 * 3_600_000,
    bail: 1,
  },
});
