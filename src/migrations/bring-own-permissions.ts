import { permissionEntry, setKey } from '../access/inventory.js'
import { isLibraryPermission, type OwnPermission } from '../access/own-permissions.js'
import { withContext } from '../database/session-failure.js'
import { assertLockHeld } from '../database/session-lock.js'
import type { Session } from '../database/session.js'
import { readRecordedPermissions, recordWithin, refreshInventoryWithin } from './inventory-view.js'
import { retriedTransaction } from './lock-retries.js'
import type { MigrationSet } from './migrator.js'
import type { MigrateOptions } from './progress.js'

export interface BroughtPermissions {
  /** Those that are new to the database. */
  readonly added: readonly string[]
  /** How many built-in roles of organizations were given one, and how many lost one that the config does not give them any more. */
  readonly given: number
  readonly taken: number
}

/** What organizations lost with a permission. */
export interface RemovedPermissions {
  readonly keys: readonly string[]
  /** The roles that organizations have made themselves and that had some of them. */
  readonly roles: readonly { readonly organization: string; readonly role: string; readonly lost: readonly string[] }[]
}

type LockOptions = Pick<MigrateOptions, 'lockTimeout' | 'attempts'>

/**
 * Brings the host's permissions into the catalog, and gives them to the built-in roles of every organization as the config says.
 * Permissions that the config does not name are left alone: they may be those of a build that is still running. Called under the
 * lock of the migrator.
 */
export async function bringOwnPermissions(
  direct: Session,
  { bookkeeping }: MigrationSet,
  permissions: readonly OwnPermission[],
  options: LockOptions = {},
): Promise<BroughtPermissions> {
  if (permissions.length === 0) return { added: [], given: 0, taken: 0 }
  return inTransaction(direct, options, async (session) => {
    const params = [JSON.stringify(permissions)]
    const added = await session.query<{ key: string }>(addStatement, params)
    const [given] = await session.query<{ count: number }>(giveStatement, params)
    const [taken] = await session.query<{ count: number }>(takeStatement, params)
    const set = setKey(bookkeeping)
    await recordWithin(
      session,
      permissions.map((permission) => permissionEntry(set, permission)),
    )
    return { added: added.map(({ key }) => key), given: given?.count ?? 0, taken: taken?.count ?? 0 }
  })
}

/** The permissions that an earlier config brought and this one does not name. */
export async function formerPermissions(
  direct: Session,
  { bookkeeping }: MigrationSet,
  permissions: readonly OwnPermission[],
): Promise<string[]> {
  const session = withContext(direct, where)
  const named = new Set(permissions.map(({ key }) => key))
  const recorded = await readRecordedPermissions(session, setKey(bookkeeping))
  return [...recorded.keys()].filter((key) => !named.has(key) && !isLibraryPermission(key)).sort()
}

/** How the permissions of the config differ from those that the last `migrate up` brought. */
export async function permissionFaults(
  direct: Session,
  { bookkeeping }: MigrationSet,
  permissions: readonly OwnPermission[],
): Promise<string[]> {
  const recorded = await readRecordedPermissions(withContext(direct, where), setKey(bookkeeping))
  return permissions.flatMap(({ key, roles }) => {
    const held = recorded.get(key)
    const fault = held === undefined ? 'the database does not have it' : differenceOf(held, roles)
    return fault === undefined ? [] : [`permission ${key}: ${fault}; run \`npx tenantry migrate up\``]
  })
}

function differenceOf(held: readonly string[], declared: readonly string[]): string | undefined {
  const [inDatabase, inConfig] = [held, declared].map((roles) => [...roles].sort().join(', '))
  if (inDatabase === inConfig) return undefined
  return `in the database it belongs to ${inDatabase}, and in the config to ${inConfig}`
}

/** Removes these permissions of the host's from the catalog and from every role. Called under the lock of the migrator. */
export async function removeOwnPermissions(
  direct: Session,
  keys: readonly string[],
  options: LockOptions = {},
): Promise<RemovedPermissions> {
  const wanted = keys.filter((key) => !isLibraryPermission(key))
  if (wanted.length === 0) return { keys: [], roles: [] }
  return inTransaction(direct, options, async (session) => {
    // Locked first: a role that is being given one of them either waits here, or is seen by the next statement.
    const found = await session.query<{ key: string }>(
      'select key from platform.permissions where key = any($1::text[]) order by key for update',
      [wanted],
    )
    const roles = await session.query<RemovedPermissions['roles'][number]>(losingStatement, [wanted])
    await session.query('delete from platform.role_permissions where permission = any($1::text[])', [wanted])
    await session.query('delete from platform.permissions where key = any($1::text[])', [wanted])
    await refreshInventoryWithin(session)
    return { keys: found.map(({ key }) => key), roles }
  })
}

const where = 'your permissions'

function inTransaction<T>(
  direct: Session,
  { lockTimeout = 1000, attempts = 10 }: LockOptions,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = withContext(direct, where)
  return retriedTransaction(session, { lockTimeout, attempts }, async () => {
    await assertLockHeld(session)
    return work(session)
  })
}

const wantedCte = `wanted as (
  select w.key, w.description, w.roles from json_to_recordset($1::json) w(key text, description text, roles json)
), entry as (
  select w.key as permission, r.role from wanted w cross join lateral json_array_elements_text(w.roles) r(role)
)`

const addStatement = `with ${wantedCte}, fresh as (
    insert into platform.permissions (key, description) select w.key, w.description from wanted w
    on conflict (key) do nothing returning key
  ), reworded as (
    update platform.permissions p set description = w.description, updated_at = statement_timestamp()
    from wanted w where w.key = p.key and w.description <> p.description
  )
  select key from fresh order by key`

const giveStatement = `with ${wantedCte}, given as (
    insert into platform.role_permissions (org_id, role_key, permission)
    select r.org_id, r.key, e.permission from entry e join platform.roles r on r.key = e.role and r.built_in
    on conflict do nothing returning 1
  )
  select count(*)::int as count from given`

const takeStatement = `with ${wantedCte}, taken as (
    delete from platform.role_permissions h using wanted w, platform.roles r
    where h.permission = w.key and r.org_id = h.org_id and r.key = h.role_key and r.built_in
      and not exists (select from entry e where e.permission = h.permission and e.role = h.role_key)
    returning 1
  )
  select count(*)::int as count from taken`

const losingStatement = `
  select o.slug as organization, h.role_key as role, array_agg(h.permission order by h.permission) as lost
  from platform.role_permissions h
  join platform.roles r on r.org_id = h.org_id and r.key = h.role_key and r.built_in is not true and r.deleted_at is null
  join platform.organizations o on o.id = h.org_id
  where h.permission = any($1::text[])
  group by o.slug, h.role_key
  order by o.slug, h.role_key`
