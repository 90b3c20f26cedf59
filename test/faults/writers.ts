import { afterAll, beforeAll, expect } from 'vitest'
import pg from 'pg'
import {
  CommitUnknownError,
  PoolTimeoutError,
  ResourceExhaustedError,
  TenantryError,
  UnavailableError,
} from '../../src/core/errors.js'
import type { Session } from '../../src/database/session.js'
import type { Org } from '../../src/org.js'
import type { Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'

/** With TENANTRY_ALL=1 as many faults as nobody would wait for every day. */
export const everything = process.env.TENANTRY_ALL === '1'
export const minutes = everything ? { timeout: 1_800_000 } : {}
export const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`

type Outcome = 'done' | 'unknown' | 'failed'

/** One unit of work: its tasks are written together or not at all. */
export interface Write {
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

export const newOrganizations = async (admin: Session): Promise<string[]> => [
  await createOrganization(admin),
  await createOrganization(admin),
  await createOrganization(admin),
]

/** Twice as many writers as connections, until `harm`, who sees what came of the writes so far, has done its worst. */
export async function writeDuring(
  tenancy: Tenancy,
  orgIds: readonly string[],
  harm: (writes: readonly Write[]) => Promise<unknown>,
): Promise<Write[]> {
  const writes: Write[] = []
  let isOver = false
  const over = harm(writes).finally(() => (isOver = true))
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
export async function expectKept(admin: Session, writes: readonly Write[]): Promise<void> {
  const rows = await admin.query<{ task: string; times: number }>(
    "select org_id || ' ' || kind as task, count(*)::int as times from platform.tasks where org_id = any($1) group by 1",
    [[...new Set(writes.map(({ orgId }) => orgId))]],
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

export const tally = (writes: readonly Write[]): Record<Outcome, number> => {
  const count = (outcome: Outcome) => writes.filter((one) => one.outcome === outcome).length
  return { done: count('done'), unknown: count('unknown'), failed: count('failed') }
}

/** Repeats the call until it is answered: a busy machine may take longer than these tests wait for a silent server. */
export async function untilAnswered<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call()
    } catch (error) {
      if (!(error instanceof UnavailableError || error instanceof PoolTimeoutError)) throw error
    }
  }
}

/** So that between two faults there is something to do harm to. */
export async function someWork(org: Org): Promise<void> {
  for (let served = 0; served < 10;) {
    try {
      await org.tasks.count()
      served++
    } catch (error) {
      if (!(error instanceof TenantryError)) throw error
    }
  }
}

/** A pool of the host's, whose connections can be looked at: what listens to each, and what it is bound to. */
export function watchedPool(config: pg.PoolConfig) {
  const pool = new pg.Pool({ max: 4, connectionTimeoutMillis: 20_000, ...config })
  const listeners = new Map<pg.PoolClient, number[]>()
  pool.on('acquire', (client) => {
    const { connection } = client as unknown as { connection: NodeJS.EventEmitter & { stream: NodeJS.EventEmitter } }
    listeners.set(client, [client, connection, connection.stream].map(countListeners))
  })
  pool.on('remove', (client) => listeners.delete(client))
  return {
    pool,
    /** As many as the connection with the most of them has. */
    listeners: () => Math.max(...[...listeners.values()].flat()),
    /** Every connection is free, bound to nobody, and in no transaction. */
    expectClean: async (): Promise<void> => {
      // A connection may still be under way for a call that another one has served, and may yet be refused: how many there are says
      // nothing. One that is not given back is never free.
      const counts = () => [pool.totalCount - pool.idleCount, pool.waitingCount]
      await expect.poll(counts, { timeout: 20_000 }).toEqual([0, 0])
      const reads = [1, 2, 3, 4].map(() => pool.query('select from platform.tasks'))
      expect(await Promise.allSettled(reads)).toEqual(
        reads.map(() => ({ status: 'rejected', reason: expect.objectContaining({ message: unbound }) as unknown })),
      )
    },
  }
}

const unbound = 'no organization is bound'

const countListeners = (emitter: NodeJS.EventEmitter): number =>
  emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0)

/** Uses all four connections at once, twice: none has been used less than another. */
export async function useEachConnection(tenancy: Tenancy, orgIds: readonly string[]): Promise<void> {
  for (let round = 0; round < 2; round++) {
    await Promise.all([0, 1, 2, 3].map((index) => tenancy.forOrg(orgIds[index % 3] as string).tasks.count()))
  }
}

/** Node warns of listeners that pile up, and goes on. Errors that nobody catches are vitest's to report. */
export function expectNoLeakWarning(): void {
  const warnings: Error[] = []
  const listen = (warning: Error): void => {
    if (warning.name === 'MaxListenersExceededWarning') warnings.push(warning)
  }
  beforeAll(() => {
    process.on('warning', listen)
  })
  afterAll(() => {
    process.off('warning', listen)
    expect(warnings).toEqual([])
  })
}
