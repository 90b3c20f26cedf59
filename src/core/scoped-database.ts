import {
  type Assume,
  createTableRelationsHelpers,
  extractTablesRelationalConfig,
  fillPlaceholders,
  is,
  Param,
  Placeholder,
  type TablesRelationalConfig,
} from 'drizzle-orm'
import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'
import { PgRemoteDatabase, PgRemoteSession } from 'drizzle-orm/pg-proxy'
import type { Result } from './executor.js'
import { planned } from './planned.js'
import type { Scope } from './scope.js'
import { ScopedDialect } from './scoped-dialect.js'
import { unwritable } from './values.js'
import { StatementCache } from './statements/statement-cache.js'

/** What a statement without `returning` gives, and `db.execute`: the rows, if any, and how many were returned or changed. */
export interface CountedRows<Row> extends Array<Row> {
  readonly rowCount: number
}

interface CountedRowsHKT extends PgQueryResultHKT {
  readonly type: CountedRows<Assume<this['row'], Record<string, unknown>>>
}

/** Drizzle's own builder over a scope. Row security closes it; a transaction or a connection cannot be taken out of it. */
export type ScopedDatabase<Schema extends Record<string, unknown>> = Pick<
  PgDatabase<CountedRowsHKT, Schema>,
  | 'select'
  | 'selectDistinct'
  | 'selectDistinctOn'
  | 'insert'
  | 'update'
  | 'delete'
  | 'with'
  | '$with'
  | '$count'
  | 'query'
  | 'execute'
>

const statements = new StatementCache()

export function scopedDatabase<Schema extends Record<string, unknown>>(
  scope: Scope,
  schema: Schema,
): ScopedDatabase<Schema> {
  const send = async (text: string, values: unknown[], method: 'run' | 'all' | 'values' | 'get' | 'execute') => {
    const rows = await scope.query(
      () =>
        planned({ statement: statements.foreign(text), values }, (result) =>
          method === 'execute' ? counted(result) : result.rows,
        ),
      // Text of the caller's own could have moved the binding, though none is known that gets past the guard.
      { reenter: true },
    )
    return { rows }
  }
  const known = relationsOf(schema)
  const session = new PgRemoteSession(send, dialect, known, {})
  adapt(session, scope)
  // Its type would be of the tables one by one; here they are whatever the schema has.
  return new PgRemoteDatabase(dialect, session, known as never) as unknown as ScopedDatabase<Schema>
}

const dialect = new ScopedDialect()

interface Relations {
  readonly fullSchema: Record<string, unknown>
  readonly schema: TablesRelationalConfig
  readonly tableNamesMap: Record<string, string>
}

const relations = new WeakMap<object, Relations>()

/** Worked out once: with every table it takes longer than a query. */
function relationsOf(schema: Record<string, unknown>): Relations {
  let known = relations.get(schema)
  if (known === undefined) {
    const { tables, tableNamesMap } = extractTablesRelationalConfig(schema, createTableRelationsHelpers)
    known = { fullSchema: schema, schema: tables, tableNamesMap }
    relations.set(schema, known)
  }
  return known
}

/**
 * Drizzle wraps whatever is thrown into an error whose message holds every parameter. Ours are to arrive as they are, also when
 * nobody awaits the builder inside of a transaction.
 */
function adapt(session: PreparingSession, scope: Scope): void {
  const prepare = session.prepareQuery.bind(session)
  session.prepareQuery = (query, ...others) => {
    const prepared = prepare(query, ...others)
    const execute = prepared.execute.bind(prepared)
    const { params } = query
    const isFilled = params.some((param) => is(param, Placeholder) || is(param, Param))
    const send = async (values?: Record<string, unknown>) => {
      if (isFilled) assertFills(params, values)
      return execute(values)
    }
    return Object.assign(prepared, {
      execute: (values?: Record<string, unknown>) => scope.track(send(values)),
      queryWithCache: (_text: string, _values: unknown[], run: () => unknown) => run(),
    })
  }
}

/** Drizzle would throw an error of its own for a placeholder that is given no value, or one that its column cannot write. */
function assertFills(params: unknown[], values: Record<string, unknown> = {}): void {
  try {
    fillPlaceholders(params, values)
  } catch (error) {
    throw unwritable('', error)
  }
}

interface PreparingSession {
  prepareQuery(query: { params: unknown[] }, ...others: never[]): { execute(values?: object): Promise<unknown> }
}

/** `db.execute(sql)` knows no columns, so that its rows are named by the server. */
function counted({ rows, columns, rowCount }: Result): CountedRows<Record<string, unknown>> {
  const objects = rows.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index]])))
  // Not enumerable: a list of rows stays a list of rows wherever it is compared or copied.
  return Object.defineProperty(objects, 'rowCount', { value: rowCount }) as typeof objects & { rowCount: number }
}
