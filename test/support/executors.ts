import type { PGlite } from '@electric-sql/pglite'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import pg from 'pg'
import type { Executor } from '../../src/core/executor.js'
import { openEmbedded } from '../../src/database/embedded.js'
import { openPGlite } from '../../src/database/pglite.js'
import { pgBouncer, type PgBouncer, startPgBouncer } from './pgbouncer.js'
import { toySchema, toyRows, useToySchema } from './toy-schema.js'

const ways = [
  'an implicit transaction',
  'a pool of the host’s',
  'BEGIN and COMMIT around each call',
  'PgBouncer',
  'the embedded database',
] as const

/** Each way to reach a database. The pooler is left out where its program is not installed. */
export const executorKinds = ways.filter((way) => way !== 'PgBouncer' || pgBouncer !== undefined)
export type ExecutorKind = (typeof ways)[number]

interface OpenedExecutor {
  readonly executor: Executor
  /** How many items of that name there are, as the owner sees them. */
  readonly stored: (name: string) => Promise<number>
  readonly asOwner: (text: string) => Promise<unknown>
}

/** For tests that hold for every executor: over the toy schema, with one connection. */
export function useExecutors(): (kind: ExecutorKind) => Promise<OpenedExecutor> {
  const { database, open } = useToySchema()
  let pooler: PgBouncer | undefined
  let embedded: PGlite
  const pools: pg.Pool[] = []
  beforeAll(async () => {
    pooler = pgBouncer === undefined ? undefined : await startPgBouncer(database.appUrl)
    embedded = await openPGlite(true)
    await embedded.exec('create role tenantry_app nosuperuser; set row_security = on')
    for (const text of toySchema.split(';;')) await embedded.query(text)
  })
  beforeEach(async () => {
    await asOwner('truncate platform.items')
    await asOwner(toyRows)
  })
  afterEach(() => asOwner('reset role'))
  afterAll(async () => {
    await Promise.all(pools.map((pool) => pool.end()))
    await pooler?.stop()
    await embedded.close()
  })

  async function asOwner<Row>(text: string, values: unknown[] = []): Promise<Row[]> {
    await embedded.query('set session authorization postgres')
    const { rows } = await embedded.query<Row>(text, values)
    await embedded.query('set session authorization tenantry_app')
    return rows
  }

  const count = 'select count(*)::int as n from platform.items where name = $1'
  const onServer = (executor: Executor): OpenedExecutor => ({
    executor,
    asOwner: (text) => database.admin.query(text),
    stored: async (name) => (await database.admin.query<{ n: number }>(count, [name]))[0]?.n ?? NaN,
  })
  const openers: Record<ExecutorKind, () => Promise<OpenedExecutor> | OpenedExecutor> = {
    'an implicit transaction': () => onServer(open()),
    'a pool of the host’s': () => {
      const pool = new pg.Pool({ connectionString: database.appUrl, max: 1, options: '-c timezone=UTC' })
      pools.push(pool)
      return onServer(open({ pool }))
    },
    'BEGIN and COMMIT around each call': () => onServer(open({ blocks: true })),
    PgBouncer: () => onServer(open({ pool: { connectionString: pooler?.url ?? '' }, isPooled: true })),
    'the embedded database': async () => ({
      executor: await openEmbedded(embedded),
      asOwner,
      stored: async (name) => (await asOwner<{ n: number }>(count, [name]))[0]?.n ?? NaN,
    }),
  }
  return async (kind) => openers[kind]()
}
