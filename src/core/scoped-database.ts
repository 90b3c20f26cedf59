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
import { DefinitionError } from './errors.js'
import type { Result } from './executor.js'
import { planned } from './planned.js'
import type { RelationalTables, SchemaModule } from './relational-schema.js'
import type { Scope } from './scope.js'
import { ScopedDialect } from './scoped-dialect.js'
import { unwritable } from './values.js'
import { StatementCache } from './statements/statement-cache.js'

/** The result of `db.execute` and of a statement without `returning`: its rows, and how many were returned or changed. */
export interface CountedRows<Row> extends Array<Row> {
  readonly rowCount: number
}

interface CountedRowsHKT extends PgQueryResultHKT {
  readonly type: CountedRows<Assume<this['row'], Record<string, unknown>>>
}

/** Drizzle's own builder over a scope. Row security closes it; a transaction or a connection cannot be taken out of it. */
export type ScopedDatabase<Schema extends SchemaModule> = Pick<
  PgDatabase<CountedRowsHKT, Schema, RelationalTables<Schema>>,
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

export function scopedDatabase<Schema extends SchemaModule>(scope: Scope, schema: Schema): ScopedDatabase<Schema> {
  const send = async (text: string, values: unknown[], method: 'run' | 'all' | 'values' | 'get' | 'execute') => {
    const rows = await scope.query(
      () =>
        planned({ statement: statements.foreign(text), values }, (result) =>
          method === 'execute' ? counted(result) : result.rows,
        ),
      // SQL text of the caller could move the binding, though no text is known that passes the guard.
      { reenter: true },
    )
    return { rows }
  }
  const known = relationsOf(schema)
  const session = new PgRemoteSession(send, dialect, known, {})
  adapt(session, scope)
  // Drizzle types the relations table by table; here the schema is a type parameter.
  return new PgRemoteDatabase(dialect, session, known as never) as unknown as ScopedDatabase<Schema>
}

const dialect = new ScopedDialect()

interface Relations {
  readonly fullSchema: SchemaModule
  readonly schema: TablesRelationalConfig
  readonly tableNamesMap: Record<string, string>
}

const relations = new WeakMap<object, Relations>()

/** Cached: for all tables it takes longer than a query. */
function relationsOf(schema: SchemaModule): Relations {
  let known = relations.get(schema)
  if (known === undefined) {
    const { tables, tableNamesMap } = extractTablesRelationalConfig(schema, createTableRelationsHelpers)
    known = { fullSchema: schema, schema: tables, tableNamesMap }
    relations.set(schema, known)
  }
  return known
}

/**
 * Passes our errors on as they are: Drizzle would wrap them into an error with every parameter in its message. Inside a transaction
 * it also tracks builders that nobody awaits.
 */
function adapt(session: PreparingSession, scope: Scope): void {
  session.transaction = refuseTransaction
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

/** The type leaves `transaction` out, but an untyped caller can reach it, and Drizzle's error would blame a driver. */
const refuseTransaction = (): Promise<never> =>
  Promise.reject(
    new DefinitionError(
      'org.db has no transaction(): call org.transaction((org) => ...), and use the db of that org inside',
    ),
  )

interface PreparingSession {
  transaction(...given: never[]): Promise<unknown>
  prepareQuery(query: { params: unknown[] }, ...others: never[]): { execute(values?: object): Promise<unknown> }
}

/** `db.execute(sql)` knows no columns, so that its rows are named by the server. */
function counted({ rows, columns, rowCount }: Result): CountedRows<Record<string, unknown>> {
  const objects = rows.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index]])))
  // Not enumerable, so that comparing or copying the array sees rows only.
  return Object.defineProperty(objects, 'rowCount', { value: rowCount }) as typeof objects & { rowCount: number }
}
