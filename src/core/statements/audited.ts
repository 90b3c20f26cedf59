import { ownOf } from '../values.js'
import type { ChangeText } from './change-text.js'
import { type ColumnPlan, quoted } from './column-plan.js'
import type { TablePlan } from './table-plan.js'

/** The names that an audited statement gives besides those of the table. None of them is that of the table or of a column. */
export interface InnerNames {
  /** In `changed` of an insert that may meet a row: whether the row is new. */
  readonly isNew: string
  /** In `changed` of an update, and in `before` of an insert that may change a row: the value that a column had. */
  readonly old: (column: ColumnPlan) => string
  /** In an update: a column of the key, and the locked rows that it is read from. */
  readonly key: (place: number) => string
  readonly locked: string
}

export function innerNames({ byProperty, resource }: TablePlan): InnerNames {
  const columns = [...byProperty.values()]
  const taken = [resource, ...columns.map(({ sql }) => sql.slice(1, -1))]
  let mark = 'audited'
  while (taken.some((name) => name.startsWith(`${mark} `))) mark += '_'
  return {
    isNew: quoted(`${mark} is new`),
    // Numbered, because Postgres cuts a name of more than 63 bytes.
    old: (column) => quoted(`${mark} old ${columns.indexOf(column)}`),
    key: (place) => quoted(`${mark} key ${place}`),
    locked: quoted(`${mark} rows`),
  }
}

/**
 * The change with an audit entry in the same statement. `entry` is an insert that reads `changed`: the rows after an insert or an update,
 * or those that were deleted. Its parameters follow those of the change. `old` are the columns of which it reads the old values: in an
 * update they are in `changed`, in an insert that may change a row in `before`.
 *
 * The old values are read under a lock, and the update takes its rows from there. So they are those that were replaced, even if somebody
 * else has just changed the row.
 */
export function withEntry(plan: TablePlan, change: ChangeText, old: readonly ColumnPlan[], entry: string): string {
  const { verb, ctes, after = [], head, from, where, returning, upsert } = ownOf(change) as ChangeText
  // Rows that never change need no lock, and a role without the right to change any column may not lock them.
  const locked = plan.changeable.length === 0 ? '' : ` for no key update of ${quoted(plan.resource)}`
  const rows = [plan.sql, ...(from === undefined ? [] : [from])].join(', ')
  const names = innerNames(plan)
  const before = (columns: readonly string[], when: string) =>
    `select ${[...columns, ...old.map((column) => `${quoted(plan.resource)}.${column.sql} as ${names.old(column)}`)].join(', ')} from ${rows} where ${when}${locked}`
  const parts = [...ctes]
  const all = readable(plan)
  if (verb === 'update') {
    const identity = identityOf(plan)
    const keys = identity.map((column, place) => `${quoted(plan.resource)}.${column} as ${names.key(place)}`)
    const same = identity.map((column, place) => `${quoted(plan.resource)}.${column} = ${names.key(place)}`)
    const taken = [...(from === undefined ? [] : [from]), `(${before(keys, where)}) as ${names.locked}`].join(', ')
    const returned = [all, ...old.map(names.old)].join(', ')
    parts.push(
      `changed as (${head} from ${taken} where ${[`(${where})`, ...same].join(' and ')} returning ${returned})`,
    )
  } else if (verb === 'delete') {
    parts.push(`changed as (${head} where ${where} returning ${all})`)
  } else if (verb === 'select' || verb === 'call') {
    parts.push(`changed as materialized (${head} where ${where})`)
  } else {
    const { changes, reading } = upsert ?? {}
    if (changes !== undefined)
      parts.push(`before as materialized (${before(reading === undefined ? [] : ['"id"'], changes)})`)
    // A statement that does not read `before` until the row is changed would no longer find the row as it was. A row that was made after
    // the statement began is not in it: it is left as it is, and the next statement sees it.
    const condition = reading?.where ?? where
    const conditions = [
      ...(condition === '' ? [] : [condition]),
      ...(changes !== undefined && reading === undefined ? ['(select count(*) from before) > 0'] : []),
    ]
    const first = conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`
    // A row that an insert has made has no transaction that deleted or locked it.
    parts.push(
      `changed as (${reading?.head ?? head}${first} returning ${all}${upsert === undefined ? '' : `, xmax = 0 as ${names.isNew}`})`,
    )
  }
  return `with ${[...parts, ...after, `entry as (${entry} returning 1)`].join(', ')} select ${returning === '' ? '1' : returning} from changed`
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
