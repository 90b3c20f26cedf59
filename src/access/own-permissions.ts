import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { DefinitionError } from '../core/errors.js'
import { ownItems, ownProperties } from '../core/values.js'
import { builtInRoles, permissionCatalog } from '../schema/built-in-roles.js'
import { factsOf } from '../schema/shared/kinds.js'
import * as shape from '../schema/shared/shapes.js'

/** A permission of the host's own, with the built-in roles that have it. */
export interface OwnPermission {
  readonly key: string
  readonly description: string
  readonly roles: readonly string[]
}

/** As the host writes them: descriptions by permission, and permissions by built-in role. */
export interface GivenPermissions {
  readonly permissions?: Readonly<Record<string, string>> | undefined
  readonly roles?: Readonly<Record<string, readonly string[] | undefined>> | undefined
}

/** The roles that have every permission of the host's. */
const allHolding: readonly string[] = ['owner', 'admin']
const maxKey = 100
const description = shape.label(1000)

export const isLibraryPermission = (key: string): boolean => Object.hasOwn(permissionCatalog, key)

/**
 * Throws DefinitionError, which names the fault. `where` stands before the field: `own.`, or the path of a tenantry.config.ts and a
 * blank.
 */
export function ownPermissions({ permissions = {}, roles = {} }: GivenPermissions, where: string): OwnPermission[] {
  const described = Object.entries(ownProperties(permissions, `${where}permissions`))
  const refuse = (what: string) => new DefinitionError(`${where}${what}`)
  for (const [key, text] of described) {
    const fault = keyFault(key) ?? descriptionFault(text)
    if (fault !== undefined) throw refuse(`permissions: ${key} ${fault}`)
  }
  const holders = new Map(described.map(([key]): [string, string[]] => [key, [...allHolding]]))
  for (const [role, held] of Object.entries(ownProperties(roles, `${where}roles`))) {
    const fault = roleFault(role)
    if (fault !== undefined) throw refuse(`roles: ${role} ${fault}`)
    for (const key of held === undefined ? [] : new Set(ownItems(held, `${where}roles.${role}`, 1000))) {
      const of = holders.get(key as string)
      if (of === undefined) throw refuse(`roles.${role}: ${unknownFault(key)}`)
      of.push(role)
    }
  }
  return described.map(([key, text]) => ({ key, description: text as string, roles: holders.get(key) ?? [] }))
}

function keyFault(key: string): string | undefined {
  if (!/^[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$/.test(key))
    return 'must be two words with a colon between, such as tickets:read, of lower-case letters, digits and underscores'
  if (key.length > maxKey) return `is longer than ${maxKey} characters`
  return isLibraryPermission(key) ? 'is a permission of the library: choose another name' : undefined
}

function descriptionFault(text: unknown): string | undefined {
  const { success, error } = description.safeParse(text)
  return success ? undefined : `needs a description: ${error.issues[0]?.message ?? ''}`
}

function roleFault(role: string): string | undefined {
  if (allHolding.includes(role)) return 'has all of your permissions: leave it out'
  const named = builtInRoles.map(({ key }) => key).filter((key) => !allHolding.includes(key))
  return named.includes(role) ? undefined : `is not a built-in role: there are ${named.join(', ')}`
}

/** What the library's permissions allow in its own roles is the library's: a role that the organization makes may hold both. */
function unknownFault(key: unknown): string {
  if (typeof key !== 'string') return 'must be a list of permissions'
  return isLibraryPermission(key)
    ? `${key} is a permission of the library, and the library says which built-in roles have it`
    : `${key} is not in permissions`
}

/** A table of an organization whose repositories would ask for permissions that nobody can have. */
export interface UncoveredTable {
  readonly table: string
  /** The resource in the permissions: `<resource>:read` and `<resource>:write`. */
  readonly resource: string
}

/**
 * The tables whose permissions are in no catalog. Without permissions of its own, a host has only the tables with `permission` in
 * `declareTable` checked.
 */
export function uncoveredTables(tables: readonly PgTable[], own: readonly OwnPermission[]): UncoveredTable[] {
  const known = new Set([...Object.keys(permissionCatalog), ...own.map(({ key }) => key)])
  return tables.flatMap((table) => {
    const facts = factsOf(table)
    if (facts?.kind !== 'tenant' && facts?.kind !== 'control') return []
    if (facts.permission === undefined && own.length === 0) return []
    const { name, schema = 'public' } = getTableConfig(table)
    const resource = facts.permission ?? name
    if (known.has(`${resource}:read`) || known.has(`${resource}:write`)) return []
    return [{ table: `${schema}.${name}`, resource }]
  })
}

export const uncoveredText = ({ table, resource }: UncoveredTable): string =>
  `a repository over ${table} asks for ${resource}:read and ${resource}:write, and neither is a permission: add them to ` +
  '`permissions`, or name another resource with declareTable(table, { kind, permission })'
