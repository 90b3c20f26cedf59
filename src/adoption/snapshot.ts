import { ForbiddenError, TenantryError, UnavailableError } from '../core/errors.js'
import { quoted } from '../core/statements/column-plan.js'
import { isFilteredRows, refuseFilteredRows } from '../database/row-security.js'
import type { Session } from '../database/session.js'
import { type Catalog, type CatalogTable, readCatalog } from './catalog.js'
import { homeOf, quarantineOf } from './home.js'
import { type Reader, readOnly } from './read-only.js'

/** A schema, and the tables beside it into which its adoption moves rows that have no organization. */
export interface Snapshot {
  readonly reader: Reader
  readonly catalog: Catalog
  /** The quarantine of a table. Undefined where none of its rows was moved. */
  readonly findQuarantine: (table: string) => QualifiedTable | undefined
}

export interface QualifiedTable extends Pick<CatalogTable, 'name' | 'form' | 'columns'> {
  readonly schema: string
}

/** For a transaction: the settings that change how the server prints a value, and how it finds an operator. */
export const plainSettings = [
  'search_path = pg_catalog, pg_temp',
  "datestyle = 'ISO, MDY'",
  "intervalstyle = 'postgres'",
  "timezone = 'UTC'",
  'extra_float_digits = 3',
  "bytea_output = 'hex'",
  "xmloption = 'content'",
  "lc_monetary = 'C'",
  'quote_all_identifiers = off',
].map((setting) => `set local ${setting}`)

/**
 * Runs `work` in one read-only transaction, whose statements all see the same rows and print them in the same way. Rows are refused rather
 * than left out where row security hides some.
 */
export async function inSnapshot<T>(
  session: Session,
  schema: string,
  isWanted: (table: CatalogTable) => boolean,
  work: (snapshot: Snapshot) => Promise<T>,
): Promise<T> {
  const { catalog, quarantine } = await readSchemas(readOnly(session), schema)
  const wanted = catalog.tables.filter(isWanted)
  const names = [
    ...wanted.map(({ name }) => qualified({ schema, name })),
    ...wanted.flatMap(({ name }) => quarantineIn(quarantine, name) ?? []).map(qualified),
  ]
  await session.query('begin isolation level repeatable read read only')
  try {
    for (const statement of [refuseFilteredRows, ...plainSettings]) await session.query(statement)
    // Before the first query, which takes the snapshot: a table that is rewritten later would seem to be empty in it.
    if (names.length > 0) await session.query(`lock table ${names.join(', ')} in access share mode`)
    const seen = await readSchemas(session, schema)
    return await work({
      reader: session,
      catalog: seen.catalog,
      findQuarantine: (table) => quarantineIn(seen.quarantine, table),
    })
  } catch (error) {
    throw unreadable(error)
  } finally {
    // It fails only where the connection is lost, and then says less than the first error.
    await session.query('rollback').catch(() => undefined)
  }
}

export const qualified = ({ schema, name }: Pick<QualifiedTable, 'schema' | 'name'>): string =>
  `${quoted(schema)}.${quoted(name)}`

async function readSchemas(reader: Reader, schema: string): Promise<{ catalog: Catalog; quarantine: Catalog }> {
  return {
    catalog: await readCatalog(reader, schema),
    quarantine: await readCatalog(reader, homeOf(schema)),
  }
}

function quarantineIn({ schema, tables }: Catalog, table: string): QualifiedTable | undefined {
  const found = tables.find(({ name }) => name === quarantineOf(table))
  return found && { ...found, schema }
}

function unreadable(error: unknown): unknown {
  const { code, message } = error as { code?: unknown; message?: unknown }
  if (error instanceof TenantryError || typeof code !== 'string') return error
  if (isFilteredRows(error))
    return new ForbiddenError(
      undefined,
      `${String(message)}: row security hides rows from this login. Connect as the owner of the tables`,
    )
  const text = `the tables cannot be read: ${String(message)} (${code})`
  return code === '42501' ? new ForbiddenError(undefined, text) : new UnavailableError(text)
}
