import pg from 'pg'
import { digestFound } from '../access/function-digest.js'
import {
  type InventoryEntry,
  inventory,
  onColumns,
  type RecordedSet,
  type RecordedTable,
  recordedPermission,
  recordedSet,
  setEntry,
} from '../access/inventory.js'
import { runtimeRoles } from '../access/manifest.js'
import { functionNamed } from '../access/rights.js'
import type { Session } from '../database/session.js'
import { mayRead, readAppliedIfAllowed } from './bookkeeping.js'

const view = `${inventory.schema}.${inventory.name}`

/** The entries of the inventory. None in a database without it, which older builds have migrated. */
async function readInventory(session: Session): Promise<InventoryEntry[]> {
  if (!(await viewExists(session))) return []
  return session.query<InventoryEntry>(`select i."set", i.what, i.name, i.facts from ${view} i`)
}

/** The recorded sets of migrations. Empty for a role that may not read the record: then it is not the role that migrates. */
export async function readRecordedSets(session: Session): Promise<RecordedSet[]> {
  const { schema, name: table } = inventory
  const entries = (await mayRead(session, { schema, table })) ? await readInventory(session) : []
  return entries.flatMap((entry) => recordedSet(entry) ?? [])
}

/** The recorded permissions of a set, with the built-in roles that have them. */
export async function readRecordedPermissions(session: Session, set: string): Promise<Map<string, readonly string[]>> {
  const entries = (await readInventory(session)).filter((entry) => entry.what === 'permission' && entry.set === set)
  return new Map(entries.map((entry) => [entry.name, recordedPermission(entry)?.roles ?? []]))
}

/** Records the objects of a build, replacing entries of the same names. Called under the lock of the migrator. */
export const recordObjects = (session: Session, entries: readonly InventoryEntry[]): Promise<void> =>
  inTransaction(session, () => recordWithin(session, entries))

/** The same within the caller's transaction. */
export async function recordWithin(session: Session, entries: readonly InventoryEntry[]): Promise<void> {
  const replaced = new Set(entries.map(keyOf))
  const others = (await readInventory(session)).filter((entry) => !replaced.has(keyOf(entry)))
  if (!(await viewExists(session))) await create(session)
  await replace(session, [...others, ...entries])
}

/** Corrects the record: removes objects that are missing or changed, and writes the applied migrations of each set. */
export const refreshInventory = (session: Session): Promise<void> =>
  inTransaction(session, () => refreshInventoryWithin(session))

/** The recorded permissions that the catalog has. */
async function permissionsAmong(session: Session, entries: readonly InventoryEntry[]): Promise<string[]> {
  const keys = entries.filter(({ what }) => what === 'permission').map(({ name }) => name)
  if (keys.length === 0 || !(await holdsPermissions(session))) return []
  const rows = await session.query<{ key: string }>(
    'select p.key from platform.permissions p where p.key = any($1::text[])',
    [keys],
  )
  return rows.map(({ key }) => key)
}

/** False while the library's first migrations are not applied. */
export async function holdsPermissions(session: Session): Promise<boolean> {
  const [row] = await session.query<{ found: boolean }>(
    `select pg_catalog.to_regclass('platform.role_permissions') is not null as found`,
  )
  return row?.found === true
}

/** Corrects the record within the transaction of a migration that is undone. */
export async function refreshInventoryWithin(session: Session): Promise<void> {
  const entries = await readInventory(session)
  if (entries.length === 0) return
  const found = await session.query<{ name: string; columns: string[] | null }>(foundStatement, [
    JSON.stringify(entries),
  ])
  const columns = new Map(found.map((one) => [one.name, one.columns]))
  for (const key of await permissionsAmong(session, entries)) columns.set(key, null)
  const objects = entries.flatMap((entry): InventoryEntry[] => {
    const there = columns.get(entry.name)
    if (entry.what === 'set' || there === undefined) return []
    return [there === null ? entry : { ...entry, facts: onColumns(entry.facts as RecordedTable, there) }]
  })
  await replace(session, [...objects, ...(await appliedSets(session, entries))])
}

