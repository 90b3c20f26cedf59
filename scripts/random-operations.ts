// `npx tsx scripts/random-operations.ts --operations 1000000 --seed 7`: random operations of many organizations at once, on a test
// server of its own. Fails when anything crossed from one organization to another.
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { openTenancy } from '../src/tenancy.js'
import { startTestServer } from '../src/testing/server.js'
import { createTestDatabase } from '../src/testing/template.js'
import { randomOperations } from '../test/random/operations.js'
import { migratePlatform } from './migrate-platform.js'

const { values: asked } = parseArgs({
  options: {
    operations: { type: 'string', default: '3000' },
    seed: { type: 'string', default: '1' },
    organizations: { type: 'string', default: '40' },
    workers: { type: 'string', default: '8' },
  },
})
const operations = Number(asked.operations)
const workers = Number(asked.workers)

const server = await startTestServer({ migrate: migratePlatform })
const database = await createTestDatabase(server.template)
const keys = `random:${randomBytes(32).toString('base64')}`
const tenancy = await openTenancy({ url: database.appUrl, pool: { max: workers }, keys })
// An unhandled rejection would end the process without a report.
const unhandled: string[] = []
process.on('unhandledRejection', (reason) => unhandled.push(`unhandled: ${String(reason)}`))

const start = performance.now()
const perSecond = (done: number): string => String(Math.round((done / (performance.now() - start)) * 1000))
try {
  const { calls, errors, ...report } = await randomOperations({
    tenancy,
    admin: database.admin,
    operations,
    seed: Number(asked.seed),
    organizations: Number(asked.organizations),
    workers,
    onCheckpoint: (done) => {
      console.log(`${String(done)} operations, ${perSecond(done)} a second`)
    },
  })
  console.table(calls)
  console.table(errors)
  const faults = [...report.faults, ...unhandled]
  console.log(
    `seed ${String(report.seed)}: ${String(report.operations)} operations, ${perSecond(report.operations)} a second`,
  )
  console.log(faults.length === 0 ? 'nothing crossed from one organization to another' : faults.join('\n'))
  if (faults.length > 0) process.exitCode = 1
} finally {
  await tenancy.close()
  await database.close()
  await server.stop()
}
