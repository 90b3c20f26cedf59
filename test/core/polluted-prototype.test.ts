import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import type { Org } from '../../src/org.js'
import { agents } from '../../src/schema/index.js'
import { openTenancy, Tenancy } from '../../src/tenancy.js'
import { insertDataKey } from '../../src/testing/data-keys.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import type { ContractCalls, ContractCase } from '../../src/testing/isolation-contract.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { eachCase, projectsCase } from '../isolation/contract-cases.js'
import { writeEveryWay } from '../isolation/every-statement.js'
import { polluted, type Pollution, pollutions } from '../support/pollution.js'
import { recording, type Sent } from '../support/recording-executor.js'

const database = useDatabase()
const secrets = secretsOf(passingKeyring())

let tenancy: Tenancy
let log: readonly Sent[]
let everything: Run
let some: Run

type Work = (org: Org, outcomes: unknown[]) => Promise<void>

interface Run {
  readonly sent: readonly string[]
  readonly outcomes: readonly string[]
}

beforeAll(async () => {
  // One connection, which is open before anything is polluted: what pg itself inherits is not asked here.
  const recorded = recording(openNodePostgres({ pool: { connectionString: database.appUrl, max: 1 } }))
  log = recorded.log
  tenancy = new Tenancy(recorded.executor, {
    ...secrets,
    tokens: { ...secrets.tokens, ...numberedTokens() },
  })
  await tenancy.ping()
  everything = await run(all, [])
  expect(everything.sent.length).toBeGreaterThan(150)
  some = await run(alone, [])
})

afterAll(() => tenancy.close({ drain: 0 }))

test.each([true, false])('all names at once, enumerable: %s, change no statement and no result', async (enumerable) => {
  const dirty = await run(
    all,
    pollutions.filter((one) => one.enumerable === enumerable),
  )
  expect(dirty.outcomes).toEqual(everything.outcomes)
  expect(dirty.sent).toEqual(everything.sent)
})

// One name could hide what another one does.
test.each(pollutions)(
  'an inherited $name, enumerable: $enumerable, changes no statement and no result',
  async (one) => {
    const dirty = await run(alone, [one])
    expect(dirty.outcomes).toEqual(some.outcomes)
    expect(dirty.sent).toEqual(some.sent)
  },
)

async function run(works: readonly Work[], inherited: readonly Pollution[]): Promise<Run> {
  const ids: string[] = []
  while (ids.length < works.length) ids.push(await createOrganization(database.admin))
  for (const id of ids) await insertDataKey(database.admin, secrets.dataKeys, id)
  const outcomes: unknown[] = []
  const from = log.length
  const restores: (() => void)[] = []
  try {
    for (const one of inherited) restores.push(polluted(one))
    for (const [index, work] of works.entries()) await work(tenancy.forOrg(ids[index] ?? ''), outcomes)
  } finally {
    for (const restore of restores) restore()
  }
  const normal = normalizer()
  return { sent: log.slice(from).map((one) => normal(one)), outcomes: outcomes.map((one) => normal(one)) }
}

const callsOf =
  <Repository>({ repository, make, calls }: ContractCase<Repository>) =>
  async (org: Org, outcomes: unknown[]): Promise<void> => {
    const id = await make(org, database.admin)
    for (const name of Object.keys(calls) as (keyof ContractCalls<Repository>)[]) {
      outcomes.push(await outcomeOf(() => calls[name]?.(org.repository(repository), id)))
    }
  }

/** Each organization gets the same tokens, so that two runs can be compared. */
function numberedTokens(): Pick<typeof secrets.tokens, 'makeKey' | 'makeInvitation'> {
  const made = new Map<string, number>()
  const next = (orgId: string): string => {
    const count = (made.get(orgId) ?? 0) + 1
    made.set(orgId, count)
    return `token ${count}`
  }
  return {
    makeKey(orgId) {
      const token = next(orgId)
      return { token, keyPrefix: token, lastFour: 'last', keyHash: Buffer.from(token), pepperId: 'test' }
    },
    makeInvitation(orgId) {
      const token = next(orgId)
      return { token, tokenHash: Buffer.from(token), pepperId: 'test' }
    },
  }
}

