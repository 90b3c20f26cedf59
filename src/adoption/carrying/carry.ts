import { MigrationError } from '../../core/errors.js'
import type { DataKeys } from '../../core/sealing.js'
import { quoted } from '../../core/statements/column-plan.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { inHome } from '../home.js'
import { fillCatalog } from './addon-catalog.js'
import { type CarriedTable, mapped } from './carried-table.js'
import { carryingTransaction } from './carrying-transaction.js'
import { completeOrganizations } from './complete-organizations.js'
import { SecretColumns } from './secret-columns.js'

export interface Carrying {
  readonly session: Session
  readonly home: string
  readonly tables: readonly CarriedTable[]
  readonly dataKeys: DataKeys
}

export interface CarryOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: { readonly table: string; readonly done: number; readonly total: number }) => void
  /** Goes over all rows again. */
  readonly again?: boolean
}

export interface CarriedRows {
  readonly name: string
  readonly rows: number
  /** Rows that have no place in tenantry, and stay where they are. */
  readonly left: readonly { readonly reason: string; readonly rows: number }[]
  readonly isDone: boolean
}

const first = 200
const most = 5000
/** Half of the time that a batch may take, in milliseconds. */
const aim = 100

/** Carries every row, in the order of the keys, and then those that were written meanwhile. Returns false when it was stopped. */
export async function carryRows(carrying: Carrying, options: CarryOptions = {}): Promise<boolean> {
  const { session: direct, home, tables } = carrying
  const session = withContext(direct, 'the backfill')
  return alone(session, home, async () => {
    if (options.again === true) await session.query(`delete from ${inHome(home, 'progress')}`)
    for (const [done, table] of tables.entries()) {
      options.onProgress?.({ table: table.name, done, total: tables.length })
      if (!(await carryTable(carrying, table, options.signal))) return false
    }
    return drain(carrying, options.signal)
  })
}

/** Two at once would carry older states of rows over newer ones. */
async function alone<T>(session: Session, home: string, work: () => Promise<T>): Promise<T> {
  const lock = `pg_catalog.hashtextextended('tenantry carrying ' || $1::text, 0)`
  const [row] = await session.query<{ locked: boolean }>(`select pg_catalog.pg_try_advisory_lock(${lock}) as locked`, [
    home,
  ])
  if (row?.locked !== true) throw new MigrationError('another backfill of these tables is running. Nothing was done')
  try {
    return await work()
  } finally {
    await session.query(`select pg_catalog.pg_advisory_unlock(${lock})`, [home]).catch(() => undefined)
  }
}

