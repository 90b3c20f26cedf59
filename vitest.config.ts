import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/global-setup.ts',
    pool: 'forks',
    // The files of a worker share their modules: loading them for each file took a third of the time.
    isolate: false,
    // Each worker keeps about one backend of the server busy.
    maxWorkers: Math.max(2, Math.floor(availableParallelism() / 2)),
    // Against hanging only: nothing is asserted of time, and the embedded database alone takes seconds to start.
    testTimeout: 180_000,
    hookTimeout: 300_000,
  },
})
