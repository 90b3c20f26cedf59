import pg from 'pg'
import { digestFound } from '../access/function-digest.js'
import { type InventoryEntry, inventory } from '../access/inventory.js'
import { runtimeRoles } from '../access/manifest.js'
import { functionNamed } from '../access/rights.js'
import type { Session } from '../database/session.js'

const view = `${inventory.schema}.${inventory.name}`

/** What is recorded: nothing in a database that no build which records has migrated. */
async function readInventory(session: Session): Promise<InventoryEntry[]> {
  if (!(await isRecorded(session))) return []
  return session.query<InventoryEntry>(`select i."set", i.what, i.name, i.facts from ${view} i`)
}

/** Records what a build brings, in place of what is recorded under the same names. Under the lock of the migrator. */
export async function record(session: Session, entries: readonly InventoryEntry[]): Promise<void> {
  const replaced = new Set(entries.map(keyOf))
  await session.query('begin')
  try {
    // Whoever reads all of the database, as a dump does, is in the way for as long as that takes.
    await session.query(`set local lock_timeout = '10s'`)
    const others = (await readInventory(session)).filter((entry) => !replaced.has(keyOf(entry)))
    if (!(await isRecorded(session))) await create(session)
    await replace(session, [...others, ...entries])
    await session.query('commit')
  } catch (error) {
    await session.query('rollback').catch(() => undefined)
    throw error
  }
}

/** Takes out what is not there, or not as it was recorded. In the transaction of a migration that was taken back. */
export async function recordTakenBack(session: Session): Promise<void> {
  const entries = await readInventory(session)
  if (entries.length === 0) return
  const gone = await session.query<{ position: number }>(goneStatement, [JSON.stringify(entries)])
  const positions = new Set(gone.map(({ position }) => position))
  await replace(
    session,
    entries.filter((_, index) => !positions.has(index + 1)),
  )
}

const keyOf = ({ what, name }: InventoryEntry) => `${what} ${name}`

async function isRecorded(session: Session): Promise<boolean> {
  const [row] = await session.query<{ found: boolean }>('select pg_catalog.to_regclass($1) is not null as found', [
    view,
  ])
  return row?.found === true
}

/** Owned by whoever owns the tables, also where a superuser migrates: the proof believes nobody else. */
async function create(session: Session): Promise<void> {
  await session.query(`create view ${view} with (security_invoker) as ${asRows([])}`)
  const [other] = await session.query<{ owner: string }>(
    `select pg_catalog.quote_ident(r.rolname) as owner from pg_catalog.pg_class c join pg_catalog.pg_roles r on r.oid = c.relowner
     where c.oid = pg_catalog.to_regclass('platform.organizations') and r.rolname <> current_user`,
  )
  if (other !== undefined) await session.query(`alter view ${view} owner to ${other.owner}`)
  await session.query(`grant select on ${view} to ${runtimeRoles.join(', ')}`)
}

/** Does nothing when nothing has changed: to replace a view waits for those who read it. */
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

const goneStatement = `
select e.position::int as position
from pg_catalog.jsonb_array_elements($1::jsonb) with ordinality as e(entry, position)
where case e.entry ->> 'what'
  when 'table' then not exists (
    select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = e.entry #>> '{facts,schema}' and c.relname = e.entry #>> '{facts,name}')
  when 'function' then not exists (
    select from pg_catalog.pg_proc p
    where p.oid = ${functionNamed("(e.entry ->> 'name')")} and ${digestFound} = e.entry #>> '{facts,digest}')
  else false
end`
