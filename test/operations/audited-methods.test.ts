import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { loadKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import type { Org } from '../../src/org.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createOrganization, createUser } from '../../src/testing/fixtures.js'
import type { ContractCase } from '../../src/testing/isolation-contract.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { insertDataKey } from '../../src/testing/data-keys.js'
import { orgCases, otherCases } from '../isolation/contract-cases.js'
import { projectCases } from '../isolation/project-cases.js'
import { auditedRows, type Entry, entriesOf, faultsOf } from '../support/audited-rows.js'
import { keys } from '../support/use-teams.js'

const database = useDatabase()
const secrets = secretsOf(loadKeyring(keys))
const request = { id: 'request-1', ip: '192.0.2.7', userAgent: 'test' }
const author = {
  actor_kind: 'system',
  actor_id: null,
  actor_label: 'nightly',
  request_id: request.id,
  ip_address: request.ip,
  user_agent: request.userAgent,
}

let tenancy: Tenancy
beforeAll(async () => {
  tenancy = await openTenancy({ url: database.appUrl, keys })
})
afterAll(() => tenancy.close({ drain: 0 }))

interface Method {
  readonly name: string
  readonly repository: string
  /** Calls it in the scope, or in one that `run` opens, on a row of a new organization. */
  readonly on: (id: 'of its row' | 'of no row', run: Run) => Promise<Outcome>
}

type Call = (org: Org) => unknown
type Run = (org: Org, call: Call) => Promise<unknown>

interface Outcome {
  readonly error: unknown
  readonly entries: readonly Entry[]
  readonly faults: readonly string[]
  readonly isChanged: boolean
}

// Cases that make several changes of one row in one call, as one call.
const single: Readonly<Record<string, { prepare: () => Promise<string>; call: (org: Org, id: string) => unknown }>> = {
  'members.add': {
    prepare: () => createUser(database.admin),
    call: ({ members }, userId) => members.add({ userId, email: `${userId}@example.com`, role: 'worker' }),
  },
}

const methods = Object.entries({ ...orgCases, ...projectCases, ...otherCases }).flatMap(([name, one]) =>
  methodsOf(name, one),
)

function methodsOf(repository: string, one: ContractCase<object>): Method[] {
  const calls = one.calls as Readonly<Record<string, (all: object, id: string) => unknown>>
  return Object.keys(calls).map((name) => ({
    name: `${repository}.${name}`,
    repository,
    async on(which, run) {
      const orgId = await createOrganization(database.admin)
      await insertDataKey(database.admin, secrets.dataKeys, orgId)
      const backend = tenancy.forOrg(orgId)
      const made = await one.make(backend, database.admin)
      const prepare = one.prepare as Readonly<Record<string, (org: Org, id: string) => Promise<unknown>>> | undefined
      const alone = single[`${repository}.${name}`]
      const prepared = await (alone === undefined ? prepare?.[name]?.(backend, made) : alone.prepare())
      const own = typeof prepared === 'string' ? prepared : made
      const id = which === 'of its row' ? own : newId()
      const [before, earlier] = [await auditedRows(database.admin, orgId), await entriesOf(database.admin, orgId)]
      const scope = tenancy.forOrg(orgId, { actor: tenancy.job('nightly'), request })
      const call: Call = (org) =>
        alone === undefined ? calls[name]?.(org.repository(one.repository), id) : alone.call(org, id)
      const error = await run(scope, call).then(
        () => undefined,
        (failure: unknown) => failure,
      )
      const after = await auditedRows(database.admin, orgId)
      const entries = (await entriesOf(database.admin, orgId)).slice(earlier.length)
      return {
        error,
        entries,
        faults: faultsOf(before, after, entries),
        isChanged: [...before, ...after].length > 0 && faultsOf(before, after, []).length > 0,
      }
    },
  }))
}

const finished = async (value: unknown): Promise<void> => {
  const awaited = await value
  if (typeof awaited !== 'object' || awaited === null || !(Symbol.asyncIterator in awaited)) return
  for await (const _ of awaited as AsyncIterable<unknown>);
}

const alone: Run = (org, call) => finished(call(org))
const inKeptSavepoint: Run = (org, call) =>
  org.transaction((outer) => outer.transaction((inner) => finished(call(inner))))
const inLostSavepoint: Run = (org, call) =>
  org.transaction(async (outer) => {
    const lost = outer.transaction(async (inner) => {
      await finished(call(inner))
      throw new Error('rolled back')
    })
    await expect(lost).rejects.toThrow('rolled back')
  })
const inBatch: Run = (org, call) => org.batch((inner) => [call(inner as never)] as never)

const isRead = ({ name }: Method) =>
  /\.(?:find|get|list|stream|count|exists|sum$|min$|max$|due|tools$|permissionsOf|summary|balance|entries|evaluate|overrides|query)/.test(
    name,
  )
const reads = methods.filter(isRead)
const writes = methods.filter((method) => !isRead(method))

/** An entry that says that nothing is different: the call was made, and the row had these values before. */
const isEmpty = ({ changes }: Entry) => Object.keys(changes ?? {}).length === 0

test.each(reads)('$name writes no entry', async ({ on }) => {
  expect((await on('of its row', alone)).entries).toEqual([])
})

describe.each(writes)('$name', ({ on, name }) => {
  test.each([
    ['alone', alone],
    ['in a savepoint that is kept', inKeptSavepoint],
  ] as const)('%s writes one entry for each row that it changes, with the old and the new values', async (_, run) => {
    const { error, entries, faults, isChanged } = await on('of its row', run)
    expect({ error, faults }).toEqual({ error: undefined, faults: [] })
    if (isAudited(name)) expect(entries.length).toBeGreaterThan(0)
    if (!isChanged) expect(entries.every(isEmpty)).toBe(true)
    for (const entry of entries) expect(entry).toMatchObject(author)
  })

  test('in a savepoint that is rolled back it writes none', async () => {
    const { error, entries, isChanged } = await on('of its row', inLostSavepoint)
    expect({ error, entries, isChanged }).toEqual({ error: undefined, entries: [], isChanged: false })
  })

  test('in a batch it writes the same, or is refused because it has several steps', async () => {
    const { error, faults, entries, isChanged } = await on('of its row', inBatch)
    expect(faults).toEqual([])
    if (error !== undefined) {
      expect(inspect(error)).toContain('batch: only calls of one statement')
      expect({ entries, isChanged }).toEqual({ entries: [], isChanged: false })
      return
    }
    if (isAudited(name)) expect(entries.length).toBeGreaterThan(0)
    if (!isChanged) expect(entries.every(isEmpty)).toBe(true)
  })

  test('that is refused writes none', async () => {
    const { error, entries, faults } = await on('of no row', alone)
    expect(faults).toEqual([])
    if (error !== undefined) expect(entries).toEqual([])
  })
})

/** Tasks, usage, measurements and events of connections are not audited. */
const isAudited = (name: string) => !/^(?:tasks|usage|connections|databaseMetrics|projectMetrics)\./.test(name)
