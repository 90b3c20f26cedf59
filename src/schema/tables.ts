import { is } from 'drizzle-orm'
import { PgTable } from 'drizzle-orm/pg-core'
import * as schema from './index.js'

/** The tables among a schema module's exports. */
export const tablesOf = (exports: Readonly<Record<string, unknown>>): PgTable[] =>
  Object.values(exports).filter((value): value is PgTable => is(value, PgTable))

/** Every table of the library. */
export const platformTables: readonly PgTable[] = tablesOf(schema)

/** The host's tables among a schema module's exports, which may include those of the library. */
export const ownTablesOf = (exports: Readonly<Record<string, unknown>>): PgTable[] =>
  tablesOf(exports).filter((table) => !platformTables.includes(table))
