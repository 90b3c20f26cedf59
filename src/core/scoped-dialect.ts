import { Column, getTableColumns, is, Param, SQL } from 'drizzle-orm'
import { PgDialect } from 'drizzle-orm/pg-core'
import { ownOf, unwritable } from './values.js'

type Config<Name extends keyof PgDialect> = PgDialect[Name] extends (config: infer Given) => unknown ? Given : never

/**
 * Drizzle's dialect, reading own properties only. Drizzle describes a query by an object without the parts that it does not have, so
 * a `where` on `Object.prototype` would become part of every statement. An error for a value names its field.
 */
export class ScopedDialect extends PgDialect {
  override buildSelectQuery(config: Config<'buildSelectQuery'>): SQL {
    return super.buildSelectQuery(own(config))
  }

  override buildInsertQuery(config: Config<'buildInsertQuery'>): SQL {
    const given = own(config)
    // Not an array when the rows come from a query.
    const values = Array.isArray(given.values) ? given.values.map(own) : given.values
    return super.buildInsertQuery(Object.assign(given, { values }))
  }

  override buildUpdateQuery(config: Config<'buildUpdateQuery'>): SQL {
    return super.buildUpdateQuery(own(config))
  }

  override buildUpdateSet(...[table, set]: Parameters<PgDialect['buildUpdateSet']>): SQL {
    return super.buildUpdateSet(table, own(set))
  }

  override buildDeleteQuery(config: Config<'buildDeleteQuery'>): SQL {
    return super.buildDeleteQuery(own(config))
  }

  override buildRelationalQueryWithoutPK(config: Config<'buildRelationalQueryWithoutPK'>) {
    const given = own(config)
    const { queryConfig } = given
    return super.buildRelationalQueryWithoutPK(
      Object.assign(given, { queryConfig: queryConfig === true ? queryConfig : own(queryConfig) }),
    )
  }

  override sqlToQuery(...given: Parameters<PgDialect['sqlToQuery']>) {
    try {
      return super.sqlToQuery(...given)
    } catch (error) {
      throw unwritable(refusingField(given[0]) ?? '', error)
    }
  }
}

const own = <T extends object>(given: T): T => ownOf(given) as T

/** The field with a value that its column cannot write. Searched only after building the statement failed. */
function refusingField(chunk: unknown): string | undefined {
  if (is(chunk, Param)) return is(chunk.encoder, Column) && refuses(chunk) ? propertyOf(chunk.encoder) : undefined
  const inner = is(chunk, SQL) ? chunk.queryChunks : chunk
  if (!Array.isArray(inner)) return undefined
  for (const one of inner) {
    const found = refusingField(one)
    if (found !== undefined) return found
  }
  return undefined
}

const propertyOf = ({ table, name }: Column): string =>
  Object.entries(getTableColumns(table)).find(([, column]) => column.name === name)?.[0] ?? name

function refuses({ encoder, value }: Param): boolean {
  try {
    encoder.mapToDriverValue(value)
    return false
  } catch {
    return true
  }
}
