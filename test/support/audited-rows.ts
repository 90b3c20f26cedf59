import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { isDeepStrictEqual } from 'node:util'
import { planOf } from '../../src/core/statements/table-plan.js'
import type { Session } from '../../src/database/session.js'
import { factsOf } from '../../src/schema/shared/kinds.js'
import { platformTables } from '../../src/schema/tables.js'

type Json = Readonly<Record<string, unknown>>

/** The rows of every audited table, by table and key, as JSON with the names of SQL. */
export type AuditedRows = ReadonlyMap<string, Json>

export interface Entry {
  readonly actor_kind: string
  readonly actor_id: string | null
  readonly actor_label: string | null
  readonly on_behalf_of: string | null
  readonly event_type: string
  readonly action: string
  readonly resource_type: string
  readonly resource_id: string | null
  readonly project_id: string | null
  readonly changes: Readonly<Record<string, Change | 'changed'>> | null
  readonly metadata: { readonly count?: number; readonly ids?: readonly string[]; readonly filter?: unknown } | null
  readonly request_id: string | null
  readonly ip_address: string | null
  readonly user_agent: string | null
}

interface Change {
  readonly old?: unknown
  readonly new?: unknown
}

const auditedTables: readonly PgTable[] = platformTables.filter((table) => factsOf(table)?.audited === true)

const ofOrg = auditedTables.map((table) => {
  const { name } = getTableConfig(table)
  const { key, owner } = planOf(table)
  const columns = key.map(({ sql }) => `t.${sql}::text`)
  const id =
    columns.length === 0 ? 't.id::text' : columns.length === 1 ? columns.join() : `concat_ws('/', ${columns.join()})`
  return `select '${name}' as name, ${id} as key, to_jsonb(t) as row from platform.${name} t where t.${owner?.column.sql ?? ''} = $1`
})

export async function auditedRows(admin: Session, orgId: string): Promise<AuditedRows> {
  const rows = await admin.query<{ name: string; key: string; row: Json }>(ofOrg.join(' union all '), [orgId])
  return new Map(rows.map(({ name, key, row }) => [`${name} ${key}`, row]))
}

/** In the order in which they were written. */
export const entriesOf = (admin: Session, orgId: string): Promise<Entry[]> =>
  admin.query<Entry & Record<string, unknown>>(
    `select actor_kind, actor_id, actor_label, on_behalf_of, event_type, action, resource_type, resource_id, project_id, changes, metadata,
       request_id, host(ip_address) as ip_address, user_agent
     from platform.audit_logs where org_id = $1 order by created_at, id`,
    [orgId],
  )

/** What the entries say wrongly, or leave out, of the change from one state of the rows to another. */
export function faultsOf(before: AuditedRows, after: AuditedRows, entries: readonly Entry[]): string[] {
  const named = new Map<string, Entry[]>()
  for (const entry of entries) {
    const ids = entry.resource_id === null ? (entry.metadata?.ids ?? []) : [entry.resource_id]
    for (const id of ids) {
      const key = `${entry.resource_type} ${id}`
      named.set(key, [...(named.get(key) ?? []), entry])
    }
  }
  const isAnyRemoved = [...named.keys()].some((key) => before.has(key) && !after.has(key))
  return [...new Set([...before.keys(), ...after.keys(), ...named.keys()])].flatMap((key) => {
    const [was, is, own] = [before.get(key), after.get(key), named.get(key) ?? []]
    if (isDeepStrictEqual(told(was), told(is))) return own.length === 0 ? [] : faultsOfRow(key, was, is, own)
    // The database deletes what belongs to a deleted row.
    if (own.length === 0 && is === undefined && isAnyRemoved) return []
    if (own.length !== 1) return [`${key}: ${own.length} entries`]
    return faultsOfRow(key, was, is, own)
  })
}

/** The row without what every write sets. */
function told(row: Json | undefined): Json | undefined {
  if (row === undefined) return undefined
  return Object.fromEntries(Object.entries(row).filter(([name]) => !managed.has(name)))
}

const managed = new Set(['created_at', 'updated_at', 'revision', 'org_id', 'id'])

function faultsOfRow(key: string, was: Json | undefined, is: Json | undefined, entries: readonly Entry[]): string[] {
  const [name = ''] = key.split(' ')
  const table = auditedTables.find((one) => getTableConfig(one).name === name)
  if (table === undefined) return [`${key}: is no audited table`]
  const plan = planOf(table)
  const { byProperty } = plan
  const secret = new Set([...(factsOf(table)?.personal ?? []), ...plan.sealed.keys()])
  const state: Record<string, unknown> = { ...was }
  const faults: string[] = []
  for (const { event_type: event, action, changes, resource_id: id } of entries) {
    if (id === null) continue
    if (!fits(action, was, is)) faults.push(`${key}: ${event} has the action ${action}`)
    for (const [property, change] of Object.entries(changes ?? {})) {
      const column = byProperty.get(property)?.sql.slice(1, -1) ?? ''
      if (change === 'changed') {
        if (!secret.has(column) && !secret.has(property)) faults.push(`${key}: ${event} hides ${property}`)
        state[column] = is?.[column]
        continue
      }
      if (secret.has(column) || secret.has(property)) faults.push(`${key}: ${event} tells ${property}`)
      if (was !== undefined && !isSame(change.old, was[column])) faults.push(`${key}: ${event}: old ${property}`)
      state[column] = change.new
    }
  }
  if (is === undefined || entries.some(({ resource_id: id }) => id === null)) return faults
  for (const column of byProperty.values()) {
    const sql = column.sql.slice(1, -1)
    if (managed.has(sql) || plan.isHidden(column) || isSame(state[sql], is[sql])) continue
    faults.push(`${key}: the new ${column.property} is in no entry`)
  }
  return faults
}

function fits(action: string, was: Json | undefined, is: Json | undefined): boolean {
  if (was === undefined) return action === 'create' || action === 'invite'
  if (is === undefined) return action === 'delete'
  const [hidden, shown] = [was.deleted_at ?? null, is.deleted_at ?? null]
  if (hidden === null && shown !== null) return action === 'delete'
  if (hidden !== null && shown === null) return action === 'restore' || action === 'create'
  // The read of a secret changes nothing.
  if (action === 'other') return isDeepStrictEqual(told(was), told(is))
  return action === 'update' || action === 'invite'
}

/** A number of any size is text in an entry, with the places of its column. */
const isSame = (one: unknown, other: unknown): boolean =>
  isDeepStrictEqual(one ?? null, other ?? null) ||
  (typeof other === 'number' && typeof one === 'string' && one !== '' && Number(one) === other)
