import pg from 'pg'
import {
  inventory,
  type InventoryEntry,
  recordedFunction,
  type RecordedTable,
  recordedTable,
  setKey,
} from './inventory.js'
import type { PolicyManifest } from './manifest.js'
import type { AppliedMigrations, DeclaredTable, ExpectedFunction, RecordedRight } from './rights.js'
import type { Session } from '../database/session.js'
import { fixedColumns } from '../schema/shared/kinds.js'

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
  const recorded = new Map(
    entries.flatMap((entry) => recordedTable(entry) ?? []).map((table) => [`${table.schema}.${table.name}`, table]),
  )
  const replaced = new Map(entries.flatMap(asFunction).map((fn) => [fn.signature, fn]))
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

function asFunction(entry: InventoryEntry): ExpectedFunction[] {
  const recorded = recordedFunction(entry)
  if (recorded === undefined) return []
  const restore = 'npx tenantry migrate up # with the newer version of the application'
  return [
    {
      signature: entry.name,
      restore,
      digests: [recorded.digest],
      executableBy: recorded.executableBy,
      origin: 'newer',
    },
  ]
}

function asDeclared(table: RecordedTable): DeclaredTable {
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

function policiesOf({ kind, owner = '' }: RecordedTable): PolicyManifest[] {
  const system: PolicyManifest = { name: 'system_access', role: 'tenantry_system', rows: 'all' }
  const bound = (name: string, binding: 'current_org' | 'current_user_id'): PolicyManifest[] => [
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
function furtherRights({ columns }: DeclaredTable, newer: RecordedTable): Record<string, RecordedRight[]> {
  const further = ({ column }: RecordedRight) => column !== undefined && !columns.includes(column)
  return Object.fromEntries(Object.entries(rightsWithin(newer)).map(([role, rights]) => [role, rights.filter(further)]))
}

/** The recorded rights, without those that a table of that kind never grants. */
function rightsWithin(table: RecordedTable): Record<string, RecordedRight[]> {
  return Object.fromEntries(
    Object.entries(table.rights).map(([role, byPrivilege]) => [
      role,
      Object.entries(byPrivilege)
        .flatMap(([privilege, columns]): RecordedRight[] =>
          columns === true ? [{ privilege }] : columns.map((column) => ({ privilege, column })),
        )
        .filter((right) => isWithinKind(table, role, right)),
    ]),
  )
}

function isWithinKind({ kind, owner, appendOnly }: RecordedTable, role: string, { privilege, column }: RecordedRight) {
  const isApp = role === 'tenantry_app'
  if (privilege === 'select') return true
  if (isApp && kind === 'catalog') return false
  if (privilege === 'insert') return true
  if (isApp && appendOnly) return false
  if (privilege === 'update') return column !== undefined && column !== owner && !fixedColumns.includes(column)
  return privilege === 'delete'
}
