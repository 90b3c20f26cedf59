// `npx tsx scripts/soak.ts --minutes 120 --seed 7`: fifty organizations at once for a long time, on a test server of its own. Fails when
// a row of another organization is seen, an acknowledged change is not there, or the memory in use grows.
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { NotFoundError, TenantryError } from '../src/core/errors.js'
import type { Org } from '../src/org.js'
import { openTenancy } from '../src/tenancy.js'
import { createOrganization } from '../src/testing/fixtures.js'
import { startTestServer } from '../src/testing/server.js'
import { createTestDatabase } from '../src/testing/template.js'
import { collectGarbage } from '../test/support/collected-garbage.js'
import { migratePlatform } from './migrate-platform.js'
import { numbersFrom } from './seeded-numbers.js'

const { values: asked } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    organizations: { type: 'string', default: '50' },
    callers: { type: 'string', default: '48' },
    connections: { type: 'string', default: '10' },
  },
})
const time = Number(asked.minutes) * 60_000
const agentsEach = 20

const server = await startTestServer({ migrate: migratePlatform })
const database = await createTestDatabase(server.template)
const keys = `soak:${randomBytes(32).toString('base64')}`
const tenancy = await openTenancy({ url: database.appUrl, pool: { max: Number(asked.connections) }, keys })
const faults: string[] = []
process.on('unhandledRejection', (reason) => faults.push(`unhandled: ${String(reason)}`))

interface Member {
  readonly id: string
  readonly agents: readonly string[]
  /** The number that was last acknowledged, by the agent. */
  readonly written: Map<string, number>
  readonly busy: Set<string>
}

async function newMember(): Promise<Member> {
  const id = await createOrganization(database.admin)
  const org = tenancy.forOrg(id)
  const names = Array.from({ length: agentsEach }, (_, index) => ({
    name: `${id} 0`,
    username: `agent-${String(index)}`,
  }))
  const agents = await org.batch((all) => names.map((agent) => all.agents.create(agent)))
  const ids = agents.map((agent) => agent.id)
  return { id, agents: ids, written: new Map(ids.map((one) => [one, 0])), busy: new Set() }
}

const members: Member[] = []
while (members.length < Number(asked.organizations)) members.push(await newMember())

let calls = 0
const errors = new Map<string, number>()

/** Whose row it is stands in the row twice: in its organization, and in its name. */
function check(member: Member, agents: readonly { orgId: string; name: string }[]): void {
  for (const { orgId, name } of agents)
    if (orgId !== member.id || !name.startsWith(member.id)) faults.push(`${member.id} saw ${orgId}, ${name}`)
}

type Call = (org: Org, member: Member, id: string) => Promise<void>

const kinds: readonly Call[] = [
  async (org, member, id) => {
    check(member, [await org.agents.get(id)])
  },
  async (org, member) => {
    check(member, (await org.agents.list({ limit: 20 })).items)
  },
  async (org, member, id) => {
    const [one, page, count] = await Promise.all([org.agents.get(id), org.agents.list(), org.agents.count()])
    check(member, [one, ...page.items])
    if (count !== agentsEach) faults.push(`${member.id} has ${String(count)} agents`)
  },
  async (org, member, id) => {
    // One writer of an agent at a time, so that what it reads back is what it wrote.
    if (member.busy.has(id)) return
    member.busy.add(id)
    try {
      const number = (member.written.get(id) ?? 0) + 1
      const changed = await org.agents.update(id, { name: `${member.id} ${String(number)}` })
      check(member, [changed])
      member.written.set(id, number)
      const { name } = await org.agents.get(id)
      if (name !== `${member.id} ${String(number)}`)
        faults.push(`${member.id} wrote ${String(number)}, and found ${name}`)
    } finally {
      member.busy.delete(id)
    }
  },
  async (org, member, id) => {
    await org.transaction(async (tx) => {
      const [one, page] = await Promise.all([tx.agents.get(id), tx.agents.list({ limit: 5 })])
      check(member, [one, ...page.items])
      await tx.agents.update(id, { name: 'never' })
      throw new RolledBack()
    })
  },
  async (org, member, id) => {
    const foreign = foreignId(member, id)
    try {
      const { name } = await org.agents.get(foreign)
      faults.push(`${member.id} was given ${foreign}, ${name}`)
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error
    }
  },
]

