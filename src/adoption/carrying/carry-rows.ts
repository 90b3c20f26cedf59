import { TenantryError } from '../../core/errors.js'
import { quoted } from '../../core/statements/column-plan.js'
import type { Session } from '../../database/session.js'
import { inHome } from '../home.js'
import { fillCatalog } from './addon-catalog.js'
import {
  type CarriedTable,
  isOneOf,
  mapped,
  refersToNone,
  rowIds,
  takenId,
  unjoined,
  repeatsAnother,
} from './carried-table.js'
import { roots, rootsOf } from './carrying-home.js'
import type { Carrying } from './carrying.js'
import { completeOrganizations } from './complete-organizations.js'
import { SecretColumns } from './secret-columns.js'

/** What became of rows, by their earlier keys. */
export interface CarriedKeys {
  readonly carried: readonly string[]
  /** Those that ours cannot hold. */
  readonly refused: readonly string[]
}

/** Makes the rows of ours what the earlier ones are now. Those that stay are recorded, each with a reason. In the transaction of the caller. */
export async function carryKeys(
  { session, home, dataKeys }: Carrying,
  table: CarriedTable,
  keys: readonly string[],
): Promise<CarriedKeys> {
  if (keys.length === 0) return { carried: [], refused: [] }
  const left = inHome(home, 'left_rows')
  await session.query(`delete from ${left} where table_name = $1 and key = any ($2::text[])`, [table.name, keys])
  const refused = new Map<string, string>()
  const refuse = (some: readonly string[], reason: string) => some.map((key) => refused.set(key, reason))
  refuse(await takenOf(session, home, table, keys), takenId)
  const secrets = new SecretColumns(session, table, dataKeys)
  const carry = async (some: readonly string[]) => {
    if (table.to === 'project_addons') await fillCatalog(session, table, some)
    refuse(await homelessOf(session, home, table, some), refersToNone('organization'))
    const housed = some.filter((key) => !refused.has(key))
    return upsert(session, table, housed, await secrets.sealedOf(housed))
  }
  const open = keys.filter((key) => !refused.has(key))
  await session.query('savepoint carrying')
  let carried: readonly string[]
  try {
    carried = await carry(open)
  } catch (error) {
    if (reasonOf(error) === undefined) throw error
    await session.query('rollback to savepoint carrying')
    const { carried: some, refused: others } = await oneByOne(session, open, carry)
    carried = some
    for (const [key, reason] of others) refused.set(key, reason)
  }
  await session.query('release savepoint carrying')
  for (const [key, reason] of refused)
    await session.query(`insert into ${left} values ($1, $2, $3) on conflict do nothing`, [table.name, key, reason])
  const isSettled = new Set([...carried, ...refused.keys()])
  await recordStaying(
    session,
    left,
    table,
    keys.filter((key) => !isSettled.has(key)),
  )
  if (roots.includes(table.to))
    await session.query(
      `insert into ${inHome(home, 'roots')} select $2, r.id from (${rowIds(table)}) r(id) on conflict do nothing`,
      [carried, table.to],
    )
  if (table.to === 'organizations') await completeOrganizations(session, dataKeys, carried)
  return { carried, refused: [...refused.keys()] }
}

/** Of the keys, those under the id of which tenantry has a row of its own. */
async function takenOf(
  session: Session,
  home: string,
  table: CarriedTable,
  keys: readonly string[],
): Promise<string[]> {
  if (!roots.includes(table.to) || table.rowId === undefined) return []
  const rows = await session.query<{ key: string }>(
    `select s.${quoted(table.key.name)}::text as key from ${table.source} s where ${isOneOf(table)}
     and exists (select from ${table.target} t where t.id = ${table.rowId}) and ${table.rowId} not in (${rootsOf(home, table.to)})`,
    [keys],
  )
  return rows.map(({ key }) => key)
}

/** Of the keys, those of an organization that was not carried. A foreign key does not catch this where tenantry has one of its own with that id. */
async function homelessOf(
  session: Session,
  home: string,
  table: CarriedTable,
  keys: readonly string[],
): Promise<string[]> {
  if (!table.hasOrganization) return []
  const rows = await session.query<{ key: string }>(
    `select m.key from (${mapped(table, isOneOf(table))}) m where (m.org_id in (${rootsOf(home, 'organizations')})) is not true`,
    [keys],
  )
  return rows.map(({ key }) => key)
}

/** Records those of the rows that still exist, each with the first condition that it does not meet. */
async function recordStaying(
  session: Session,
  left: string,
  table: CarriedTable,
  keys: readonly string[],
): Promise<void> {
  if (keys.length === 0) return
  const reasons = table.conditions.map(
    ({ holds, otherwise }) => `when (${holds}) is not true then ${otherwise === undefined ? 'null' : `'${otherwise}'`}`,
  )
  const reason = reasons.length === 0 ? `'${unjoined}'` : `case ${reasons.join(' ')} else '${unjoined}' end`
  await session.query(
    `insert into ${left} select $2, r.key, r.reason from (select s.${quoted(table.key.name)}::text as key, ${reason} as reason
       from ${table.source} s where ${isOneOf(table)}) r where r.reason is not null on conflict do nothing`,
    [keys, table.name],
  )
}

/** Each row by itself. One that is refused stays. */
async function oneByOne(
  session: Session,
  keys: readonly string[],
  carry: (keys: readonly string[]) => Promise<readonly string[]>,
): Promise<{ readonly carried: string[]; readonly refused: ReadonlyMap<string, string> }> {
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
  return { carried, refused }
}

/** Completes a sentence that begins with "rows that". Undefined for an error that says nothing about the row. No value of the row is in it. */
function reasonOf(error: unknown): string | undefined {
  const { code, constraint = '', column } = error as { code?: unknown; constraint?: string; column?: string }
  if (error instanceof TenantryError || typeof code !== 'string') return undefined
  if (code === '23505') return `${repeatsAnother} (${constraint})`
  if (code === '23503') return refersToNone(constraint)
  if (code === '23502') return `have no ${column}`
  if (code.startsWith('23')) return `are refused by ${constraint}`
  // 54: such as a text that is too long for an index.
  return /^(?:22|54)/.test(code) ? `have a value that tenantry cannot hold (${code})` : undefined
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
