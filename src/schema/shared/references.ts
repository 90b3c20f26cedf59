import { type AnyPgColumn, foreignKey, index, uuid } from 'drizzle-orm/pg-core'
import { users } from './anchors.js'

/** The id of the person who made a change. Information only: it becomes null when the person is erased. Needs `attributedTo`. */
export const attribution = <Name extends string>(name: Name) => uuid(name)

/**
 * The foreign key and the index of an attribution column. People have no organization, so the key has a single column. The index
 * also has the owner, if the table has one, so that a search in one organization reads no other.
 */
export const attributedTo = (table: string, column: AnyPgColumn, ...owner: [] | [AnyPgColumn]) => [
  foreignKey({ name: `${table}_${column.name}_fkey`, columns: [column], foreignColumns: [users.id] }).onDelete(
    'set null',
  ),
  index(`${table}_${column.name}_idx`).on(column, ...owner),
]
