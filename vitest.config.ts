import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

// The files that take longest, so that none of them is left for the end, when the other worker has nothing to do. vitest knows that
// from its last run; in a fresh clone there was none.
const longest = [
  'packaging/table-change',
  'packaging/workspace',
  'packaging/first-server',
  'access/startup-proof',
  'cli/program',
  'access/mends',
  'access/mutants',
  'migrations/newer-migrations',
  'migrations/killed',
  'faults/misunderstood-answers',
  'migrations/migrator-interruptions',
  'rules/documents',
  'rules/check',
  'tenancy/embedded',
  'random/operations',
].map((name) => `test/${name}.test.ts`)

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => longest.some((name) => moduleId.endsWith(name))
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}

const source = (path: string) => fileURLToPath(new URL(`src/${path}`, import.meta.url))

export default defineConfig({
  // Of src, not of a build: for the examples that tests import.
  resolve: {
    alias: [
      { find: /^tenantry$/, replacement: source('index.ts') },
      { find: /^tenantry\/(schema|testing)$/, replacement: source('$1/index.ts') },
      { find: /^tenantry\/(hono|openfeature|testing\/vitest)$/, replacement: source('$1.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/global-setup.ts',
    setupFiles: 'test/support/cluster-unfit.ts',
    pool: 'forks',
    // The embedded database opens in a quarter of the time, in spawned programs too.
    env: { TENANTRY_EMBEDDED_CACHE: fileURLToPath(new URL('node_modules/.cache/tenantry', import.meta.url)) },
    // The files of a worker share their modules: loading them for each file took a third of the time.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    // Each worker keeps about one backend of the server busy.
    maxWorkers: Math.max(2, Math.floor(availableParallelism() / 2)),
    // Against hanging only: nothing is asserted of time, and the embedded database alone takes seconds to start.
    testTimeout: 180_000,
    hookTimeout: 300_000,
  },
})
