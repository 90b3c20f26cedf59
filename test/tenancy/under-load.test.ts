import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  CommitUnknownError,
  PoolTimeoutError,
  ResourceExhaustedError,
  TenantryError,
  UnavailableError,
} from '../../src/core/errors.js'
import { openSession, type Session } from '../../src/database/session.js'
import type { Org } from '../../src/org.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { type CrashingServer, startCrashingServer } from './crashing-server.js'

// With TENANTRY_ALL=1 as many as nobody would wait for every day.
const everything = process.env.TENANTRY_ALL === '1'
const kills = everything ? 500 : 20
const crashes = everything ? 20 : 2
const minutes = { timeout: 1_800_000 }
const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`

const database = useDatabase()

type Outcome = 'done' | 'unknown' | 'failed'

/** One unit of work: its tasks are written together or not at all. */
interface Write {
  readonly orgId: string
  readonly kinds: readonly string[]
  readonly outcome: Outcome
}

/** What the caller is told of a fault. Anything else is one that it should never get. */
function outcomeOf(error: unknown): Outcome {
  if (error instanceof CommitUnknownError) return 'unknown'
  if (
    error instanceof UnavailableError ||
    error instanceof PoolTimeoutError ||
    error instanceof ResourceExhaustedError
  ) {
    return 'failed'
  }
  throw error
}

/** Each way to write in turn. A task is nothing that is unique: one that is written twice is there twice. */
async function write(org: Org, kinds: readonly string[]): Promise<void> {
  const [first = '', second, third] = kinds
  if (second === undefined) await org.tasks.enqueue({ kind: first })
  else if (third === undefined) await org.batch((inner) => kinds.map((kind) => inner.tasks.enqueue({ kind })))
  else {
    await org.transaction(async (tx) => {
      await tx.tasks.enqueue({ kind: first })
      await tx.transaction((inner) => inner.tasks.enqueue({ kind: second }))
      await tx.tasks.enqueue({ kind: third })
    })
  }
}

/** Twice as many writers as connections, until `faults` has done its worst. */
async function writeDuring(tenancy: Tenancy, orgIds: readonly string[], faults: Promise<unknown>): Promise<Write[]> {
  const writes: Write[] = []
  let isOver = false
  const over = faults.finally(() => (isOver = true))
  let next = 0
  const writer = async (): Promise<void> => {
    while (!isOver) {
      const index = next++
      const orgId = orgIds[index % orgIds.length] as string
      const kinds = [`${index} a`, `${index} b`, `${index} c`].slice(0, 1 + (index % 3))
      const outcome = await write(tenancy.forOrg(orgId), kinds).then((): Outcome => 'done', outcomeOf)
      writes.push({ orgId, kinds, outcome })
    }
  }
  await Promise.all([over, ...Array.from({ length: 8 }, writer)])
  return writes
}

/** What was acknowledged is there once, what failed is not, what is unknown is there as a whole or not at all. */
async function expectKept(admin: Session, writes: readonly Write[]): Promise<void> {
  const rows = await admin.query<{ task: string; times: number }>(
    "select org_id || ' ' || kind as task, count(*)::int as times from platform.tasks group by 1",
  )
  const stored = new Map(rows.map(({ task, times }) => [task, times]))
  const wrong = writes.filter(({ orgId, kinds, outcome }) => {
    const times = kinds.map((kind) => stored.get(`${orgId} ${kind}`) ?? 0)
    const isThere = times.every((count) => count === 1)
    const isNotThere = times.every((count) => count === 0)
    return !((isThere && outcome !== 'failed') || (isNotThere && outcome !== 'done'))
  })
  expect(wrong).toEqual([])
  const written = new Set(writes.flatMap(({ orgId, kinds }) => kinds.map((kind) => `${orgId} ${kind}`)))
  expect(rows.filter(({ task }) => !written.has(task))).toEqual([])
}

/** A pool of the host's, whose connections can be looked at: what listens to each, and what it is bound to. */
function watchedPool(connectionString: string) {
  const pool = new pg.Pool({ connectionString, max: 4, connectionTimeoutMillis: 20_000 })
  const listeners = new Map<pg.PoolClient, number[]>()
  pool.on('acquire', (client) => {
    const { connection } = client as unknown as { connection: NodeJS.EventEmitter & { stream: NodeJS.EventEmitter } }
    listeners.set(client, [client, connection, connection.stream].map(countListeners))
  })
  pool.on('remove', (client) => listeners.delete(client))
  return { pool, listeners: () => [...listeners.values()] }
}

const countListeners = (emitter: NodeJS.EventEmitter): number =>
  emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0)

const tally = (writes: readonly Write[]) =>
  Object.fromEntries(
    (['done', 'unknown', 'failed'] as const).map((outcome) => [
      outcome,
      writes.filter((one) => one.outcome === outcome).length,
    ]),
  )

test(`${kills} backends that are ended under load lose no write and keep no binding`, minutes, async () => {
  const { admin } = database
  const { pool, listeners } = watchedPool(database.appUrl)
  const tenancy = await openTenancy({ pool, keys })
  const orgIds = [await createOrganization(admin), await createOrganization(admin), await createOrganization(admin)]
  const each = () => Promise.all([1, 2, 3, 4].map((index) => tenancy.forOrg(orgIds[index % 3] as string).tasks.count()))
  const endBackends = async (): Promise<void> => {
    for (let ended = 0; ended < kills;) {
      const rows = await admin.query(`
        select pg_terminate_backend(pid, 1000) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
        order by random() limit 1`)
      ended += rows.length
      await someWork(tenancy.forOrg(orgIds[0] as string))
    }
  }
  await each()
  await each()
  const before = Math.max(...listeners().flat())
  const writes = await writeDuring(tenancy, orgIds, endBackends())
  await expectKept(admin, writes)
  const { done = 0, unknown = 0, failed = 0 } = tally(writes)
  if (everything) console.info({ kills, done, unknown, failed })
  expect(done).toBeGreaterThan(kills)
  expect(unknown + failed).toBeGreaterThan(0)

  await each()
  await each()
  expect(Math.max(...listeners().flat())).toBe(before)
  expect(pool).toMatchObject({ totalCount: 4, idleCount: 4, waitingCount: 0 })
  await Promise.all(
    [1, 2, 3, 4].map(() =>
      expect(pool.query('select from platform.tasks')).rejects.toThrow('no organization is bound'),
    ),
  )
  await tenancy.close()
  await pool.end()
})

test('callers beyond the pool are told so, and served when it is free again', async () => {
  const tenancy = await openTenancy({ url: database.appUrl, pool: { max: 2, connectionTimeoutMillis: 300 }, keys })
  const holding = tenancy.forOrg(await createOrganization(database.admin))
  const beyond = tenancy.forOrg(await createOrganization(database.admin))
  await holding.transaction(async (tx) => {
    await tx.tasks.enqueue({ kind: 'held' })
    await beyond.transaction(async (second) => {
      await second.tasks.count()
      await Promise.all(
        Array.from({ length: 20 }, () => expect(beyond.tasks.count()).rejects.toThrow(PoolTimeoutError)),
      )
    })
  })
  expect(await Promise.all([holding, beyond, beyond].map((one) => one.tasks.count()))).toEqual([1, 0, 0])
  await tenancy.close()
})

let server: CrashingServer

beforeAll(async () => {
  server = await startCrashingServer()
})
afterAll(() => server.stop())

test(`${crashes} crashes of the server under load lose no write, and it is found again`, minutes, async () => {
  const tenancy = await openTenancy({ url: server.appUrl, pool: { max: 4 }, keys })
  const made = await openSession({ url: server.adminUrl })
  const orgIds = [await createOrganization(made), await createOrganization(made), await createOrganization(made)]
  await made.close()
  const crash = async (): Promise<void> => {
    for (let crashed = 0; crashed < crashes; crashed++) {
      await server.crash()
      await someWork(tenancy.forOrg(orgIds[0] as string))
    }
  }
  const writes = await writeDuring(tenancy, orgIds, crash())
  const admin = await openSession({ url: server.adminUrl })
  await expectKept(admin, writes)
  await admin.close()
  const { done = 0, unknown = 0, failed = 0 } = tally(writes)
  if (everything) console.info({ crashes, done, unknown, failed })
  expect(done).toBeGreaterThan(20 * crashes)
  expect(unknown + failed).toBeGreaterThan(0)
  await tenancy.close()
})

/** So that between two faults there is something to do harm to. */
async function someWork(org: Org): Promise<void> {
  for (let served = 0; served < 10;) {
    try {
      await org.tasks.count()
      served++
    } catch (error) {
      if (!(error instanceof TenantryError)) throw error
    }
  }
}
