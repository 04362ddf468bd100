import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Those that play with a whole Mayfly, and take minutes. */
const WHOLE = /\/test\/(?:scenarios|platform|bench)\//;

/** The longest first, so that no worker is left alone with one at the end. Vitest knows them once they have run here; before, it goes by size, and these are the smallest. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((one, other) => Number(WHOLE.test(other.moduleId)) - Number(WHOLE.test(one.moduleId)));
  }
}

// Two cores, and tests that mostly wait: for processes, for leases of the dead, for the pause between two launches. Three workers keep both busy.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/slow/**', 'test/live/**'],
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    testTimeout: 180_000,
    hookTimeout: 120_000,
    globalSetup: ['test/global-setup.ts'],
  },
});
