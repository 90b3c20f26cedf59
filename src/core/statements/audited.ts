import type { ChangeText } from './change-text.js'
import type { TablePlan } from './table-plan.js'

/**
 * The change with an audit entry in the same statement. `entry` is an insert that reads `changed`, the rows after the change, and,
 * except for an insert, `before`, the same rows before it. The parameters of `entry` follow those of the change.
 *
 * `before` locks its rows, and the change takes its rows from `before`. So the old values are those that were replaced, even if
 * somebody else has just changed the row.
 */
export function withEntry(plan: TablePlan, change: ChangeText, entry: string): string {
  const { verb, ctes, head, where, returning } = change
  const all = [...plan.byProperty.values()].map(({ sql }) => sql).join(', ')
  const lock = verb === 'delete' ? 'for update' : 'for no key update'
  // Rows that never change need no lock, and a role without the right to change any column may not lock them.
  const locked = plan.changeable.length === 0 ? '' : ` ${lock}`
  const before = `before as materialized (select ${all} from ${plan.sql} where ${where}${locked})`
  const taken = `where ${where} and ${isOneOf(plan, 'before')}`
  const parts = [
    ...ctes,
    ...(verb === 'insert' ? [] : [before]),
    `changed as (${head} ${verb === 'insert' ? '' : taken} returning ${all})`,
    `entry as (${entry} returning 1)`,
  ]
  return `with ${parts.join(', ')} select ${returning === '' ? '1' : returning} from changed`
}

/** An array for a key of one column: a cluster sends a sub-select after `in` to every shard. */
function isOneOf({ key }: TablePlan, rows: string): string {
  const columns = key.map(({ sql }) => sql).join(', ')
  return key.length === 1
    ? `${columns} = any(array(select ${columns} from ${rows}))`
    : `(${columns}) in (select ${columns} from ${rows})`
}
