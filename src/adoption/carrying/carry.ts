import { TenantryError } from '../../core/errors.js'
import { quoted } from '../../core/statements/column-plan.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { inHome } from '../home.js'
import { fillCatalog } from './addon-catalog.js'
import { type CarriedTable, isCarriedOrganization, isOneOf, isSame, mapped, meets } from './carried-table.js'
import type { Carrying, ProgressOf } from './carrying.js'
import { asWhole, carryingTransaction } from './carrying-transaction.js'
import { completeOrganizations } from './complete-organizations.js'
import { SecretColumns } from './secret-columns.js'

export interface CarryOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: ProgressOf
  /** Goes over all rows again, and removes those of ours that no earlier row leads to. */
  readonly again?: boolean
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
  if (options.again === true) {
    await withContext(session, 'the backfill').query(`delete from ${inHome(home, 'progress')}`)
    for (const table of tables.toReversed()) await removeExtra(carrying, table)
  }
  for (const [done, table] of tables.entries()) {
    options.onProgress?.({ table: table.name, done, total: tables.length })
    if (!(await carryTable(carrying, table, options))) return false
  }
  return drain(carrying, options.signal)
}

async function carryTable(
  carrying: Carrying,
  table: CarriedTable,
  { signal, batch = 200 }: CarryOptions,
): Promise<boolean> {
  const { session: direct, home } = carrying
  const where = `the backfill of ${table.name}`
  const progress = inHome(home, 'progress')
  const [begun] = await withContext(direct, where).query<{ last: string | null; isDone: boolean }>(
    `select last_key as last, is_done as "isDone" from ${progress} where table_name = $1`,
    [table.name],
  )
  let last = begun?.last ?? null
  let isDone = begun?.isDone ?? false
  for (let size = batch; !isDone;) {
    if (signal?.aborted === true) return false
    const start = performance.now()
    const keys = await carryingTransaction(direct, where, async () => {
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
    if (keys.length > 0) await carryKeys(carrying, table, [...new Set(keys)])
  }
  return taken.length
}

async function membersOf(
  session: Session,
  { source, key }: CarriedTable,
  people: readonly string[],
): Promise<string[]> {
  const rows = await session.query<{ key: string }>(
    `select s.${quoted(key.name)}::text as key from ${source} s where s.user_id = any ($1::text[]::uuid[])`,
    [people],
  )
  return rows.map((row) => row.key)
}

/** Makes the rows of ours what the earlier ones are now. Those that ours cannot hold are recorded, each with a reason. */
async function carryKeys(carrying: Carrying, table: CarriedTable, keys: readonly string[]): Promise<void> {
  if (keys.length === 0) return
  const { session, home, dataKeys } = carrying
  const left = inHome(home, 'left_rows')
  await session.query(`delete from ${left} where table_name = $1 and key = any ($2::text[])`, [table.name, keys])
  await removeUnmapped(carrying, table, keys)
  if (table.to === 'project_addons') await fillCatalog(session, table, keys)
  const secrets = new SecretColumns(session, table, dataKeys)
  const carry = async (some: readonly string[]) => upsert(session, table, some, await secrets.sealedOf(some))
  const leave = (key: string, reason: string) =>
    session.query(`insert into ${left} values ($1, $2, $3) on conflict do nothing`, [table.name, key, reason])
  await session.query('savepoint carrying')
  let carried: readonly string[]
  try {
    carried = await carry(keys)
  } catch (error) {
    if (reasonOf(error) === undefined) throw error
    await session.query('rollback to savepoint carrying')
    carried = await oneByOne(session, keys, carry, leave)
  }
  await session.query('release savepoint carrying')
  await recordStaying(session, left, table, keys, carried)
  if (table.to === 'organizations') await completeOrganizations(session, dataKeys, carried)
}

/** Records the rows that still exist and were not carried, each with the first condition that it does not meet. */
async function recordStaying(
  session: Session,
  left: string,
  table: CarriedTable,
  keys: readonly string[],
  carried: readonly string[],
): Promise<void> {
  const isCarried = new Set(carried)
  const open = keys.filter((key) => !isCarried.has(key))
  if (open.length === 0) return
  const reasons = table.conditions.map(
    ({ holds, otherwise }) => `when (${holds}) is not true then ${otherwise === undefined ? 'null' : `'${otherwise}'`}`,
  )
  const reason = reasons.length === 0 ? `'${unjoined}'` : `case ${reasons.join(' ')} else '${unjoined}' end`
  await session.query(
    `insert into ${left} select $2, r.key, r.reason from (select s.${quoted(table.key.name)}::text as key, ${reason} as reason
       from ${table.source} s where ${isOneOf(table)}) r where r.reason is not null on conflict do nothing`,
    [open, table.name],
  )
}

/** Of rows that name a row which is not there. */
export const unjoined = 'belong to a row that is not there'

async function oneByOne(
  session: Session,
  keys: readonly string[],
  carry: (keys: readonly string[]) => Promise<readonly string[]>,
  leave: (key: string, reason: string) => Promise<unknown>,
): Promise<string[]> {
  const carried: string[] = []
  let refused = new Map(keys.map((key) => [key, '']))
  // A row may wait for another of the batch, such as for a name that this one frees.
  for (let before = Infinity; refused.size < before;) {
    before = refused.size
    const again = new Map<string, string>()
    for (const key of refused.keys()) {
      await session.query('savepoint one')
      try {
        carried.push(...(await carry([key])))
      } catch (error) {
        const reason = reasonOf(error)
        if (reason === undefined) throw error
        await session.query('rollback to savepoint one')
        again.set(key, reason)
      }
      await session.query('release savepoint one')
    }
    refused = again
  }
  for (const [key, reason] of refused) await leave(key, reason)
  return carried
}

/** In words that follow a number of rows. Undefined for an error that says nothing about the row. No value of the row is in it. */
function reasonOf(error: unknown): string | undefined {
  const { code, constraint, column } = error as { code?: unknown; constraint?: string; column?: string }
  if (error instanceof TenantryError || typeof code !== 'string') return undefined
  if (code === '23505') return `repeat the values of another row in tenantry (${constraint})`
  if (code === '23503') return `refer to a row that is not carried (${constraint})`
  if (code === '23502') return `have no ${column}`
  if (code.startsWith('23')) return `are refused by ${constraint}`
  // 54: such as a text that is too long for an index.
  return /^(?:22|54)/.test(code) ? `have a value that tenantry cannot hold (${code})` : undefined
}

/**
 * Deletes rows of ours of which the earlier row is gone, or has no place any more. One that belongs to another organization now is found by
 * the proof, since looking for it would read the whole table for each batch.
 */
async function removeUnmapped(
  { session, tables }: Carrying,
  table: CarriedTable,
  keys: readonly string[],
): Promise<void> {
  if (table.isCatalog) return
  const rows = await session.query<{ key: string }>(
    `select s.${quoted(table.key.name)}::text as key ${table.rows} where ${isOneOf(table)} and ${meets(table)}`,
    [keys],
  )
  const isThere = new Set(rows.map(({ key }) => key))
  const gone = keys.filter((key) => !isThere.has(key))
  if (gone.length > 0)
    await session.query(
      `delete from ${table.target} t where t.id = any ($1::text[]::uuid[])${table.hasOrganization ? ` and ${isCarriedOrganization(tables)}` : ''}`,
      [gone],
    )
}

/** Deletes rows of ours, in carried organizations, to which no earlier row leads. */
async function removeExtra({ session, tables }: Carrying, table: CarriedTable): Promise<void> {
  const sources = tables.filter(({ to }) => to === table.to)
  if (!table.hasOrganization || sources[0] !== table) return
  const known = sources.map((source) => `not exists (select from (${mapped(source)}) m where ${isSame(source)})`)
  await carryingTransaction(session, `the backfill of ${table.name}`, async () => {
    await session.query(asWhole)
    await session.query(
      `delete from ${table.target} t where ${isCarriedOrganization(tables)} and ${known.join(' and ')}`,
    )
  })
}

/** Returns the keys of the rows that ours has now. */
async function upsert(
  session: Session,
  table: CarriedTable,
  keys: readonly string[],
  sealed: readonly { readonly name: string; readonly values: readonly (Uint8Array | null)[] }[],
): Promise<string[]> {
  const columns = [...table.columns.map(({ name }) => `m.${quoted(name)}`), ...sealed.map((_, place) => `z.c${place}`)]
  const names = [...table.columns, ...sealed].map(({ name }) => quoted(name))
  const kept = new Set([...table.identity, 'id'].map(quoted))
  const updated = names.filter((name) => !kept.has(name)).map((name) => `${name} = excluded.${name}`)
  const secrets =
    sealed.length === 0
      ? ''
      : ` join rows from (pg_catalog.unnest($1::text[]), ${sealed.map((_, place) => `pg_catalog.unnest($${place + 2}::bytea[])`).join(', ')})
     z(key, ${sealed.map((_, place) => `c${place}`).join(', ')}) on z.key = m.key`
  const rows = await session.query<{ key: string }>(
    `with m as materialized (${mapped(table, isOneOf(table))}), done as (
       insert into ${table.target} (${names.join(', ')}) select ${columns.join(', ')} from m${secrets}
       on conflict (${table.identity.map(quoted).join(', ')}) do update set ${updated.join(', ')} returning 1
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