async function carryTable(carrying: Carrying, table: CarriedTable, signal: AbortSignal | undefined): Promise<boolean> {
  const { session: direct, home } = carrying
  const session = withContext(direct, `the backfill of ${table.name}`)
  const progress = inHome(home, 'progress')
  const [begun] = await session.query<{ last: string | null; isDone: boolean }>(
    `select last_key as last, is_done as "isDone" from ${progress} where table_name = $1`,
    [table.name],
  )
  let last = begun?.last ?? null
  let isDone = begun?.isDone ?? false
  for (let size = first; !isDone;) {
    if (signal?.aborted === true) return false
    const start = performance.now()
    const keys = await carryingTransaction(direct, `the backfill of ${table.name}`, async () => {
      const found = await nextKeys(direct, table, last, size)
      await carryKeys(carrying, table, found)
      await direct.query(
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
 * Carries the rows that were written since `expand`, in the order of the writes, until there are none. The state of a row is read after its
 * key was taken, so that a later write of it is found by its own key.
 */
export async function drain(carrying: Carrying, signal?: AbortSignal): Promise<boolean> {
  while (signal?.aborted !== true) {
    const taken = await carryingTransaction(carrying.session, 'the rows written meanwhile', () => drainBatch(carrying))
    if (taken === 0) return true
  }
  return false
}

/** In the transaction of the caller. Returns the number of writes. */
export async function drainBatch(carrying: Carrying): Promise<number> {
  const { session } = carrying
  const changes = inHome(carrying.home, 'changes')
  const taken = await session.query<{ n: string; table: string; key: string }>(
    `delete from ${changes} where n in (select c.n from ${changes} c order by c.n limit 500) returning n, table_name as table, key`,
  )
  const people = taken.filter(({ table }) => table === 'users').map(({ key }) => key)
  for (const table of carrying.tables) {
    const keys = taken.filter((change) => change.table === table.from.name).map(({ key }) => key)
    // Their rows hold the address of the person.
    if (table.to === 'organization_members' && people.length > 0)
      keys.push(...(await membersOf(session, table, people)))
    if (keys.length > 0) await carryKeys(carrying, table, [...new Set(keys)], true)
  }
  return taken.length
}

async function membersOf(
  session: Session,
  { source, key }: CarriedTable,
  people: readonly string[],
): Promise<string[]> {
  const rows = await session.query<{ key: string }>(
    `select s.${quoted(key.name)}::text as key from ${source} s where s.user_id::text = any ($1::text[])`,
    [people],
  )
  return rows.map((row) => row.key)
}

/** Makes the rows of ours what the earlier ones are now. Those that ours cannot hold are recorded, each with a reason. */
async function carryKeys(
  { session, home, dataKeys }: Carrying,
  table: CarriedTable,
  keys: readonly string[],
  mayBeThere = false,
): Promise<void> {
  if (keys.length === 0) return
  const left = inHome(home, 'left_rows')
  await session.query(`delete from ${left} where table_name = $1 and key = any ($2::text[])`, [table.name, keys])
  const carry = async (some: readonly string[]) => {
    if (mayBeThere && !table.isCatalog) await removeStrayed(session, table, some)
    await fillCatalog(session, table, some)
    return upsert(session, table, some, await new SecretColumns(session, table, dataKeys).sealedOf(some))
  }
  let carried: readonly string[]
  await session.query('savepoint carrying')
  try {
    carried = await carry(keys)
  } catch (error) {
    if (reasonOf(error) === undefined) throw error
    await session.query('rollback to savepoint carrying')
    carried = await oneByOne(session, keys, carry, (key, reason) =>
      session.query(`insert into ${left} values ($1, $2, $3)`, [table.name, key, reason]),
    )
  }
  await session.query('release savepoint carrying')
  // What is neither carried nor recorded is gone, or is of those that stay.
  await session.query(
    `insert into ${left} select $1, s.${quoted(table.key.name)}::text, $3 from ${table.source} s
     where s.${quoted(table.key.name)} = any ($2::text[]::${table.key.type}[]) on conflict do nothing`,
    [table.name, keys.filter((key) => !carried.includes(key)), table.where?.otherwise ?? 'lead to no organization'],
  )
  if (table.to === 'organizations') await completeOrganizations(session, dataKeys, carried)
}

async function oneByOne(
  session: Session,
  keys: readonly string[],
  carry: (keys: readonly string[]) => Promise<readonly string[]>,
  leave: (key: string, reason: string) => Promise<unknown>,
): Promise<string[]> {
  const carried: string[] = []
  let open = keys
  // A row may wait for another of the batch, such as for a name that this one frees.
  for (let before = Infinity; open.length < before;) {
    before = open.length
    const refused: string[] = []
    for (const key of open) {
      await session.query('savepoint one')
      try {
        carried.push(...(await carry([key])))
      } catch (error) {
        const reason = reasonOf(error)
        if (reason === undefined) throw error
        await session.query('rollback to savepoint one')
        refused.push(key)
        await session.query('release savepoint one')
        continue
      }
      await session.query('release savepoint one')
    }
    open = refused
  }
  for (const key of open) {
    await session.query('savepoint one')
    const reason = await carry([key]).then(
      () => undefined,
      (error: unknown) => reasonOf(error),
    )
    await session.query('rollback to savepoint one')
    await leave(key, reason ?? 'are refused')
  }
  return carried
}

/** In words that follow a number of rows. Undefined for an error that says nothing about the row. No value of the row is in it. */
function reasonOf(error: unknown): string | undefined {
  const { code, constraint, column } = error as { code?: unknown; constraint?: string; column?: string }
  if (typeof code !== 'string') return undefined
  if (code === '23505') return `have the same values as another row of ours has, by ${constraint}`
  if (code === '23503') return `refer to a row that is not carried, by ${constraint}`
  if (code === '23502') return `have no ${column}`
  if (code.startsWith('23')) return `are refused by ${constraint}`
  return code.startsWith('22') ? `have a value that ours cannot hold (${code})` : undefined
}

/** Rows of ours that are not there any more, or belong to another organization now. */
async function removeStrayed(session: Session, table: CarriedTable, keys: readonly string[]): Promise<void> {
  const isSame = table.primaryKey.map((column) => `m.${quoted(column)} = t.${quoted(column)}`).join(' and ')
  await session.query(
    `delete from ${table.target} t where t.${quoted('id')}::text = any ($1::text[])
     and not exists (select from (${mapped(table, onlyKeys(table))}) m where ${isSame})`,
    [keys],
  )
}

const onlyKeys = ({ key }: CarriedTable) => `s.${quoted(key.name)} = any ($1::text[]::${key.type}[])`

/** Returns the keys of the rows that ours has now. */
async function upsert(
  session: Session,
  table: CarriedTable,
  keys: readonly string[],
  sealed: readonly { readonly name: string; readonly values: readonly (Uint8Array | null)[] }[],
): Promise<string[]> {
  const columns = [...table.columns.map(({ name }) => `m.${quoted(name)}`), ...sealed.map((_, place) => `z.c${place}`)]
  const names = [...table.columns, ...sealed].map(({ name }) => quoted(name))
  const kept = new Set(table.primaryKey.map(quoted))
  const updated = names.filter((name) => !kept.has(name)).map((name) => `${name} = excluded.${name}`)
  const secrets =
    sealed.length === 0
      ? ''
      : ` join rows from (pg_catalog.unnest($1::text[]), ${sealed.map((_, place) => `pg_catalog.unnest($${place + 2}::bytea[])`).join(', ')})
     z(key, ${sealed.map((_, place) => `c${place}`).join(', ')}) on z.key = m.key`
  const rows = await session.query<{ key: string }>(
    `with m as materialized (${mapped(table, onlyKeys(table))}), done as (
       insert into ${table.target} (${names.join(', ')}) select ${columns.join(', ')} from m${secrets}
       on conflict (${table.primaryKey.map(quoted).join(', ')}) do update set ${updated.join(', ')} returning 1
     ) select m.key from m`,
    [keys, ...sealed.map(({ values }) => values)],
  )
  return rows.map(({ key }) => key)
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
