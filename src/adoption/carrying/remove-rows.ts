import { quoted } from '../../core/statements/column-plan.js'
import { withContext } from '../../database/session-failure.js'
import type { Session } from '../../database/session.js'
import { type CarriedTable, isOneOf, isSame, mapped, rowIds } from './carried-table.js'
import { isOfCarried, roots, rootsOf } from './carrying-home.js'
import { inHome } from '../home.js'
import type { Carrying } from './carrying.js'
import { asWhole, carryingTransaction } from './carrying-transaction.js'
import { freeOf } from './roots-in-use.js'

/** Those of the keys of which the earlier row is gone. */
export async function goneOf(session: Session, table: CarriedTable, keys: readonly string[]): Promise<string[]> {
  if (keys.length === 0) return []
  const rows = await session.query<{ key: string }>(
    `select s.${quoted(table.key.name)}::text as key from ${table.source} s where ${isOneOf(table)}`,
    [keys],
  )
  const isThere = new Set(rows.map(({ key }) => key))
  return keys.filter((key) => !isThere.has(key))
}

/**
 * Deletes the rows of ours that were carried from these keys, and returns the keys of those to which other rows refer. One that belongs to
 * another organization now is found by the proof, since looking for it would read the whole table for each batch. In the transaction of the
 * caller.
 */
export async function removeRows(carrying: Carrying, table: CarriedTable, keys: readonly string[]): Promise<string[]> {
  if (keys.length === 0 || (table.isCatalog && !roots.includes(table.to)) || table.rowId === undefined) return []
  const { session } = carrying
  const isRemoved = async (some: readonly string[]) => {
    await session.query('savepoint removing')
    try {
      await remove(carrying, table, some)
    } catch (error) {
      if (!refersHere.has((error as { code?: unknown }).code)) throw error
      await session.query('rollback to savepoint removing')
      return false
    } finally {
      await session.query('release savepoint removing').catch(() => undefined)
    }
    return true
  }
  if (await isRemoved(keys)) return []
  const kept: string[] = []
  for (const key of keys) if (keys.length === 1 || !(await isRemoved([key]))) kept.push(key)
  return kept
}

/**
 * Removes our copies of rows that are refused by now. A root is kept while its earlier row exists and its table is not left, because all that belongs
 * to it would go too. Until then the proof does not pass.
 */
export async function removeUncarried(
  carrying: Carrying,
  table: CarriedTable,
  keys: readonly string[],
): Promise<string[]> {
  const { session, home } = carrying
  if (keys.length === 0 || !roots.includes(table.to)) return removeRows(carrying, table, keys)
  const leaves = await session.query(`select from ${inHome(home, 'leaves')} where table_name = $1`, [table.from.name])
  return removeRows(carrying, table, leaves.length > 0 ? keys : await goneOf(session, table, keys))
}

// foreign_key_violation, restrict_violation
const refersHere = new Set<unknown>(['23503', '23001'])

/** Deletes only what was carried: a row of tenantry's own with the same id stays. */
async function remove({ session, home }: Carrying, table: CarriedTable, keys: readonly string[]): Promise<void> {
  const ids = rowIds(table)
  if (!roots.includes(table.to)) {
    await session.query(`delete from ${table.target} t where t.id in (${ids}) and ${isOfCarried(home)}`, [keys])
    return
  }
  const gone = await deleteFree(
    session,
    home,
    table,
    `select r.id from (${ids}) r(id) where r.id in (${rootsOf(home, table.to)})`,
    [keys],
  )
  // They have no foreign key.
  if (table.to === 'organizations')
    for (const name of ['audit_logs', 'audit_seals'])
      await session.query(`delete from platform.${name} l where l.org_id = any ($1::text[]::uuid[])`, [gone])
  await session.query(
    `delete from ${inHome(home, 'roots')} c where c.table_name = '${table.to}' and c.id in (${ids})
     and not exists (select from ${table.target} t where t.id = c.id)`,
    [keys],
  )
}

/**
 * Deletes those of these roots that nobody else uses, and returns their ids. Locked first, so that nobody can begin to use one: the condition is
 * not asked again after a delete has waited for whoever did. Where somebody has locked one, all is tried again, since writers would wait behind
 * the others meanwhile.
 */
export async function deleteFree(
  session: Session,
  home: string,
  { to, target }: Pick<CarriedTable, 'to' | 'target'>,
  ids: string,
  params: readonly unknown[] = [],
): Promise<string[]> {
  const isFree = await freeOf(session, home, to)
  const locked = await session.query<{ id: string }>(
    `select t.id::text as id from ${target} t where t.id in (${ids}) and ${isFree} order by t.id for update nowait`,
    params,
  )
  const gone = await session.query<{ id: string }>(
    `delete from ${target} t where t.id = any ($1::text[]::uuid[]) and ${isFree} returning t.id::text as id`,
    [locked.map(({ id }) => id)],
  )
  return gone.map(({ id }) => id)
}

/** The carried roots without an earlier row, as rows `t` of ours. */
export const extraRoots = async (
  session: Session,
  home: string,
  { to, target, source, key }: CarriedTable,
): Promise<string> =>
  `${target} t where t.id in (${rootsOf(home, to)}) and not exists (select from ${source} s where s.${quoted(key.name)} = t.id)
     and ${await freeOf(session, home, to)}`

/** Deletes the rows of ours, in carried organizations, to which no earlier row leads, and the roots without one. */
export async function removeExtra(carrying: Carrying, table: CarriedTable): Promise<void> {
  const { session: direct, home, tables } = carrying
  if (roots.includes(table.to)) {
    await carryingTransaction(direct, `the backfill of ${table.name}`, async () => {
      const extra = await direct.query<{ id: string }>(
        `select t.id::text as id from ${await extraRoots(direct, home, table)}`,
      )
      await removeRows(
        carrying,
        table,
        extra.map(({ id }) => id),
      )
    })
    return
  }
  const sources = tables.filter(({ to }) => to === table.to)
  if (!table.hasOrganization || sources[0] !== table) return
  const session = withContext(direct, `the backfill of ${table.name}`)
  const known = sources.map(
    (source) => `not exists (select from (${mapped(source, 'true', home)}) m where ${isSame(source)})`,
  )
  await carryingTransaction(direct, `the backfill of ${table.name}`, async () => {
    await session.query(asWhole)
    await session.query(`delete from ${table.target} t where ${isOfCarried(home)} and ${known.join(' and ')}`)
  })
}
