import { getTableColumns, is } from 'drizzle-orm'
import { getTableConfig, PgArray, type PgColumn, type PgTable } from 'drizzle-orm/pg-core'
import { newId } from '../../src/core/ids.js'
import { quoted } from '../../src/core/statements/column-plan.js'
import type { Session } from '../../src/database/session.js'
import { factsOf } from '../../src/schema/shared/kinds.js'
import { platformTables } from '../../src/schema/tables.js'

/** One row per table, by SQL names. */
export type Rows = ReadonlyMap<string, Readonly<Record<string, unknown>>>

export const nameOf = (table: PgTable): string => getTableConfig(table).name
export const sqlOf = (table: PgTable): string => `platform.${quoted(nameOf(table))}`

/** Those of an organization: each of its rows says whose it is. */
export const organizationTables = platformTables.filter((table) => 'orgId' in getTableColumns(table))

export const userTables = platformTables.filter((table) => factsOf(table)?.kind === 'user' || nameOf(table) === 'users')

export interface ForeignKey {
  readonly columns: readonly string[]
  readonly target: string
  readonly targetColumns: readonly string[]
}

export const foreignKeysOf = (table: PgTable): ForeignKey[] =>
  getTableConfig(table).foreignKeys.map((key) => {
    const { columns, foreignTable, foreignColumns } = key.reference()
    return {
      columns: columns.map((column) => column.name),
      target: nameOf(foreignTable),
      targetColumns: foreignColumns.map((column) => column.name),
    }
  })

// What a type alone does not tell.
const values: Readonly<Record<string, unknown>> = {
  email: 'someone@example.com',
  slug: 'a-slug',
  username: 'someone',
  ref: 'abcdefghij',
  currency: 'EUR',
  country: 'DE',
  cron: '0 * * * *',
  timezone: 'UTC',
  size_gb: 10,
  autoscale_growth_percent: 50,
  wrapped: Buffer.from([1]),
  current_period_end: new Date(Date.UTC(2026, 2, 1)),
  period_end: new Date(Date.UTC(2026, 1, 2)),
}

/**
 * A row in every table for one organization and one person, made by the owner. Each `newId` call makes an id: the same calls for
 * two organizations make twins, which differ in nothing but whose they are.
 */
export const fillEveryTable = (session: Session, nextId: () => string = newId): Promise<Rows> =>
  fillTables(session, platformTables, new Map(), nextId)

/** A row in each of some tables, beside the rows that were made in those that they refer to. Gives both. */
export async function fillTables(
  session: Session,
  tables: readonly PgTable[],
  made: Rows,
  nextId: () => string = newId,
): Promise<Rows> {
  const rows = new Map(made)
  for (const table of inOrder(tables)) {
    const row = rowOf(table, rows, nextId)
    const columns = Object.keys(row)
    const places = columns.map((_, index) => `$${index + 1}`).join(', ')
    const catalog = factsOf(table)?.kind === 'catalog'
    await session.query(
      `insert into ${sqlOf(table)} (${columns.map(quoted).join(', ')}) values (${places})${catalog ? ' on conflict do nothing' : ''}`,
      Object.values(row),
    )
    rows.set(nameOf(table), row)
  }
  return rows
}

/** Ids that come in the same order again for every caller who says the same name. */
export function twinIds(): () => () => string {
  const made: string[] = []
  return () => {
    let next = 0
    return () => (made[next++] ??= newId())
  }
}

/** What refers comes behind what it refers to. */
function inOrder(tables: readonly PgTable[]): PgTable[] {
  const ordered: PgTable[] = []
  const visit = (table: PgTable) => {
    if (ordered.includes(table)) return
    for (const { target } of foreignKeysOf(table)) {
      const parent = tables.find((other) => nameOf(other) === target)
      if (parent !== undefined && parent !== table) visit(parent)
    }
    ordered.push(table)
  }
  tables.forEach(visit)
  return ordered
}

function rowOf(table: PgTable, rows: Rows, nextId: () => string): Record<string, unknown> {
  const references = new Map(
    foreignKeysOf(table)
      .filter(({ target }) => target !== nameOf(table))
      .flatMap(({ columns, target, targetColumns }) =>
        columns.map((column, index) => [column, rows.get(target)?.[targetColumns[index] ?? '']] as const),
      ),
  )
  const row: Record<string, unknown> = {}
  for (const column of Object.values(getTableColumns(table))) {
    const value = references.get(column.name) ?? ownValue(table, column, rows, nextId)
    if (value !== undefined) row[column.name] = value
  }
  return row
}

function ownValue(table: PgTable, column: PgColumn, rows: Rows, nextId: () => string): unknown {
  const { name } = column
  if (column.generated !== undefined) return undefined
  // Tables whose rows outlive their subject have no foreign key to say so.
  if (name === 'org_id') return rows.get('organizations')?.id
  if (name === 'user_id') return rows.get('users')?.id
  // Known to everybody, so that the second organization finds the one of the first.
  if (factsOf(table)?.kind === 'catalog' && column.primary)
    return name === 'id' && column.getSQLType() === 'uuid' ? catalogId(table) : 'some'
  if (globallyUnique.has(`${nameOf(table)}.${name}`)) return `${name.replaceAll('_', '-')}-${newId()}`
  if (name === 'id' && column.primary) return newId()
  if (name === 'wrapped') return values.wrapped
  if (!column.notNull || column.hasDefault) return undefined
  return values[name] ?? valueOfType(column, nextId)
}

const globallyUnique = new Set([
  'organizations.name',
  'organizations.slug',
  'organizations.temporal_namespace',
  'users.email',
])

const catalogIds = new Map<PgTable, string>()
function catalogId(table: PgTable): string {
  const id = catalogIds.get(table) ?? newId()
  catalogIds.set(table, id)
  return id
}

function valueOfType(column: PgColumn, nextId: () => string): unknown {
  if (is(column, PgArray)) return []
  const [word] = column.enumValues ?? []
  if (word !== undefined) return word
  const type = column.getSQLType()
  if (type === 'uuid') return nextId()
  if (type === 'text') return 'some'
  if (type === 'jsonb') return '{}'
  if (type === 'bytea') return Buffer.from([1])
  if (type === 'boolean') return true
  if (type === 'timestamp with time zone') return new Date(Date.UTC(2026, 1, 1))
  return '1'
}
