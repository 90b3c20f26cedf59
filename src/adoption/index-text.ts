import type { ColumnUse } from './column-text.js'
import { bare } from './column-text.js'
import { stringOf } from './module-names.js'
import type { DetailedIndex, IndexPart } from './table-details.js'

/** The lines of an index or of a unique key, or undefined where Drizzle cannot express it. */
export function indexText(
  index: DetailedIndex,
  column: (name: string) => string,
  use: ColumnUse,
): string[] | undefined {
  const { name, isUnique, isConstraint, method, parts, included, where, definition, deferral } = index
  const { imports } = use
  const hasOneNull = / NULLS NOT DISTINCT\b/.test(definition)
  if (included.length > 0 || (hasOneNull && !isConstraint)) return undefined
  if (isConstraint) {
    const columns = parts.map((part) => column(part.column ?? part.text)).join(', ')
    const line = `${imports.drizzle('unique')}(${stringOf(name)}).on(${columns})${hasOneNull ? '.nullsNotDistinct()' : ''},`
    return deferral === '' ? [line] : [`// In the database: ${deferral}.`, line]
  }
  const on = parts.map((part) => partText(part, column, use)).join(', ')
  const using = method === 'btree' ? `.on(${on})` : `.using(${stringOf(method)}, ${on})`
  const predicate = where === null ? '' : `.where(${imports.tenantry('literal')}(${stringOf(bare(where))}))`
  return [`${imports.drizzle(isUnique ? 'uniqueIndex' : 'index')}(${stringOf(name)})${using}${predicate},`]
}

function partText(
  { column: name, text, operators, isDescending, isNullsFirst }: IndexPart,
  column: (name: string) => string,
  { imports }: ColumnUse,
): string {
  const hasUsualNulls = isNullsFirst === isDescending
  if (name === null) {
    const words = [
      text,
      ...(operators === null ? [] : [operators]),
      ...(isDescending ? ['desc'] : []),
      ...(hasUsualNulls ? [] : [isNullsFirst ? 'nulls first' : 'nulls last']),
    ]
    return `${imports.tenantry('literal')}(${stringOf(words.join(' '))})`
  }
  // Drizzle's own order of nulls is `last`, in both directions.
  return [
    column(name),
    isDescending ? '.desc()' : '',
    isNullsFirst ? '.nullsFirst()' : '',
    operators === null ? '' : `.op(${stringOf(operators)})`,
  ].join('')
}
