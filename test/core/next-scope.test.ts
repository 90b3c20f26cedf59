import pg from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { ConflictError, ScopeClosedError, TimeoutError, UnavailableError } from '../../src/core/errors.js'
import type { Org } from '../../src/org.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { keys } from '../faults/writers.js'

const database = useDatabase()

/** All have the one connection, one after the other. */
let pool: pg.Pool
let tenancy: Tenancy
let org: Org
let next: Org

async function open(timeouts: pg.PoolConfig = {}): Promise<void> {
  const options = '-c datestyle=ISO -c timezone=UTC'
  pool = new pg.Pool({ connectionString: database.appUrl, max: 1, options, ...timeouts })
  tenancy = await openTenancy({ pool, keys })
  org = tenancy.forOrg(await createOrganization(database.admin))
  next = tenancy.forOrg(await createOrganization(database.admin))
  await next.tasks.enqueue({ kind: 'theirs' })
}

afterEach(async () => {
  await tenancy.close({ drain: 0 })
  await pool.end()
})

const sleep = 'select pg_sleep(60)'

async function backendOf(org: Org): Promise<number> {
  const [row] = (await org.db.execute('select pg_backend_pid() as pid')) as unknown as { pid: number }[]
  return row?.pid ?? 0
}

/** Polls until the server says so of a backend. */
async function until(pid: number, condition: string): Promise<void> {
  const { admin } = database
  const found = () => admin.query(`select from pg_stat_activity where pid = $1 and ${condition}`, [pid])
  await expect.poll(async () => (await found()).length, { interval: 5, timeout: 60_000 }).toBe(1)
}

async function untilGone(pid: number): Promise<void> {
  const found = () => database.admin.query('select from pg_stat_activity where pid = $1', [pid])
  await expect.poll(async () => (await found()).length, { interval: 5, timeout: 60_000 }).toBe(0)
}

/** Does something to the backend while it runs the statement. */
async function during(org: Org, call: (org: Org) => Promise<unknown>, harm: string): Promise<unknown> {
  const pid = await backendOf(org)
  const running = call(org)
  running.catch(() => undefined)
  await until(pid, "wait_event = 'PgSleep'")
  await database.admin.query(harm, [pid])
  return running
}

const patient = async (tx: Org): Promise<unknown> => tx.db.execute(sleep)

interface Fault {
  readonly timeouts?: pg.PoolConfig
  readonly happens: () => Promise<unknown>
  readonly expected: new (...args: never[]) => Error
  /** Whether the connection is given up. */
  readonly costs: boolean
}

// The first connection is proved under it too, which takes half a second where six others want the processors.
const enoughToOpen = 2000

