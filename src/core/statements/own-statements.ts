import { isAuditedName } from '../../schema/shared/kinds.js'
import { DefinitionError } from '../errors.js'
import { writtenTables } from '../may-write.js'
import { ownOf } from '../values.js'
import { type ChangeText, renderChange } from './change-text.js'
import { classKey, type OwnStatement } from './statement-cache.js'
import type { TablePlan } from './table-plan.js'

/**
 * A statement that a repository writes itself, compiled once for each class and name. The first word of the name is its event in the
 * audit log. It must name the owner of its rows: otherwise row security alone would keep owners apart. A change of an audited table is
 * given in its parts, so that the same statement can write the audit entry.
 */
export function ownStatement(
  plan: TablePlan,
  type: { readonly name: string },
  name: string,
  changes: boolean,
  text: (table: TablePlan) => string | ChangeText,
): OwnStatement {
  const label = `${type.name || plan.resource}: the statement ${name}`
  const [event = name] = name.split(' ')
  return plan.statements.own(`own ${classKey(type)} ${name}`, { event, label, changes }, () => {
    const made = text(plan)
    if (typeof made === 'string' && changes && plan.audited) {
      throw new DefinitionError(`${label} changes an audited table, so it must be given in its parts`)
    }
    if (!changes) assertReads(label, made)
    else assertEntries(plan, label, made)
    assertOwner(plan, label, typeof made === 'string' ? made : renderChange(made))
    return made
  })
}

/** A query asks for the permission to read, and passes by the audit log. */
function assertReads(label: string, made: string | ChangeText): void {
  const isRead = typeof made === 'string' ? writtenTables(made).length === 0 : made.verb === 'select'
  if (isRead) return
  throw new DefinitionError(
    `${label} is a query and has a word that writes: write it with change(), or quote a column that is called insert, update, delete, merge or into`,
  )
}

/** Only the change of its own table has an entry. */
function assertEntries(plan: TablePlan, label: string, made: string | ChangeText): void {
  const {
    ctes = [],
    after = [],
    from = '',
    head = '',
    where = '',
    returning = '',
  } = typeof made === 'string' ? { head: made } : ownOf(made)
  const others = [...ctes, ...after, from, where, returning].flatMap(writtenTables)
  const own = writtenTables(head).filter((table) => table?.name !== plan.resource)
  for (const table of [...others, ...own]) {
    if (table === undefined)
      throw new DefinitionError(`${label} writes a table whose name does not stand behind its verb: name it there`)
    if (!isAuditedName(table)) continue
    throw new DefinitionError(
      `${label} writes the audited table ${table.name} without an entry: change it by a statement of its own repository`,
    )
  }
}

function assertOwner({ owner, owned }: TablePlan, label: string, sql: string): void {
  if (owner === undefined || saysOwner(owner.column.sql.slice(1, -1), sql)) return
  throw new DefinitionError(
    `${label} must have ${owned}, because otherwise only row security keeps owners apart. Write it for each of its tables`,
  )
}

/** `"org_id" = $1`, or an insert that gives `$1` to the column, with or without other statements in front of it. */
const saysOwner = (column: string, sql: string): boolean =>
  new RegExp(`\\b${column}"? = \\$1(?!\\d)`).test(sql) ||
  new RegExp(`^\\s*(?:with\\b[^]*[()]\\s*)?insert into [^(]*\\(\\s*"?${column}"?\\s*[,)][^]*\\$1(?!\\d)`, 'i').test(sql)
