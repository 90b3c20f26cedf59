// `npm run bench`: a task read within one organization, with tenantry and with other libraries as their documentation shows it. `--
// --check` fails when a goal is missed, `-- --write` updates docs/performance.md, `-- --quick` gives a first impression only.
import { parseArgs } from 'node:util'
import { openBenchDatabase } from '../database.js'
import { latency } from '../measure.js'
import { pinToOneProcessor } from '../one-processor.js'
import { describe, type Goal, isMet, writeBetween } from '../report.js'
import { openDrizzle } from './drizzle.js'
import { openKysely } from './kysely.js'
import { openPrisma } from './prisma.js'
import { proveIsolation } from './proof.js'
import { openTenantry } from './tenantry.js'
import { openZenStack } from './zenstack.js'

const boolean = { type: 'boolean', default: false } as const
const { values: asked } = parseArgs({ options: { check: boolean, write: boolean, quick: boolean } })
const mark = {
  start: '<!-- figures of npm run bench -- --write in bench/peers -->',
  end: '<!-- end of the figures of bench/peers -->',
}

pinToOneProcessor()
const bench = await openBenchDatabase()
const { orgId, taskIds } = bench
const peers = [await openTenantry(bench), openDrizzle(bench), openKysely(bench), openZenStack(bench), openPrisma(bench)]
try {
  for (const peer of peers) await proveIsolation(peer, bench)
  const variants = peers.map(({ name, read }) => ({
    name,
    call: (call: number) => read(orgId, { orgId, id: taskIds[(call * 7919) % taskIds.length] ?? '' }),
  }))
  const measured = await latency(variants, { rounds: asked.quick ? 5 : 21, calls: asked.quick ? 50 : 200 })
  const goals = peers.flatMap(({ name, goal }, index): Goal[] =>
    goal === undefined
      ? []
      : [{ what: `faster than ${name}`, figure: measured[index]?.ratio ?? Number.NaN, limit: goal, atLeast: true }],
  )
  const figures = describe([{ title: 'point read, against other libraries', unit: 'µs', measured }], goals)
  console.log(`\n${figures}`)
  if (asked.write) writeBetween(new URL('../../docs/performance.md', import.meta.url), mark, figures)
  if (asked.check && !goals.every(isMet)) process.exitCode = 1
} finally {
  for (const peer of peers) await peer.close()
  await bench.stop()
}
