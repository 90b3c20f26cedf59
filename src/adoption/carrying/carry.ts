import { quoted } from '../../core/statements/column-plan.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { inHome } from '../home.js'
import { type CarriedTable, waitingReasons } from './carried-table.js'
import { carryKeys } from './carry-rows.js'
import { forget, isMarked } from './carrying-home.js'
import type { Carrying, ProgressOf } from './carrying.js'
import { carryingTransaction } from './carrying-transaction.js'
import { goneOf, removeExtra, removeRows, removeUncarried } from './remove-rows.js'

export interface CarryOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: ProgressOf
  /** The number of rows of the first batch. Later ones are chosen by the time that one takes. */
  readonly batch?: number
}

export interface CarriedRows {
  readonly name: string
  readonly rows: number
  /** Rows that have no place in tenantry, and stay where they are. */
  readonly left: readonly { readonly reason: string; readonly rows: number }[]
  readonly isDone: boolean
}

const most = 5000
/** Half of the time that a batch may take, in milliseconds. */
const aim = 100

/** Carries every row, in the order of the keys, and then those that were written meanwhile. Returns false when it was stopped. */
export async function carryRows(carrying: Carrying, options: CarryOptions = {}): Promise<boolean> {
  const { session, home, tables } = carrying
  if (await isMarked(session, home, 'removing')) {
    // A row that was written meanwhile may have a value that cannot be read: it is known to stay only afterwards.
    const drained = await drain(carrying, options.signal)
    if (!drained.isDone) return false
    for (const table of tables.toReversed()) {
      if (options.signal?.aborted === true) return false
      await removeExtra(carrying, table)
    }
    await forget(session, home, 'removing')
  }
  for (const [done, table] of tables.entries()) {
    options.onProgress?.({ table: table.name, done, total: tables.length })
    if (!(await carryTable(carrying, table, options))) return false
  }
  const { isDone } = await drain(carrying, options.signal)
  return isDone
}

async function carryTable(
  carrying: Carrying,
  table: CarriedTable,
  { signal, batch = 200 }: CarryOptions,
): Promise<boolean> {
  const { session, home } = carrying
  const where = `the backfill of ${table.name}`
  const progress = inHome(home, 'progress')
  const [begun] = await withContext(session, where).query<{ last: string | null; isDone: boolean }>(
    `select last_key as last, is_done as "isDone" from ${progress} where table_name = $1`,
    [table.name],
  )
  let last = begun?.last ?? null
  let isDone = begun?.isDone ?? false
  for (let size = batch; !isDone;) {
    if (signal?.aborted === true) return false
    const start = performance.now()
    const keys = await carryingTransaction(session, where, async () => {
      const found = await nextKeys(session, table, last, size)
      const { refused } = await carryKeys(carrying, table, found)
      await note(session, home, table, await removeUncarried(carrying, table, refused))
      await session.query(
        `insert into ${progress} as p (table_name, last_key, rows, is_done) values ($1, $2, $3, $4)
         on conflict (table_name) do update set last_key = coalesce(excluded.last_key, p.last_key), rows = p.rows + excluded.rows, is_done = excluded.is_done`,
        [table.name, found.at(-1) ?? null, found.length, found.length < size],
      )
      return found
    })
    last = keys.at(-1) ?? last
    isDone = keys.length < size
    size = Math.trunc(Math.min(most, size * 2, Math.max(10, (size * aim) / (performance.now() - start))))
  }
  return true
}

async function nextKeys(
  session: Session,
  { source, key }: CarriedTable,
  last: string | null,
  size: number,
): Promise<string[]> {
  const column = `s.${quoted(key.name)}`
  const rows = await session.query<{ key: string }>(
    `select ${column}::text as key from ${source} s where $1::text is null or ${column} > $1::text::${key.type} order by ${column} limit $2`,
    [last, size],
  )
  return rows.map((row) => row.key)
}

/**
 * Carries the rows that were written from `expand` until now, in the order of the writes. The state of a row is read after its key was
 * taken, so that a later write of it is found by its own key.
 */
export async function drain(carrying: Carrying, signal?: AbortSignal): Promise<Drained> {
  const changes = inHome(carrying.home, 'changes')
  const session = withContext(carrying.session, 'the rows written meanwhile')
  const [row] = await session.query<{ last: string | null }>(
    `select pg_catalog.max(c.n)::text as last from ${changes} c`,
  )
  const last = row?.last ?? null
  let kept = 0
  while (last !== null && signal?.aborted !== true) {
    const batch = await carryingTransaction(carrying.session, 'the rows written meanwhile', () =>
      drainBatch(carrying, last),
    )
    kept += batch.kept
    if (batch.taken === 0) return { isDone: true, kept }
  }
  return { isDone: last === null, kept }
}

export interface Drained {
  readonly isDone: boolean
  /** Rows of ours that should be gone, and to which others refer. */
  readonly kept: number
}

