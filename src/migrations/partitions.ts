import { getTableName } from 'drizzle-orm'
import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import pg from 'pg'
import { InvalidInputError, MigrationError } from '../core/errors.js'
import { firstDay, monthNumber, partitionName } from '../core/months.js'
import type { Session } from '../database/session.js'
import type { CarriedOut } from '../access/carry-out.js'
import { manifestOf, type TableManifest } from '../access/manifest.js'
import { closePartition, closePartitions } from '../access/close-partitions.js'
import { auditLogs } from '../schema/audit-logs.js'
import { factsOf, isPartitioned } from '../schema/shared/kinds.js'
import { isCluster } from '../database/cluster.js'
import { withContext } from '../database/session-failure.js'
import { retriedTransaction } from './lock-retries.js'
import { withMigrationLock } from '../database/session-lock.js'
import type { MigrateOptions } from './progress.js'

/** One month of one table. */
export interface Partition {
  readonly table: string
  readonly partition: string
}

export interface MadePartition extends Partition {
  /** The number of rows of that month that were moved out of the default partition. */
  readonly moved: number
}

export interface KeptPartition extends Partition {
  readonly reason: string
}

/** A table that is partitioned by month. Names are quoted SQL. */
interface Parent {
  readonly name: string
  readonly schema: string
  readonly full: string
  readonly column: string
  readonly isAuditLog: boolean
  readonly declared: readonly TableManifest[]
}

export interface EnsuredPartitions {
  readonly made: readonly MadePartition[]
  /** What was done to close existing partitions, and what this session may not do. */
  readonly closed: CarriedOut
}

/**
 * Creates the partitions of this month and of the next `months`, and those that are missing since the oldest. Rows of such a month
 * are moved out of the default partition in the same transaction. Every partition, new or old, ends up with the row security and
 * the policies of its table, and with rights for its owner only.
 */
export function ensurePartitions(
  session: Session,
  tables: readonly PgTable[],
  { months, ...options }: MigrateOptions & { readonly months: number },
): Promise<EnsuredPartitions> {
  if (!Number.isInteger(months) || months < 0 || months > 120) {
    throw new InvalidInputError('months', 'must be a number from 0 to 120')
  }
  return withMigrationLock(session, options, async () => {
    const current = await currentMonth(session)
    const made: MadePartition[] = []
    for (const parent of tables.flatMap(parentOf)) {
      const existing = await monthsOf(session, parent)
      for (let month = Math.min(current, ...existing); month <= current + months; month += 1) {
        if (existing.has(month)) continue
        const partition = partitionName(parent.name, month)
        const moved = await inTransaction(session, partition, (inside) => make(inside, parent, month))
        made.push({ table: parent.name, partition, moved })
      }
    }
    return { made, closed: await closePartitions(session, manifestOf(tables).tables) }
  })
}

/**
 * Drops the months before `before`, such as `2026-01`: only months that are over. A month of the audit log stays until all its
 * entries are sealed.
 */
export function dropPartitions(
  session: Session,
  tables: readonly PgTable[],
  { before, ...options }: MigrateOptions & { readonly before: string },
): Promise<{ dropped: Partition[]; kept: KeptPartition[] }> {
  const end = parseMonth(before)
  return withMigrationLock(session, options, async () => {
    if (end > (await currentMonth(session))) {
      throw new InvalidInputError('before', 'must not be later than this month, which is not over')
    }
    const dropped: Partition[] = []
    const kept: KeptPartition[] = []
    for (const parent of tables.flatMap(parentOf)) {
      const months = [...(await monthsOf(session, parent))].filter((month) => month < end)
      for (const month of months.sort((a, b) => a - b)) {
        const partition = partitionName(parent.name, month)
        const reason = await inTransaction(session, partition, (inside) => drop(inside, parent, partition))
        if (reason === undefined) dropped.push({ table: parent.name, partition })
        else kept.push({ table: parent.name, partition, reason })
      }
    }
    return { dropped, kept }
  })
}

/** The tables that are partitioned by month, or only the one of that name. */
export function partitionedTables(tables: readonly PgTable[], name?: string): PgTable[] {
  const all = tables.filter(isPartitioned)
  const chosen = all.filter((table) => name === undefined || getTableName(table) === name)
  if (chosen.length > 0) return chosen
  throw new InvalidInputError('table', `must be one of ${all.map(getTableName).join(', ')}`)
}

function parentOf(table: PgTable): Parent[] {
  const column = factsOf(table)?.partitionedBy
  if (column === undefined) return []
  const { name, schema = 'public' } = getTableConfig(table)
  const { tables: declared } = manifestOf([table])
  return [{ name, schema, full: qualified(schema, name), column, isAuditLog: table === auditLogs, declared }]
}