const faults: Record<string, Fault> = {
  'the caller throws': {
    happens: () => org.transaction(() => Promise.reject(new RangeError('mine'))),
    expected: RangeError,
    costs: false,
  },
  'the database refuses a statement': {
    happens: async () => {
      await org.transaction(async (tx) => {
        await tx.agents.create({ name: 'Ada', username: 'ada' })
        await tx.agents.create({ name: 'Eve', username: 'ada' })
      })
    },
    expected: ConflictError,
    costs: false,
  },
  'a statement takes too long': {
    timeouts: { statement_timeout: enoughToOpen },
    happens: () => patient(org),
    expected: TimeoutError,
    costs: false,
  },
  'a statement of a transaction takes too long': {
    timeouts: { statement_timeout: enoughToOpen },
    happens: () => org.transaction(patient),
    expected: TimeoutError,
    costs: false,
  },
  'a lock does not become free': {
    timeouts: { lock_timeout: 200 },
    happens: async () => {
      const { admin } = database
      const { id } = await org.agents.create({ name: 'Ada', username: 'ada' })
      await admin.query('begin')
      await admin.query('update platform.agents set name = name where id = $1', [id])
      try {
        await org.transaction((tx) => tx.agents.update(id, { name: 'Eve' }))
      } finally {
        await admin.query('rollback')
      }
    },
    expected: TimeoutError,
    costs: false,
  },
  'somebody cancels a statement': {
    happens: () => during(org, patient, 'select pg_cancel_backend($1)'),
    expected: TimeoutError,
    costs: false,
  },
  'somebody ends the backend while it runs': {
    happens: () => during(org, patient, 'select pg_terminate_backend($1)'),
    expected: UnavailableError,
    costs: true,
  },
  'somebody ends the backend between two statements': {
    happens: () =>
      org.transaction(async (tx) => {
        await tx.tasks.enqueue({ kind: 'never' })
        await database.admin.query('select pg_terminate_backend($1, 60000)', [await backendOf(tx)])
        await tx.tasks.count()
      }),
    expected: UnavailableError,
    costs: true,
  },
  'a transaction idles for too long': {
    timeouts: { idle_in_transaction_session_timeout: 300 },
    happens: () =>
      org.transaction(async (tx) => {
        await tx.tasks.enqueue({ kind: 'never' })
        await untilGone(await backendOf(tx))
        await tx.tasks.count()
      }),
    expected: TimeoutError,
    costs: true,
  },
  'the request is aborted': {
    happens: async () => {
      const controller = new AbortController()
      const scope = tenancy.forOrg(org.id, { signal: controller.signal })
      const pid = await backendOf(org)
      const running = scope.transaction(patient)
      running.catch(() => undefined)
      await until(pid, "wait_event = 'PgSleep'")
      controller.abort()
      await running
    },
    expected: TimeoutError,
    costs: false,
  },
}

describe.each(Object.entries(faults))('when %s', (_, { timeouts, happens, expected, costs }) => {
  test('the caller is told so, and the next one finds nothing of it', async () => {
    await open(timeouts)
    const before = await backendOf(next)
    await expect(happens()).rejects.toThrow(expected)
    const [page, after] = [await next.tasks.list(), await backendOf(next)]
    expect(page.items.map(({ kind }) => kind)).toEqual(['theirs'])
    expect(await org.tasks.count()).toBe(0)
    expect(after === before).toBe(!costs)
    const { rows } = await pool.query(
      "select current_setting('tenantry.org_id', true) as bound, now() = statement_timestamp() as alone",
    )
    expect(rows).toEqual([{ bound: '', alone: true }])
    expect(pool).toMatchObject({ totalCount: 1, idleCount: 1, waitingCount: 0 })
    await expect(pool.query('select from platform.tasks')).rejects.toThrow('no organization is bound')
  })
})

describe('when the tenancy is closed', () => {
  test('a transaction that runs may finish', async () => {
    await open()
    let closing: Promise<void> | undefined
    await org.transaction(async (tx) => {
      await tx.tasks.enqueue({ kind: 'first' })
      closing = tenancy.close({ drain: 60_000 })
      await expect(next.tasks.count()).rejects.toThrow(ScopeClosedError)
      await tx.tasks.enqueue({ kind: 'second' })
    })
    await closing
    const kinds = await database.admin.query('select kind from platform.tasks where org_id = $1 order by id', [org.id])
    expect(kinds).toEqual([{ kind: 'first' }, { kind: 'second' }])
  })

  test('one that does not finish in time is taken back as a whole', async () => {
    await open()
    const work = org.transaction(async (tx) => {
      await tx.tasks.enqueue({ kind: 'first' })
      await tenancy.close({ drain: 0 })
      await tx.tasks.enqueue({ kind: 'second' })
    })
    await expect(work).rejects.toThrow(UnavailableError)
    await expect.poll(() => database.admin.query(openTransactions), { timeout: 60_000 }).toEqual([])
    expect(await database.admin.query('select from platform.tasks where org_id = $1', [org.id])).toEqual([])
  })
})

const openTransactions = `select from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid() and state like 'idle in transaction%'`
