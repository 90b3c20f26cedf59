import { type AnyPgColumn, foreignKey, index, uuid } from 'drizzle-orm/pg-core'
import { users } from './anchors.js'

/** Who did it: a person's id, kept for information and emptied when the person is erased. `attributedTo` goes with it. */
export const attribution = <Name extends string>(name: Name) => uuid(name)

/**
 * The foreign key and the index of an attribution column. A person is known to all organizations, so the key is single. The index
 * goes on with the owner, where there is one: what a person did in one organization is found without reading of another.
 */
export const attributedTo = (table: string, column: AnyPgColumn, ...owner: [] | [AnyPgColumn]) => [
  foreignKey({ name: `${table}_${column.name}_fkey`, columns: [column], foreignColumns: [users.id] }).onDelete(
    'set null',
  ),
  index(`${table}_${column.name}_idx`).on(column, ...owner),
]
