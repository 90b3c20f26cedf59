import { z } from 'zod'
import { digestOf } from './function-digest.js'
import type { Manifest, Privilege, TableManifest } from './manifest.js'
import type { TableKind } from '../schema/shared/kinds.js'

/**
 * The record that `migrate up` keeps of what the migrations of every build created: a row for each table, function and set of
 * migrations, and for each permission of the host's config. It is a view of literal rows, which only its owner can replace. The proof of
 * builds that do not know it would refuse rights on a table, but skips a view with security_invoker.
 */
export const inventory = { schema: 'platform_migrations', name: 'inventory' }

export interface InventoryEntry {
  /** The bookkeeping table of the set of migrations that created it. */
  readonly set: string
  readonly what: 'set' | 'table' | 'function' | 'permission'
  readonly name: string
  readonly facts: unknown
}

const names = z.array(z.string())

/** The facts that an older build needs to check a table. */
const tableFacts = z.object({
  schema: z.string(),
  name: z.string(),
  // A kind that only a later build knows cannot be checked by this one.
  kind: z.enum(['tenant', 'control', 'user', 'catalog', 'global'] satisfies readonly TableKind[]),
  /** The owner column. */
  owner: z.string().optional(),
  appendOnly: z.boolean().default(false),
  /** By role and privilege: the columns, or the whole table. */
  rights: z.record(z.string(), z.record(z.string(), z.union([z.literal(true), names]))),
})
export type RecordedTable = z.output<typeof tableFacts>

const functionFacts = z.object({ digest: z.string(), executableBy: names })
export type RecordedFunction = z.output<typeof functionFacts>

const setFacts = z.object({
  name: z.string(),
  schema: z.string(),
  table: z.string(),
  /** The hashes of the applied migrations. */
  hashes: z.array(z.string()).default([]),
})

/** The facts of a set of migrations that are known without its files. `schema` and `table` are its bookkeeping. */
export type RecordedSet = z.output<typeof setFacts>

export const setEntry = (facts: RecordedSet): InventoryEntry => ({
  set: setKey(facts),
  what: 'set',
  name: setKey(facts),
  facts,
})

/** The built-in roles to which the config gives the permission. New organizations get them too: see operations/provision.ts. */
const permissionFacts = z.object({ roles: names })
type RecordedPermission = z.output<typeof permissionFacts>

export const permissionEntry = (
  set: string,
  { key, roles }: { readonly key: string; readonly roles: readonly string[] },
): InventoryEntry => ({
  set,
  what: 'permission',
  name: key,
  facts: { roles: [...roles] } satisfies z.input<typeof permissionFacts>,
})

/** Each of these returns `undefined` for a row about something else, or one that this build cannot read. */
export const recordedSet = ({ what, facts }: InventoryEntry): RecordedSet | undefined =>
  what === 'set' ? setFacts.safeParse(facts).data : undefined

export const recordedTable = ({ what, facts }: InventoryEntry): RecordedTable | undefined =>
  what === 'table' ? tableFacts.safeParse(facts).data : undefined

export const recordedFunction = ({ what, facts }: InventoryEntry): RecordedFunction | undefined =>
  what === 'function' ? functionFacts.safeParse(facts).data : undefined

export const recordedPermission = ({ what, facts }: InventoryEntry): RecordedPermission | undefined =>
  what === 'permission' ? permissionFacts.safeParse(facts).data : undefined

/** The name of a set of migrations in the inventory. */
export const setKey = ({ schema, table }: { readonly schema: string; readonly table: string }) => `${schema}.${table}`

/**
 * The declarations of a build as rows of the inventory. `setOf` returns the set of migrations that creates the tables of a schema.
 */
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
      facts: { digest: digestOf(fn), executableBy: [...fn.executableBy] } satisfies RecordedFunction,
    })),
  ]
}

/** Returns nothing for a table that was never declared: no role has rights on it. */
function tableEntry(
  { schema, name, kind, appendOnly, policies, grants }: TableManifest,
  set: string,
): InventoryEntry[] {
  if (kind === undefined) return []
  const owner = policies.flatMap(({ rows }) => (rows === 'all' ? [] : [rows.column]))[0]
  const rights = Object.fromEntries(Object.entries(grants).map(([role, held]) => [role, byPrivilege(held)]))
  const facts: z.input<typeof tableFacts> = { schema, name, kind, owner, ...(appendOnly && { appendOnly }), rights }
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

/** The same table, without rights on columns other than these. */
export function onColumns({ rights, ...facts }: RecordedTable, columns: readonly string[]): RecordedTable {
  const left = (byPrivilege: RecordedTable['rights'][string]) =>
    Object.fromEntries(
      Object.entries(byPrivilege).map(([privilege, on]) => [
        privilege,
        on === true ? on : on.filter((column) => columns.includes(column)),
      ]),
    )
  return { ...facts, rights: Object.fromEntries(Object.entries(rights).map(([role, held]) => [role, left(held)])) }
}
