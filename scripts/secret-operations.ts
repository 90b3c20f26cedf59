// `npx tsx scripts/secret-operations.ts --operations 100000 --seed 7`: random calls with secrets, and failures of every kind, on a server
// of their own that logs every statement. Fails when one of the secrets is in an error, a log, an event, an entry or a table.
import { parseArgs } from 'node:util'
import { secretOperations } from '../test/random/secret-operations.js'

const { values: asked } = parseArgs({
  options: {
    operations: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    organizations: { type: 'string', default: '3' },
    workers: { type: 'string', default: '8' },
  },
})
// An unhandled rejection would end the process without a report.
const unhandled: string[] = []
process.on('unhandledRejection', (reason) => unhandled.push(`unhandled: ${String(reason)}`))

const start = performance.now()
const perSecond = (done: number): string => String(Math.round((done / (performance.now() - start)) * 1000))
const { calls, errors, shown, searched, ...report } = await secretOperations({
  operations: Number(asked.operations),
  seed: Number(asked.seed),
  organizations: Number(asked.organizations),
  workers: Number(asked.workers),
  onCheckpoint: (done) => {
    console.log(`${String(done)} operations, ${perSecond(done)} a second`)
  },
})
console.table(calls)
console.table(errors)
console.log(`searched: ${searched.join(', ')}`)
console.log(`shown on purpose: ${shown.join(', ')}`)
const faults = [...report.faults, ...unhandled]
console.log(`seed ${String(report.seed)}: ${String(report.operations)} operations`)
console.log(faults.length === 0 ? 'no secret was found' : faults.join('\n'))
if (faults.length > 0) process.exitCode = 1
