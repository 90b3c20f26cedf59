// `npm run bench`: a task read within one organization, with tenantry and with other libraries as their documentation shows it. `--
// --check` fails when a goal is missed, `-- --write` updates docs/performance.md, `-- --quick` gives a first impression only.
import { parseArgs } from 'node:util'
import { openBenchDatabase } from '../database.js'
import { latency, type Measured } from '../measure.js'
import { pinToOneProcessor } from '../one-processor.js'
import { describe, type Goal, isMet, writeBetween } from '../report.js'
import { openDrizzle } from './drizzle.js'
import { openKysely } from './kysely.js'
import { openDrizzleOverPostgres, openIsolatedPostgres, openPostgres } from './postgres.js'
import type { Peer } from './peer.js'
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
const bench = await openBenchDatabase(asked.quick ? 500 : 5_000)
const { orgId, taskIds } = bench
const peers = [
  await openTenantry(bench),
  openPostgres(bench),
  openIsolatedPostgres(bench),
  openDrizzle(bench),
  openDrizzleOverPostgres(bench),
  openKysely(bench),
  openZenStack(bench),
  openPrisma(bench),
]
try {
  for (const peer of peers) await proveIsolation(peer, bench)
  const place = (call: number) => ({ orgId, id: taskIds[(call * 7919) % taskIds.length] ?? '' })
  const one = await compare(({ read }, call) => read(orgId, place(call)))
  const five = await compare(({ read }, call) =>
    Promise.all([0, 1, 2, 3, 4].map((number) => read(orgId, place(call + number)))),
  )
  const goals = peers.flatMap(({ name, goal, goalOfFive }, index): Goal[] => [
    ...faster(`faster than ${name}`, one[index], goal),
    ...faster(`five reads at once, faster than ${name}`, five[index], goalOfFive),
  ])
  const figures = describe(
    [
      { title: 'point read, against other libraries', unit: 'µs', measured: one },
      { title: 'five point reads at once, against other libraries', unit: 'µs', measured: five },
    ],
    goals,
  )
  console.log(`\n${figures}`)
  if (asked.write) writeBetween(new URL('../../docs/performance.md', import.meta.url), mark, figures)
  if (asked.check && !goals.every(isMet)) process.exitCode = 1
} finally {
  for (const peer of peers) await peer.close()
  await bench.stop()
}

function compare(call: (peer: Peer, call: number) => Promise<unknown>): Promise<Measured[]> {
  const variants = peers.map((peer) => ({ name: peer.name, call: (number: number) => call(peer, number) }))
  const [rounds, calls, warmUp] = asked.quick ? [5, 50, 1] : [21, 100, 10]
  return latency(variants, { rounds, calls, warmUp })
}

function faster(what: string, measured: Measured | undefined, limit: number | undefined): Goal[] {
  return limit === undefined ? [] : [{ what, figure: measured?.ratio ?? Number.NaN, limit, atLeast: true }]
}
