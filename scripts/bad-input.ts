// `npx tsx scripts/bad-input.ts --inputs 200000 --seed 7`: bad input for every method, on a test server of its own. Fails when one
// ends in anything but a typed error, or is refused only after it was sent.
import { parseArgs } from 'node:util'
import { migratePlatform } from './migrate-platform.js'
import { startTestServer } from '../src/testing/server.js'
import { createTestDatabase } from '../src/testing/template.js'
import { badInputs } from '../test/random/bad-input.js'

const { values: asked } = parseArgs({
  options: { inputs: { type: 'string', default: '3000' }, seed: { type: 'string', default: '1' } },
})

const server = await startTestServer({ migrate: migratePlatform })
const database = await createTestDatabase(server.template)
// An unhandled rejection would end the process without a report.
const unhandled: string[] = []
process.on('unhandledRejection', (reason) => unhandled.push(`unhandled: ${String(reason)}`))

const start = performance.now()
try {
  const { inputs, outcomes, ...report } = await badInputs({
    ...database,
    inputs: Number(asked.inputs),
    seed: Number(asked.seed),
    onEntry: (name, done) => {
      console.log(`${name}, ${String(done)} inputs`)
    },
  })
  console.table(outcomes)
  const faults = [...report.faults, ...unhandled]
  const perSecond = Math.round((inputs / (performance.now() - start)) * 1000)
  console.log(`seed ${String(report.seed)}: ${String(inputs)} inputs, ${String(perSecond)} a second`)
  console.log(faults.length === 0 ? 'every one ended in a typed error, or was right after all' : faults.join('\n'))
  if (faults.length > 0) process.exitCode = 1
} finally {
  await database.close()
  await server.stop()
}
