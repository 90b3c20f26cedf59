import { ownOf } from '../values.js'
import type { ChangeText } from './change-text.js'
import { type ColumnPlan, quoted } from './column-plan.js'
import type { TablePlan } from './table-plan.js'

/** In `changed` of an insert that may meet a row: whether the row is new. No column of a table has a name with a blank. */
export const isNew = '"is new"'

/** In `changed` of an update, and in `before` of an insert that may change a row: the value that a column had. */
export const oldName = (column: ColumnPlan): string => quoted(`old ${column.property}`)

/**
 * The change with an audit entry in the same statement. `entry` is an insert that reads `changed`: the rows after an insert or an update,
 * or those that were deleted. Its parameters follow those of the change. `old` are the columns of which it reads the old values: in an
 * update they are in `changed`, in an insert that may change a row in `before`.
 *
 * The old values are read under a lock, and the update takes its rows from there. So they are those that were replaced, even if somebody
 * else has just changed the row.
 */
export function withEntry(plan: TablePlan, change: ChangeText, old: readonly ColumnPlan[], entry: string): string {
  const { verb, ctes, head, from, where, returning, upsert } = ownOf(change) as ChangeText
  // Rows that never change need no lock, and a role without the right to change any column may not lock them.
  const locked = plan.changeable.length === 0 ? '' : ` for no key update of ${quoted(plan.resource)}`
  const rows = [plan.sql, ...(from === undefined ? [] : [from])].join(', ')
  const before = (columns: readonly string[], when: string) =>
    `select ${[...columns, ...old.map((column) => `${quoted(plan.resource)}.${column.sql} as ${oldName(column)}`)].join(', ')} from ${rows} where ${when}${locked}`
  const parts = [...ctes]
  const all = readable(plan)
  if (verb === 'update') {
    const identity = identityOf(plan)
    const keys = identity.map((column, place) => `${quoted(plan.resource)}.${column} as "key ${place}"`)
    const same = identity.map((column, place) => `${quoted(plan.resource)}.${column} = "key ${place}"`)
    const taken = [...(from === undefined ? [] : [from]), `(${before(keys, where)}) as before`].join(', ')
    const returned = [all, ...old.map(oldName)].join(', ')
    parts.push(
      `changed as (${head} from ${taken} where ${[`(${where})`, ...same].join(' and ')} returning ${returned})`,
    )
  } else if (verb === 'delete') {
    parts.push(`changed as (${head} where ${where} returning ${all})`)
  } else if (verb === 'select') {
    parts.push(`changed as materialized (${head} where ${where})`)
  } else {
    const mayChange = upsert?.changes !== undefined
    if (mayChange) parts.push(`before as materialized (${before([], upsert.changes)})`)
    // Reading `before` here makes Postgres evaluate it before the row is changed; afterwards it would skip the row.
    const conditions = [...(where === '' ? [] : [where]), ...(mayChange ? ['(select count(*) from before) >= 0'] : [])]
    const first = conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`
    // A row that an insert has made has no transaction that deleted or locked it.
    parts.push(`changed as (${head}${first} returning ${all}${upsert === undefined ? '' : `, xmax = 0 as ${isNew}`})`)
  }
  return `with ${[...parts, `entry as (${entry} returning 1)`].join(', ')} select ${returning === '' ? '1' : returning} from changed`
}

/** The columns that tell the rows of a statement apart: the key, and the owner where the statement names none. */
function identityOf(plan: TablePlan): readonly string[] {
  const key = plan.key.map(({ sql }) => sql)
  const isOfOrganizations = [...plan.byProperty.values()].some(({ sql }) => sql === '"org_id"')
  return plan.owner === undefined && isOfOrganizations && !key.includes('"org_id"') ? ['"org_id"', ...key] : key
}

/** The hidden columns are left out: hashes, which the application may not read everywhere. */
const readable = (plan: TablePlan): string =>
  [...plan.byProperty.values()]
    .filter((column) => !plan.isHidden(column))
    .map(({ sql }) => sql)
    .join(', ')