class RolledBack extends Error {}

/** The id of an agent of another organization. */
function foreignId(member: Member, id: string): string {
  const other = members[(members.indexOf(member) + 1) % members.length]
  return (other as Member).agents[member.agents.indexOf(id)] as string
}

async function caller(random: () => number, until: number): Promise<void> {
  while (performance.now() < until && faults.length === 0) {
    const member = members[Math.floor(random() * members.length)] as Member
    const id = member.agents[Math.floor(random() * agentsEach)] as string
    const kind = kinds[Math.floor(random() * kinds.length)] as Call
    const isAborted = random() < 0.02
    const signal = isAborted ? AbortSignal.timeout(Math.floor(random() * 5)) : undefined
    calls++
    try {
      await kind(tenancy.forOrg(member.id, signal === undefined ? {} : { signal }), member, id)
    } catch (error) {
      if (error instanceof RolledBack) continue
      const code = error instanceof TenantryError ? error.code : String(error)
      errors.set(code, (errors.get(code) ?? 0) + 1)
      if (!isAborted || !['timeout', 'commit_unknown'].includes(code)) faults.push(`${member.id}: ${String(error)}`)
      // Whether it was written is not known.
      if (code === 'commit_unknown') member.written.delete(id)
    }
  }
}

/** Everything that was acknowledged is there at the end. */
async function checkWritten(member: Member): Promise<void> {
  const { items } = await tenancy.forOrg(member.id).agents.list({ limit: 100 })
  check(member, items)
  if (items.length !== agentsEach) faults.push(`${member.id} has ${String(items.length)} agents at the end`)
  for (const { id, name } of items) {
    const number = member.written.get(id)
    if (number !== undefined && name !== `${member.id} ${String(number)}`)
      faults.push(`${member.id} wrote ${String(number)}, and has ${name} at the end`)
  }
}

async function inUse(): Promise<number> {
  await collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 1_048_576
}

const start = performance.now()
const samples: number[] = []
const sample = async (): Promise<void> => {
  const megabytes = await inUse()
  samples.push(megabytes)
  const minutes = ((performance.now() - start) / 60_000).toFixed(1)
  console.log(`${minutes} min: ${String(calls)} calls, ${megabytes.toFixed(1)} MiB in use`)
}
const sampling = setInterval(() => void sample(), time / 20)
try {
  const callers = Array.from({ length: Number(asked.callers) }, (_, index) =>
    caller(numbersFrom(Number(asked.seed) * 1_000 + index), start + time),
  )
  await Promise.all(callers)
  for (const member of members) await checkWritten(member)
} finally {
  clearInterval(sampling)
  await tenancy.close()
  await database.close()
  await server.stop()
}
const median = (numbers: readonly number[]): number => [...numbers].sort((a, b) => a - b)[numbers.length >> 1] ?? 0
const [early, late] = [median(samples.slice(2, 8)), median(samples.slice(-6))]
if (late > early * 1.1) faults.push(`the memory in use grew from ${early.toFixed(1)} to ${late.toFixed(1)} MiB`)
console.table(Object.fromEntries(errors))
console.log(`seed ${asked.seed}: ${String(calls)} calls, ${String(Math.round(calls / (time / 1_000)))} a second`)
console.log(`memory in use: ${early.toFixed(1)} MiB early, ${late.toFixed(1)} MiB late`)
console.log(faults.length === 0 ? 'nothing crossed, and nothing was lost' : faults.slice(0, 20).join('\n'))
if (faults.length > 0) process.exitCode = 1
