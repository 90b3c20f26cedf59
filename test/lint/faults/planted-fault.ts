import { type AnyPgColumn, pgSchema, type PgTable, primaryKey } from 'drizzle-orm/pg-core'
import { id, orgId, timestamps } from '../../../src/schema/shared/columns.js'
import { tenantTable } from '../../../src/schema/shared/isolation.js'
import { declareTable, type TableFacts } from '../../../src/schema/shared/kinds.js'

/** What a schema module exports, with one thing wrong, and the one finding that it must give. */
export interface PlantedFault {
  readonly fault: string
  readonly rule: string
  readonly object?: string
  readonly exports: Readonly<Record<string, unknown>>
}

/** A user's own Postgres schema. */
export const crm = pgSchema('crm')

/** The columns of a sound table of an organization. */
export const columns = () => ({ orgId: orgId(), id: id(), ...timestamps() })

/** The constraints of a sound table of an organization. */
export const constraints = (name: string, t: { orgId: AnyPgColumn; id: AnyPgColumn }) => [
  primaryKey({ name: `${name}_pkey`, columns: [t.orgId, t.id] }),
  ...tenantTable(name, t),
]

export function declared<Table extends PgTable>(table: Table, facts: TableFacts = { kind: 'tenant' }): Table {
  declareTable(table, facts)
  return table
}
