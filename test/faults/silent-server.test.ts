import { afterAll, beforeAll, expect, test } from 'vitest'
import { CommitUnknownError, PoolTimeoutError, UnavailableError } from '../../src/core/errors.js'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { type Proxy, startProxy } from '../support/proxy.js'
import {
  everything,
  expectKept,
  expectNoLeakWarning,
  keys,
  minutes,
  newOrganizations,
  someWork,
  tally,
  untilAnswered,
  useEachConnection,
  watchedPool,
  writeDuring,
} from './writers.js'

const silences = everything ? 20 : 1
/** How long the server may be silent for a statement, and for a connection. */
const timeouts = { statement_timeout: 500, connectionTimeoutMillis: 500 }

const database = useDatabase()
let proxy: Proxy

beforeAll(async () => {
  proxy = await startProxy(database.appUrl)
})
afterAll(() => proxy.close())
expectNoLeakWarning()

const fallSilent = {
  'nothing arrives, neither here nor there': () => (proxy.filter = () => undefined),
  'what is sent arrives, and no answer comes back': () =>
    (proxy.filter = (bytes, direction) => (direction === 'to server' ? bytes : undefined)),
  'all arrives when nobody waits for it any more': () => (proxy.isStalled = true),
}

function speak(): void {
  proxy.filter = (bytes) => bytes
  proxy.isStalled = false
}

test.each(Object.entries(fallSilent))(
  `a server that goes silent ${silences} times under load loses no write: %s`,
  minutes,
  async (_, silence) => {
    const { admin } = database
    const orgIds = await newOrganizations(admin)
    const { pool, listeners, expectClean } = watchedPool({ connectionString: proxy.url, ...timeouts })
    const tenancy = await untilAnswered(() => openTenancy({ pool, keys }))
    await untilAnswered(() => useEachConnection(tenancy, orgIds))
    const before = listeners()
    const writes = await writeDuring(tenancy, orgIds, async (soFar) => {
      for (let silent = 0; silent < silences; silent++) {
        await someWork(tenancy.forOrg(orgIds[0] as string))
        const heard = soFar.length
        silence()
        // Each of the eight writers has been told twice.
        await expect.poll(() => soFar.length, { timeout: 60_000 }).toBeGreaterThan(heard + 16)
        speak()
        await someWork(tenancy.forOrg(orgIds[0] as string))
      }
    })
    await expectNobodyElse()
    await expectKept(admin, writes)
    const { done, unknown, failed } = tally(writes)
    if (everything) console.info({ silences, done, unknown, failed })
    expect(done).toBeGreaterThan(silences)
    // Of one silence every writer may be told in the middle of a transaction, whose end is then no question.
    expect(unknown + failed).toBeGreaterThan(silences)

    await untilAnswered(() => useEachConnection(tenancy, orgIds))
    expect(listeners()).toBe(before)
    await expectClean()
    await tenancy.close()
    await pool.end()
  },
)

test('every kind of call is told of a silent server, and the next scope is clean', async () => {
  const [one, other] = [await createOrganization(database.admin), await createOrganization(database.admin)]
  const tenancy = await untilAnswered(() => openTenancy({ url: proxy.url, pool: { max: 4, ...timeouts }, keys }))
  const [org, next] = [tenancy.forOrg(one), tenancy.forOrg(other)]
  await next.tasks.enqueue({ kind: 'theirs' })
  const broken = org.transaction(async (tx) => {
    await tx.tasks.enqueue({ kind: 'never' })
    proxy.filter = () => undefined
    await tx.tasks.count()
  })
  await expect(broken).rejects.toThrow(UnavailableError)
  speak()
  await untilAnswered(() => useEachConnection(tenancy, [one, other, one]))

  proxy.filter = () => undefined
  const told = await Promise.allSettled([
    org.tasks.list(),
    org.tasks.enqueue({ kind: 'unknown' }),
    org.batch((inner) => [inner.tasks.enqueue({ kind: 'unknown' }), inner.tasks.enqueue({ kind: 'unknown' })]),
    org.batch((inner) => [inner.tasks.count(), inner.tasks.enqueue({ kind: 'never' })]),
    tenancy.ping(),
  ])
  expect(told.map((one) => (one.status === 'rejected' ? (one.reason as unknown) : one.value))).toEqual([
    expect.any(UnavailableError),
    expect.any(CommitUnknownError),
    expect.any(CommitUnknownError),
    expect.any(UnavailableError),
    expect.any(PoolTimeoutError),
  ])
  await expect(openTenancy({ url: proxy.url, pool: timeouts, keys })).rejects.toThrow(UnavailableError)
  speak()
  expect(await org.tasks.count()).toBe(0)
  expect((await next.tasks.list()).items.map(({ kind }) => kind)).toEqual(['theirs'])
  await tenancy.close()
})

/** What was given up here may still be at work there. */
async function expectNobodyElse(): Promise<void> {
  const atWork = `select from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'`
  await expect.poll(() => database.admin.query(atWork), { timeout: 60_000 }).toEqual([])
}
