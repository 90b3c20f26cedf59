import { digestOf } from './function-digest.js'
import type { Manifest, Privilege, TableManifest } from './manifest.js'
import type { TableKind } from '../schema/shared/kinds.js'

/**
 * Where `migrate up` records what the migrations of every build have brought: a row for each table, function and set of migrations.
 * It is a view of literal rows, which only its owner can replace. The proof of builds that do not know it refuses rights on a
 * table, and passes over a view with security_invoker.
 */
export const inventory = { schema: 'platform_migrations', name: 'inventory' }

export interface InventoryEntry {
  /** The bookkeeping table of the set of migrations that brought it. */
  readonly set: string
  readonly what: 'set' | 'table' | 'function'
  readonly name: string
  readonly facts: unknown
}

/** What an older build has to know of a table to check it. */
interface RecordedTable {
  readonly schema: string
  readonly name: string
  readonly kind: TableKind
  /** The column that says whose a row is. */
  readonly owner?: string | undefined
  readonly appendOnly?: boolean | undefined
  readonly rights: Rights
}

/** By role and privilege: the columns, or all of the table. */
type Rights = Readonly<Record<string, Readonly<Record<string, true | readonly string[]>>>>

interface RecordedFunction {
  readonly digest: string
  readonly executableBy: readonly string[]
}

/** How a set of migrations is named in the inventory. */
export const setKey = ({ schema, table }: { readonly schema: string; readonly table: string }) => `${schema}.${table}`

/** What a build declares, as rows of the inventory. `setOf` says whose migrations make a table of that schema. */
export function entriesOf(
  { tables, functions }: Manifest,
  { platform, setOf }: { readonly platform: string; readonly setOf: (schema: string) => string },
): InventoryEntry[] {
  return [
    ...tables.flatMap((table) => tableEntry(table, setOf(table.schema))),
    ...functions.map((fn): InventoryEntry => ({
      set: platform,
      what: 'function',
      name: fn.signature,
      facts: { digest: digestOf(fn), executableBy: fn.executableBy } satisfies RecordedFunction,
    })),
  ]
}

/** Nothing for a table that was never declared: nobody is granted anything on it. */
function tableEntry(
  { schema, name, kind, appendOnly, policies, grants }: TableManifest,
  set: string,
): InventoryEntry[] {
  if (kind === undefined) return []
  const owner = policies.flatMap(({ rows }) => (rows === 'all' ? [] : [rows.column]))[0]
  const rights = Object.fromEntries(Object.entries(grants).map(([role, held]) => [role, byPrivilege(held)]))
  const facts: RecordedTable = { schema, name, kind, owner, ...(appendOnly && { appendOnly }), rights }
  return [{ set, what: 'table', name: `${schema}.${name}`, facts }]
}

function byPrivilege(rights: readonly Privilege[]): Record<string, true | string[]> {
  const grouped: Record<string, true | string[]> = {}
  for (const { privilege, column } of rights) {
    const others = grouped[privilege]
    grouped[privilege] = column === undefined ? true : [...(Array.isArray(others) ? others : []), column]
  }
  return grouped
}