async function make(session: Session, parent: Parent, month: number): Promise<number> {
  const partition = qualified(parent.schema, partitionName(parent.name, month))
  const column = pg.escapeIdentifier(parent.column)
  const [from, to] = [firstDay(month), firstDay(month + 1)]
  const columns = await storedColumns(session, parent)
  const [fallback] = await session.query<{ name: string }>(
    `select partdefid::regclass::text as name from pg_catalog.pg_partitioned_table where partrelid = $1::regclass and partdefid <> 0`,
    [parent.full],
  )
  // First, so that no row of that month is added meanwhile. Attaching needs the same lock in the end.
  if (fallback !== undefined) await session.query(`lock table ${fallback.name} in access exclusive mode`)
  // PARTITION OF would lock the whole table against readers and writers.
  await session.query(`create table ${partition} (like ${parent.full} including all)`)
  const late = `delete from ${fallback?.name ?? ''} where ${column} >= '${from}' and ${column} < '${to}' returning ${columns}`
  const take = (into: string) =>
    session.query<{ moved: number }>(
      `with taken as (${late}), placed as (insert into ${into} (${columns}) select ${columns} from taken returning 1)
       select count(*)::int as moved from placed`,
    )
  // The shards of a cluster's partition are made when it is attached, so that its rows have to wait elsewhere.
  const waiting = fallback !== undefined && (await isCluster(session)) ? 'pg_temp.tenantry_moved' : undefined
  if (waiting !== undefined)
    await session.query(`create temporary table tenantry_moved (like ${partition}) on commit drop`)
  const [row] = fallback === undefined ? [] : await take(waiting ?? partition)
  await session.query(
    `alter table ${parent.full} attach partition ${partition} for values from ('${from}') to ('${to}')`,
  )
  if (waiting !== undefined)
    await session.query(`insert into ${partition} (${columns}) select ${columns} from ${waiting}`)
  // LIKE copies neither row security nor policies, and default privileges may have granted rights on the partition.
  await closePartition(session, parent.declared, partition)
  return row?.moved ?? 0
}

/** Returns the reason when the partition has to stay. */
async function drop(session: Session, parent: Parent, name: string): Promise<string | undefined> {
  const partition = qualified(parent.schema, name)
  // First, as sealing does: it holds the head of a chain while it numbers entries.
  if (parent.isAuditLog) await session.query('lock table platform.audit_seals in exclusive mode')
  await session.query(`lock table only ${parent.full} in access exclusive mode`)
  if (parent.isAuditLog) {
    const [unsealed] = await session.query<{ count: number }>(
      `select count(*)::int as count from ${partition} where seq is null`,
    )
    const { count = 0 } = unsealed ?? {}
    if (count > 0)
      return `${count} ${count === 1 ? 'entry of it is' : 'entries of it are'} not sealed: run tenantry audit seal`
    // The chains now begin after the last entry that is dropped.
    await session.query(
      `update platform.audit_seals s set base_seq = gone.seq, base_hash = gone.hash, updated_at = statement_timestamp()
       from (select distinct on (org_id) org_id, seq, hash from ${partition} order by org_id, seq desc) gone
       where s.org_id = gone.org_id and s.base_seq < gone.seq`,
    )
  }
  await session.query(`drop table ${partition}`)
  return undefined
}

/** The months that have a partition, created here or by the migrations. */
async function monthsOf(session: Session, parent: Parent): Promise<Set<number>> {
  const children = await inTransaction(session, parent.full, (inside) =>
    inside.query<{ name: string | null; bounds: string }>(
      `select child.relname as name, pg_catalog.pg_get_expr(child.relpartbound, child.oid) as bounds
       from pg_catalog.pg_partitioned_table parent
       left join pg_catalog.pg_inherits link on link.inhparent = parent.partrelid
       left join pg_catalog.pg_class child on child.oid = link.inhrelid
       where parent.partrelid = pg_catalog.to_regclass($1)`,
      [parent.full],
    ),
  )
  if (children.length === 0) {
    throw new MigrationError(`${parent.full} is not partitioned in this database: run \`tenantry migrate up\` first`)
  }
  const months = children.flatMap(({ name, bounds }) => {
    const [, year, month] = /_(\d{4})_(\d{2})$/.exec(name ?? '') ?? []
    if (year === undefined || month === undefined) return []
    const which = monthNumber(Number(year), Number(month))
    if (name !== partitionName(parent.name, which)) return []
    if (
      bounds.includes(`('${firstDay(which).slice(0, 10)}`) &&
      bounds.includes(`('${firstDay(which + 1).slice(0, 10)}`)
    ) {
      return [which]
    }
    throw new MigrationError(`${qualified(parent.schema, name)} does not cover exactly its month: ${bounds}`)
  })
  return new Set(months)
}

/** The columns in the database: a column that the definition lacks would lose its values in a move. */
async function storedColumns(session: Session, parent: Parent): Promise<string> {
  const columns = await session.query<{ name: string }>(
    `select pg_catalog.quote_ident(attname) as name from pg_catalog.pg_attribute
     where attrelid = $1::regclass and attnum > 0 and not attisdropped and attgenerated = '' order by attnum`,
    [parent.full],
  )
  return columns.map(({ name }) => name).join(', ')
}

async function currentMonth(session: Session): Promise<number> {
  const [row] = await session.query<{ month: string }>(
    `select pg_catalog.to_char(pg_catalog.now() at time zone 'UTC', 'YYYY-MM') as month`,
  )
  return parseMonth(row?.month ?? '')
}

/** One transaction, repeated while it does not get its locks. Moments are printed in UTC inside. */
function inTransaction<T>(direct: Session, where: string, work: (session: Session) => Promise<T>): Promise<T> {
  const session = withContext(direct, where)
  return retriedTransaction(session, { lockTimeout: 1000, attempts: 5 }, async () => {
    await session.query(`set local timezone = 'UTC'`)
    await session.query(`set local datestyle = 'ISO'`)
    return work(session)
  })
}

function parseMonth(text: string): number {
  const [, year, month] = /^(\d{4})-(0[1-9]|1[0-2])$/.exec(text) ?? []
  if (year === undefined || month === undefined)
    throw new InvalidInputError('before', 'must be a month such as 2026-01')
  return monthNumber(Number(year), Number(month))
}

const qualified = (schema: string, name: string) => `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`
