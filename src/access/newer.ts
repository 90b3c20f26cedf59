import pg from 'pg'
import { z } from 'zod'
import { fixedColumns } from './grants.js'
import { type InventoryEntry, inventory, setKey } from './inventory.js'
import type { AppliedMigrations, DeclaredPolicy, DeclaredRight, DeclaredTable, ExpectedFunction } from './rights.js'
import type { TableKind } from '../schema/shared/kinds.js'
import type { Session } from '../database/session.js'

/** Whether a table is missing (42P01), or this login may not read it (42501). */
export const isUnreadable = (error: unknown): boolean =>
  ['42P01', '42501'].includes(String((error as { code?: unknown }).code))

/** What newer builds have recorded, by set. Returns nothing for a set when this build knows its newest migration. */
export async function readNewer(
  session: Pick<Session, 'query'>,
  migrations: readonly AppliedMigrations[],
): Promise<InventoryEntry[]> {
  const newer = migrations.map(({ schema, table, known }) => {
    const newest = Math.max(-1, ...known.map(({ when }) => when))
    return `select ${pg.escapeLiteral(setKey({ schema, table }))} where exists (
      select from ${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)} a where a.created_at > ${newest})`
  })
  if (newer.length === 0) return []
  try {
    return await session.query<InventoryEntry>(
      `with newer("set") as (${newer.join(' union all ')})
      select i."set", i.what, i.name, i.facts from newer join ${inventory.schema}.${inventory.name} i using ("set")`,
    )
  } catch (error) {
    // Then nothing was recorded, or not for this login.
    if (isUnreadable(error)) return []
    throw error
  }
}

/** The tables and functions that a proof expects in the database. */
export interface Expected {
  readonly tables: readonly DeclaredTable[]
  readonly functions: readonly ExpectedFunction[]
}

/**
 * Merges the declarations of this build with the record of a newer one. A table that this build does not know must have all that
 * its kind demands. For a known table, rights on further columns are accepted. For a function, the version that the newer
 * build recorded is accepted too.
 */
export function withNewer({ tables, functions }: Expected, entries: readonly InventoryEntry[]): Expected {
  const recorded = new Map(entries.flatMap(readTable).map((table) => [`${table.schema}.${table.name}`, table]))
  const replaced = new Map(entries.flatMap(readFunction).map((fn) => [fn.signature, fn]))
  const known = tables.map((table) => {
    const newer = recorded.get(`${table.schema}.${table.name}`)
    recorded.delete(`${table.schema}.${table.name}`)
    // The newer build may have replaced a foreign key, which is not recorded.
    return newer === undefined ? table : { ...table, also: furtherRights(table, newer), foreignKeys: [] }
  })
  const knownFunctions = functions.map((fn) => {
    const newer = replaced.get(fn.signature)
    replaced.delete(fn.signature)
    return newer === undefined ? fn : { ...fn, digests: [...fn.digests, ...newer.digests] }
  })
  return {
    tables: [...known, ...[...recorded.values()].map(asDeclared)],
    functions: [...knownFunctions, ...replaced.values()],
  }
}

const names = z.array(z.string())
const tableFacts = z.object({
  schema: z.string(),
  name: z.string(),
  // A kind that only a later build knows cannot be checked by this one.
  kind: z.enum(['tenant', 'control', 'user', 'catalog', 'global'] satisfies TableKind[]),
  owner: z.string().optional(),
  appendOnly: z.boolean().default(false),
  rights: z.record(z.string(), z.record(z.string(), z.union([z.literal(true), names]))),
})
type Recorded = z.infer<typeof tableFacts>

const functionFacts = z.object({ digest: z.string(), executableBy: names })

function readTable({ what, facts }: InventoryEntry): Recorded[] {
  const { data } = tableFacts.safeParse(facts)
  return what === 'table' && data !== undefined ? [data] : []
}

function readFunction({ what, name, facts }: InventoryEntry): ExpectedFunction[] {
  const { data } = functionFacts.safeParse(facts)
  if (what !== 'function' || data === undefined) return []
  const { digest, executableBy } = data
  const restore = 'npx tenantry migrate up # with the newer version of the application'
  return [{ signature: name, restore, digests: [digest], executableBy, origin: 'newer' }]
}

function asDeclared(table: Recorded): DeclaredTable {
  return {
    schema: table.schema,
    name: table.name,
    kind: table.kind,
    columns: [],
    rowSecurity: table.kind !== 'catalog',
    partitioned: false,
    policies: policiesOf(table),
    grants: {},
    also: rightsWithin(table),
    origin: 'newer',
  }
}

function policiesOf({ kind, owner = '' }: Recorded): DeclaredPolicy[] {
  const system: DeclaredPolicy = { name: 'system_access', role: 'tenantry_system', rows: 'all' }
  const bound = (name: string, binding: string): DeclaredPolicy[] => [
    { name, role: 'tenantry_app', rows: { column: owner, binding } },
    system,
  ]
  switch (kind) {
    case 'catalog':
      return []
    case 'global':
      return [system]
    case 'user':
      return bound('user_access', 'current_user_id')
    case 'tenant':
    case 'control':
      return bound('org_isolation', 'current_org')
  }
}

/** For a table that both builds know: the recorded rights on columns that only the newer one has. */
function furtherRights({ columns }: DeclaredTable, newer: Recorded): Record<string, DeclaredRight[]> {
  const further = ({ column }: DeclaredRight) => column !== undefined && !columns.includes(column)
  return Object.fromEntries(Object.entries(rightsWithin(newer)).map(([role, rights]) => [role, rights.filter(further)]))
}

/** The recorded rights, without those that a table of that kind never grants. */
function rightsWithin(table: Recorded): Record<string, DeclaredRight[]> {
  return Object.fromEntries(
    Object.entries(table.rights).map(([role, byPrivilege]) => [
      role,
      Object.entries(byPrivilege)
        .flatMap(([privilege, columns]): DeclaredRight[] =>
          columns === true ? [{ privilege }] : columns.map((column) => ({ privilege, column })),
        )
        .filter((right) => isWithinKind(table, role, right)),
    ]),
  )
}

function isWithinKind({ kind, owner, appendOnly }: Recorded, role: string, { privilege, column }: DeclaredRight) {
  const isApp = role === 'tenantry_app'
  if (privilege === 'select') return true
  if (isApp && kind === 'catalog') return false
  if (privilege === 'insert') return true
  if (isApp && appendOnly) return false
  if (privilege === 'update') return column !== undefined && column !== owner && !fixedColumns.includes(column)
  return privilege === 'delete'
}
