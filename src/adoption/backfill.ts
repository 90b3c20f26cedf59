import { setTimeout as pause } from 'node:timers/promises'
import { MigrationError } from '../core/errors.js'
import type { Session } from '../database/session.js'
import { withContext } from '../database/session-failure.js'
import { retriedTransaction } from '../migrations/lock-retries.js'
import { inHome } from './home.js'
import { silence } from './silence.js'
import { plainSettings } from './snapshot.js'
import type { BackfillEntry } from './steps/backfill.js'

export interface BackfillOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly table: string; readonly done: number; readonly total: number }) => void
  /** Goes over all rows again, such as after rows have moved to another parent. */
  readonly again?: boolean
  /** The size of a batch is chosen so that it stays under this, in milliseconds. Default: 200. */
  readonly batchMs?: number
}

export interface Backfilled {
  readonly isComplete: boolean
  readonly tables: readonly FilledTable[]
}

export interface FilledTable {
  readonly name: string
  readonly rows: number
  readonly filled: number
  /** Rows that no way reaches. They keep no organization. */
  readonly unreached: number
  readonly isDone: boolean
}

interface Batch {
  readonly rows: number
  readonly filled: number
  readonly unreached: number
  readonly last: readonly string[] | null
}

const first = 500
const most = 20_000

/**
 * Runs `work` while no other session fills the rows of these tables, or checks them before `prove`. Refused where one does. The lock belongs
 * to one physical connection and ends with it.
 */
export async function withBackfillLock<T>(direct: Session, home: string, work: () => Promise<T>): Promise<T> {
  const session = withContext(direct, 'the lock of the backfill')
  const [row] = await session.query<{ locked: boolean }>(
    `select pg_catalog.pg_try_advisory_lock(${lockKey}, 0)) as locked`,
    [home],
  )
  if (row?.locked !== true)
    throw new MigrationError('another backfill of these tables is running, or the step prove. Nothing was done')
  try {
    return await work()
  } finally {
    await session.query(`select pg_catalog.pg_advisory_unlock(${lockKey}, 0))`, [home]).catch(() => undefined)
  }
}

/**
 * Gives every row its organization, in the order of the primary key. Each batch is committed with the key that it ended at, so that another
 * run goes on there, whatever happened to this one. Rows that no way reaches are passed over. Called under the lock of the backfill.
 */
export async function backfill(
  session: Session,
  home: string,
  entries: readonly BackfillEntry[],
  options: BackfillOptions = {},
): Promise<Backfilled> {
  const own = withContext(session, 'the progress of the backfill')
  if (options.again === true) await own.query(`delete from ${inHome(home, 'backfill')}`)
  for (const [done, entry] of entries.entries()) {
    options.onProgress?.({ table: entry.name, done, total: entries.length })
    if (!(await fill(session, home, entry, options))) break
  }
  const tables = await readProgress(own, home, entries)
  return { tables, isComplete: tables.every(({ isDone }) => isDone) }
}

/** What has been filled. A table that nobody has begun has no rows. Empty before `expand`, and from `contract` on. */
export async function readProgress(
  session: Session,
  home: string,
  entries: readonly BackfillEntry[],
): Promise<FilledTable[]> {
  const [place] = await session.query<{ isThere: boolean }>(
    'select pg_catalog.to_regclass($1) is not null as "isThere"',
    [inHome(home, 'backfill')],
  )
  if (place?.isThere !== true) return []
  const rows = await session.query<FilledTable>(
    `select table_name as name, rows::float8 as rows, filled::float8 as filled, unreached::float8 as unreached, is_done as "isDone"
     from ${inHome(home, 'backfill')}`,
  )
  return entries.map(
    ({ name }) => rows.find((row) => row.name === name) ?? { name, rows: 0, filled: 0, unreached: 0, isDone: false },
  )
}

const lockKey = `pg_catalog.hashtextextended('tenantry backfill ' || $1::text`

/** Returns false when it was stopped before the end of the table. */
async function fill(
  session: Session,
  home: string,
  entry: BackfillEntry,
  { signal, batchMs = 200 }: BackfillOptions,
): Promise<boolean> {
  const own = withContext(session, `the backfill of ${entry.table}`)
  let { last, isDone } = await cursorOf(own, home, entry)
  let size = first
  while (!isDone) {
    if (signal?.aborted === true) return false
    await untilOthersAreServed(own, entry, signal)
    const start = performance.now()
    const batch = await runBatch(own, home, entry, last, size)
    const taken = performance.now() - start
    last = batch.last ?? last
    isDone = batch.rows < size
    // Half of the time that a batch may take, since the next rows may be wider. It grows slowly and shrinks at once.
    size = Math.trunc(Math.min(most, size * 2, Math.max(10, (size * batchMs) / 2 / taken)))
  }
  return true
}

async function cursorOf(
  session: Session,
  home: string,
  { name }: BackfillEntry,
): Promise<{ last: readonly string[] | null; isDone: boolean }> {
  const [row] = await session.query<{ last: string[] | null; isDone: boolean }>(
    `select last_key as last, is_done as "isDone" from ${inHome(home, 'backfill')} where table_name = $1`,
    [name],
  )
  return row ?? { last: null, isDone: false }
}

const lockTimeout = 500

function runBatch(
  session: Session,
  home: string,
  { name, take, fill: filling, isSilent, keyLength }: BackfillEntry,
  last: readonly string[] | null,
  size: number,
): Promise<Batch> {
  return retriedTransaction(session, { lockTimeout, attempts: 30 }, async () => {
    await session.query('set transaction isolation level read committed')
    // No operator or function of somebody else is called with the rights of the owner, and another login reads the last key as it was.
    for (const setting of plainSettings) await session.query(setting)
    if (isSilent) await session.query(silence)
    const keys = last ?? Array.from({ length: keyLength }, () => null)
    const [taken] = await session.query<Pick<Batch, 'rows' | 'last'>>(take, [size, ...keys])
    const { rows, last: end } = taken ?? { rows: 0, last: null }
    const [made] =
      end === null ? [] : await session.query<Pick<Batch, 'filled' | 'unreached'>>(filling, [...keys, ...end])
    const batch = { rows, last: end, filled: made?.filled ?? 0, unreached: made?.unreached ?? 0 }
    await session.query(
      `insert into ${inHome(home, 'backfill')} as b (table_name, last_key, rows, filled, unreached, is_done) values ($1, $2, $3, $4, $5, $6)
       on conflict (table_name) do update set last_key = coalesce(excluded.last_key, b.last_key), rows = b.rows + excluded.rows,
         filled = b.filled + excluded.filled, unreached = b.unreached + excluded.unreached, is_done = excluded.is_done`,
      [name, batch.last, batch.rows, batch.filled, batch.unreached, batch.rows < size],
    )
    return batch
  })
}

/** Seconds behind which a replica may be, before the backfill waits for it. */
const mostLag = 10

/** Waits while somebody waits for a lock on the table, and while a replica is behind. */
async function untilOthersAreServed(
  session: Session,
  { on }: BackfillEntry,
  signal: AbortSignal | undefined,
): Promise<void> {
  while (signal?.aborted !== true) {
    const [row] = await session.query<{ waits: boolean }>(
      `select exists (select from pg_catalog.pg_locks l where not l.granted and l.relation = pg_catalog.to_regclass($1)
           and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()))
         or exists (select from pg_catalog.pg_stat_replication r where r.replay_lag > pg_catalog.make_interval(secs => $2)) as waits`,
      [on, mostLag],
    )
    if (row?.waits !== true) return
    await pause(100)
  }
}