/** Carries the rows that stay because of another one, which may have a place by now. */
export async function carryWaiting(carrying: Carrying): Promise<void> {
  const { session, home, tables } = carrying
  const where = 'the rows that stay'
  for (const table of tables) {
    const rows = await withContext(session, where).query<{ key: string }>(
      `select l.key from ${inHome(home, 'left_rows')} l where l.table_name = $1
       and exists (select from pg_catalog.unnest($2::text[]) r where pg_catalog.starts_with(l.reason, r)) order by l.key`,
      [table.name, waitingReasons],
    )
    for (let at = 0; at < rows.length; at += 500)
      await carryingTransaction(session, where, () =>
        carryKeys(
          carrying,
          table,
          rows.slice(at, at + 500).map(({ key }) => key),
        ),
      )
  }
}

/**
 * Carries the first of the noted rows, up to the note `last`, in the transaction of the caller. Returns how many notes it took, and how many
 * it wrote anew, of rows to which others still refer.
 */
export async function drainBatch(
  carrying: Carrying,
  last: string | null = null,
): Promise<{ readonly taken: number; readonly kept: number }> {
  const { session, home, tables } = carrying
  const changes = inHome(home, 'changes')
  const taken = await session.query<{ table: string; key: string }>(
    `delete from ${changes} where n in (select c.n from ${changes} c where $1::bigint is null or c.n <= $1::bigint order by c.n limit 500)
     returning table_name as table, key`,
    [last],
  )
  const keysOf = (name: string) => taken.filter(({ table }) => table === name).map(({ key }) => key)
  const batch: { readonly table: CarriedTable; readonly keys: readonly string[] }[] = []
  for (const table of tables) {
    const keys = keysOf(table.from.name)
    for (const { to, by, of } of followers)
      if (table.to === to && table.from.columns.some(({ name }) => name === by))
        keys.push(...(await followersOf(session, table, by, keysOf(of))))
    if (keys.length > 0) batch.push({ table, keys: [...new Set(keys)] })
  }
  return { taken: taken.length, kept: await carryBatch(carrying, batch) }
}

/**
 * What is gone is removed first, since a new row may take its name; then rows are carried, parents first. What was refused because of one that
 * is removed only afterwards is carried then. Returns how many are noted again.
 */
async function carryBatch(
  carrying: Carrying,
  batch: readonly { readonly table: CarriedTable; readonly keys: readonly string[] }[],
): Promise<number> {
  const { session, home } = carrying
  for (const { table, keys } of batch.toReversed())
    await removeRows(carrying, table, await goneOf(session, table, keys))
  const refused = new Map<CarriedTable, readonly string[]>()
  const carried = new Map<CarriedTable, ReadonlySet<string>>()
  for (const { table, keys } of batch) {
    const result = await carryKeys(carrying, table, keys)
    carried.set(table, new Set(result.carried))
    refused.set(table, result.refused)
  }
  let kept = 0
  for (const { table, keys } of batch.toReversed()) {
    const open = await removeUncarried(
      carrying,
      table,
      keys.filter((key) => carried.get(table)?.has(key) !== true),
    )
    await note(session, home, table, open)
    kept += open.length
  }
  for (const [table, keys] of refused) await carryKeys(carrying, table, keys)
  return kept
}

/** Writes the keys down as those of rows that are to be carried again. */
async function note(session: Session, home: string, { from }: CarriedTable, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return
  await session.query(
    `insert into ${inHome(home, 'changes')} (table_name, key) select $1, key from pg_catalog.unnest($2::text[]) key`,
    [from.name, keys],
  )
}

/** Rows that are carried with a value of another one: the address of a person, and whether a subscription is there. */
const followers = [
  { to: 'organization_members', by: 'user_id', of: 'users' },
  { to: 'invoices', by: 'subscription_id', of: 'subscriptions' },
]

async function followersOf(
  session: Session,
  { source, key }: CarriedTable,
  by: string,
  keys: readonly string[],
): Promise<string[]> {
  if (keys.length === 0) return []
  const rows = await session.query<{ key: string }>(
    `select s.${quoted(key.name)}::text as key from ${source} s where s.${quoted(by)} = any ($1::text[]::uuid[])`,
    [keys],
  )
  return rows.map((row) => row.key)
}

/** How far the rows are carried, and which stay. */
export async function readCarried(
  session: Session,
  home: string,
  tables: readonly CarriedTable[],
): Promise<CarriedRows[]> {
  const progress = await session.query<{ name: string; rows: number; isDone: boolean }>(
    `select table_name as name, rows::float8 as rows, is_done as "isDone" from ${inHome(home, 'progress')}`,
  )
  const left = await session.query<{ name: string; reason: string; rows: number }>(
    `select table_name as name, reason, pg_catalog.count(*)::float8 as rows from ${inHome(home, 'left_rows')} group by 1, 2 order by 1, 2`,
  )
  return tables.map(({ name }) => {
    const { rows = 0, isDone = false } = progress.find((row) => row.name === name) ?? {}
    return {
      name,
      rows,
      isDone,
      left: left.filter((row) => row.name === name).map(({ reason, rows }) => ({ reason, rows })),
    }
  })
}
