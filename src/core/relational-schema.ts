import { type AnyColumn, is, type Relation, Relations, Table } from 'drizzle-orm'
import { DefinitionError, InvalidInputError } from './errors.js'
import { ownProperties } from './values.js'

/** Tables and relations by their names, with whatever else their module exports. */
export type SchemaModule = Readonly<Record<string, unknown>>

/** The tables of a schema with their relations. Drizzle's own type knows one `relations()` for each table only. */
export type RelationalTables<Schema extends SchemaModule> = {
  [Key in keyof Schema as Schema[Key] extends Table ? Key : never]: Schema[Key] extends Table
    ? {
        tsName: Key & string
        dbName: Schema[Key]['_']['name']
        columns: Schema[Key]['_']['columns']
        relations: RelationsOf<Schema, Schema[Key]['_']['name']>
        primaryKey: AnyColumn[]
      }
    : never
}

type RelationsOf<Schema extends SchemaModule, Name extends string> =
  Intersected<ConfigOf<Schema[keyof Schema], Name>> extends infer Found extends Record<string, Relation> ? Found : never

type ConfigOf<Export, Name extends string> = Export extends Relations<Name, infer Config> ? Config : never

type Intersected<Union> = (Union extends unknown ? (each: Union) => void : never) extends (all: infer All) => void
  ? All
  : never

/**
 * Returns a function that merges a host's tables and relations with the library's. The same schema gives the same merged object,
 * because that object is the cache key of Drizzle's description in scoped-database.ts.
 */
export function schemaExtender(library: SchemaModule): (own: SchemaModule) => SchemaModule {
  const extended = new WeakMap<SchemaModule, SchemaModule>()
  return (own) => {
    const known = extended.get(own)
    if (known !== undefined) return known
    const schema = { ...library, ...tablesAndRelations(library, own) }
    extended.set(own, schema)
    return schema
  }
}

function tablesAndRelations(library: SchemaModule, own: SchemaModule): SchemaModule {
  const found = Object.entries(ownProperties(own, 'schema')).filter(([, value]) => isTableOrRelations(value))
  if (found.length === 0) throw new InvalidInputError('schema', 'has no table and no relations')
  const [taken] = takenNames(library, own)
  if (taken !== undefined) {
    throw new DefinitionError(
      `schema: ${taken} is the name of an export of tenantry/schema; pass yours under another name`,
    )
  }
  return Object.fromEntries(found)
}

/**
 * The exports of a host's schema that are other tables or relations of the library by name: `org.db.query` has one of each name.
 */
export const takenNames = (library: SchemaModule, own: SchemaModule): string[] =>
  Object.keys(own).filter(
    (name) => isTableOrRelations(own[name]) && Object.hasOwn(library, name) && library[name] !== own[name],
  )

const isTableOrRelations = (value: unknown): boolean => is(value, Table) || is(value, Relations)