async function inTransaction(session: Session, work: () => Promise<void>): Promise<void> {
  await session.query('begin')
  try {
    // A session that reads the whole database, as a dump does, blocks this until it ends.
    await session.query(`set local lock_timeout = '10s'`)
    await work()
    await session.query('commit')
  } catch (error) {
    await session.query('rollback').catch(() => undefined)
    throw error
  }
}

async function appliedSets(session: Session, entries: readonly InventoryEntry[]): Promise<InventoryEntry[]> {
  const sets: InventoryEntry[] = []
  for (const entry of entries) {
    if (entry.what !== 'set') continue
    const set = recordedSet(entry)
    const applied = set && (await readAppliedIfAllowed(session, set))
    if (set === undefined || applied === undefined) sets.push(entry)
    else if (applied.length > 0) sets.push(setEntry({ ...set, hashes: applied.map(({ hash }) => hash) }))
  }
  return sets
}

const keyOf = ({ what, name }: InventoryEntry) => `${what} ${name}`

async function viewExists(session: Session): Promise<boolean> {
  const [row] = await session.query<{ found: boolean }>('select pg_catalog.to_regclass($1) is not null as found', [
    view,
  ])
  return row?.found === true
}

/** The view gets the owner of the tables, also where a superuser migrates: the proof trusts no other owner. */
async function create(session: Session): Promise<void> {
  await session.query(`create view ${view} with (security_invoker) as ${asRows([])}`)
  const [other] = await session.query<{ owner: string }>(
    `select pg_catalog.quote_ident(r.rolname) as owner from pg_catalog.pg_class c join pg_catalog.pg_roles r on r.oid = c.relowner
     where c.oid = pg_catalog.to_regclass('platform.organizations') and r.rolname <> current_user`,
  )
  if (other !== undefined) await session.query(`alter view ${view} owner to ${other.owner}`)
  await session.query(`grant select on ${view} to ${runtimeRoles.join(', ')}`)
}

/** Does nothing when nothing has changed: replacing a view waits for its readers. */
async function replace(session: Session, entries: readonly InventoryEntry[]): Promise<void> {
  const sorted = [...entries].sort((a, b) => Number(keyOf(a) > keyOf(b)) - Number(keyOf(a) < keyOf(b)))
  const [current] = await session.query<{ same: boolean }>(
    `select coalesce((
       select pg_catalog.jsonb_agg(pg_catalog.to_jsonb(i) order by (i.what || ' ' || i.name) collate "C") from ${view} i
     ), '[]') = $1::jsonb as same`,
    [JSON.stringify(sorted)],
  )
  if (current?.same !== true)
    await session.query(`create or replace view ${view} with (security_invoker) as ${asRows(sorted)}`)
}

const asRows = (entries: readonly InventoryEntry[]) =>
  `select i."set", i.what, i.name, i.facts
   from pg_catalog.jsonb_to_recordset(${pg.escapeLiteral(JSON.stringify(entries))}::jsonb)
     as i("set" text, what text, name text, facts jsonb)`

/** The recorded tables with their existing columns, and the functions that match the record. */
const foundStatement = `
with entry as (
  select e.what, e.name, e.facts from pg_catalog.jsonb_to_recordset($1::jsonb) as e(what text, name text, facts jsonb)
)
select e.name, array(
    select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  ) as columns
from entry e
join pg_catalog.pg_namespace n on n.nspname = e.facts ->> 'schema'
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = e.facts ->> 'name'
where e.what = 'table'
union all
select e.name, null
from entry e join pg_catalog.pg_proc p on p.oid = ${functionNamed('e.name')}
where e.what = 'function' and ${digestFound} = e.facts ->> 'digest'`