async function everyWrite(org: Org, outcomes: unknown[]): Promise<void> {
  outcomes.push(await outcomeOf(() => writeEveryWay(org)))
}

const Bots = defineRepository(agents, {
  create: z.strictObject({ name: z.string(), username: z.string(), model: z.string().optional() }),
  patch: z.strictObject({ name: z.string().optional(), model: z.string().optional() }),
})

async function scopes(org: Org, outcomes: unknown[]): Promise<void> {
  const bots = org.repository(Bots)
  const work = [
    () => bots.create({ name: 'Ada', username: 'ada' }),
    () => bots.list(),
    () => bots.list({ name: { gte: 'A' } }),
    () => bots.count(),
    () => org.transaction(async (inner) => (await inner.agents.list()).items.length),
    () => org.transaction((inner) => inner.transaction((nested) => nested.agents.count())),
    () => org.batch((org) => [org.agents.count(), org.agents.list({ orderBy: 'name' })]),
    () => org.db.select({ name: agents.name }).from(agents),
    () => org.db.update(agents).set({ name: 'Eve' }),
    async () => bots.update((await bots.list()).items[0]?.id ?? '', { name: 'Ada' }),
    async () => bots.delete((await bots.list()).items[0]?.id ?? ''),
  ]
  for (const one of work) outcomes.push(await outcomeOf(one))
}

async function outcomeOf(work: () => unknown): Promise<unknown> {
  try {
    const value = await work()
    if (typeof value !== 'object' || value === null || !(Symbol.asyncIterator in value)) return value
    const rows: unknown[] = []
    for await (const row of value as AsyncIterable<unknown>) rows.push(row)
    return rows
  } catch (error) {
    return String(error)
  }
}

/** As text, in which what differs from run to run is named by the order of its first appearance. */
function normalizer(): (value: unknown) => string {
  const ids = new Map<string, number>()
  const idOf = (id: string) => `id ${ids.get(id) ?? ids.set(id, ids.size).size}`
  return (value) =>
    JSON.stringify(value, (key, item: unknown) => {
      // A ciphertext is another one each time.
      if (key === 'data' && Array.isArray(item)) return `${item.length} bytes`
      if (typeof item !== 'string') return item
      if (key === 'next' || key === 'previous') return 'a cursor'
      return item
        .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, idOf)
        .replaceAll(/\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d)?/g, 'a moment')
        .replaceAll(/^[a-z]{20}$/g, 'a ref')
    })
}

/** Every public method of every repository, every write of the core, and the scope's own methods. */
const all: readonly Work[] = [...eachCase(callsOf), everyWrite, scopes]
const alone: readonly Work[] = [callsOf(projectsCase), scopes]

test('inherited options of the front door and of a definition are not read', async () => {
  const restores = [
    polluted({ name: 'embedded', value: true, enumerable: true }),
    polluted({ name: 'allowRelations', value: 'none', enumerable: true }),
    polluted({ name: 'drain', value: -1, enumerable: true }),
    polluted({ name: 'permission', value: 1, enumerable: true }),
    polluted({ name: 'parents', value: { name: agents }, enumerable: true }),
    polluted({ name: 'references', value: [{ table: agents, property: 'none' }], enumerable: true }),
  ]
  try {
    const opened = await openTenancy({ url: database.appUrl, keys: `k:${Buffer.alloc(32, 1).toString('base64')}` })
    onTestFinished(() => opened.close({ drain: 0 }))
    const Others = defineRepository(agents, { create: z.strictObject({}), patch: z.strictObject({}) })
    const org = opened.forOrg(await createOrganization(database.admin))
    expect(await org.repository(Others).count()).toBe(0)
    await opened.close()
  } finally {
    for (const restore of restores.reverse()) restore()
  }
})
