import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { defineRepository } from '../../src/core/define-repository.js'
import type { Org } from '../../src/org.js'
import { agentPatch, agents, newAgent } from '../../src/schema/agents.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const Bots = defineRepository(agents, { create: newAgent, patch: agentPatch })

type Change = (org: Org, id: string) => PromiseLike<unknown>

const rename: Change = (org, id) => org.agents.update(id, { name: 'Renamed' })
const setCompany =
  (companyName: string): Change =>
  (org) =>
    org.billingProfile.set({ companyName })
const use =
  (key: string): Change =>
  (org) =>
    org.usage.record({ key, metric: 'mails', quantity: '1', at: new Date(Date.UTC(2026, 2, 1)) })

test.each<[name: string, table: string, first: Change, second: Change]>([
  ['an update', 'agents', rename, (org, id) => org.agents.update(id, { name: 'Again' })],
  ['a change of state', 'agents', rename, (org, id) => org.agents.activate(id)],
  ['an update of rows', 'agents', rename, (org, id) => org.repository(Bots).updateWhere({ id }, { name: 'Again' })],
  ['a delete', 'agents', rename, (org, id) => org.agents.delete(id)],
  ['a restore', 'agents', (org, id) => org.agents.delete(id), (org, id) => org.agents.restore(id)],
  ['a put', 'customer_profiles', setCompany('First'), setCompany('Second')],
  ['a total of usage', 'usage_metrics', use('first'), use('second')],
])('%s in a transaction is later than what was committed after its start', async (_, table, first, second) => {
  const { org } = await teams.newTeam()
  const { id } = await org.agents.create({ name: 'Ada', username: 'ada' })
  // A Date would lose the microseconds.
  const updatedAt = async () => {
    const text = `select (extract(epoch from updated_at) * 1000000)::bigint::text as at from platform.${table} where org_id = $1`
    const [row] = await teams.database.admin.query<{ at: string }>(text, [org.id])
    return Number(row?.at)
  }
  let before = Number.NaN
  await org.transaction(async (inner) => {
    await inner.agents.count()
    await first(org, id)
    before = await updatedAt()
    await second(inner, id)
  })
  expect(await updatedAt()).toBeGreaterThan(before)
})

// `now()` is the start of the transaction: before every lock that it took, and before other times of the same statement.
test('no statement of the library sets updated_at to the start of its transaction', () => {
  const source = join(import.meta.dirname, '../../src')
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  expect(files.length).toBeGreaterThan(200)
  const found = files.flatMap((file) =>
    readFileSync(join(source, file), 'utf8')
      .split('\n')
      .filter((line) => /updated_at"? = (?:pg_catalog\.)?(?:now\(|current_timestamp)/i.test(line))
      .map((line) => `${file}: ${line.trim()}`),
  )
  expect(found).toEqual([])
})
