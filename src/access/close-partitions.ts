import type { Session } from '../database/session.js'
import { MigrationError } from '../core/errors.js'
import { type CarriedOut, carryOut, type Plan } from './carry-out.js'
import { partitionHolders, partitionPolicies } from './partition-findings.js'
import { declaredCte, type DeclaredTable, tablesAsJson } from './rights.js'
import { policyCtes } from './table-findings.js'

/** A statement that closes a partition whose rights, row security or policies differ from those of its table. */
interface ClosingStatement {
  /** Qualified and quoted. */
  readonly partition: string
  readonly statement: string
}

// While ALTER TABLE waits for its lock, all later statements on the table wait behind it. So it gives up after a second, and is repeated.
const lockTimeout = 1000

/**
 * Revokes every right on the partitions of these tables from all roles but their owner, and gives them the row security and the
 * policies of their table. Each partition has a transaction of its own, so that no two are locked at once.
 */
export async function closePartitions(session: Session, tables: readonly DeclaredTable[]): Promise<CarriedOut> {
  const done: string[] = []
  const remaining: string[] = []
  const open = new Set((await openPartitions(session, tables)).map(({ partition }) => partition))
  for (const partition of open) {
    const carried = await carryOut(session, `partition ${partition}`, planOf(tables, partition), { lockTimeout })
    done.push(...carried.done)
    remaining.push(...carried.remaining)
  }
  return { done, remaining }
}

/** The same for a new partition, in the transaction that made it. Throws when anything remains open. */
export async function closePartition(
  session: Session,
  tables: readonly DeclaredTable[],
  partition: string,
): Promise<void> {
  const plan = planOf(tables, partition)
  for (const statement of await plan(session)) await session.query(statement)
  // A REVOKE of a right that another role granted only warns.
  const left = await plan(session)
  if (left.length > 0)
    throw new MigrationError(
      `${partition} was not created, because this login may not revoke rights or set policies on it. Run as a role that may: ${left.join('; ')}`,
    )
}

const planOf =
  (tables: readonly DeclaredTable[], partition: string): Plan =>
  async (session) =>
    (await openPartitions(session, tables, partition)).map(({ statement }) => statement)

const openPartitions = (
  session: Session,
  tables: readonly DeclaredTable[],
  only?: string,
): Promise<ClosingStatement[]> =>
  session.query<ClosingStatement>(openPartitionStatements, [tablesAsJson(tables, []), only ?? null])

const openPartitionStatements = `
with ${declaredCte('$1')},
-- Only the column of \`place\` that policyCtes reads.
place as materialized (
  select array(
    select f.proname::text from pg_catalog.pg_proc f join pg_catalog.pg_namespace n on n.oid = f.pronamespace
    where n.nspname = 'platform' and f.pronargs = 0 and pg_catalog.pg_function_is_visible(f.oid)
  ) as visible
),
${policyCtes}
select partition, statement
from (
  select p.oid, p.label as partition, 1 as position,
    pg_catalog.format('revoke all on table %s from %s cascade', p.label,
      case h.grantee when 0 then 'public' else h.grantee::pg_catalog.regrole::text end) as statement
  from (${partitionHolders}) h join partition p on p.oid = h.oid
  union
  select p.oid, p.label, 2, pg_catalog.format('alter table %s enable row level security', p.label)
  from partition p where p."rowSecurity" and not p.relrowsecurity
  union
  select p.oid, p.label, 3, pg_catalog.format('drop policy %I on %s', d.name, p.label)
  from (${partitionPolicies}) d join partition p on p.oid = d.oid where d.found is not null
  union
  select p.oid, p.label, 4, pg_catalog.format('create policy %I on %s to %s using (%s) with check (%4$s)', d.name, p.label, d.role, d.rows)
  from (${partitionPolicies}) d join partition p on p.oid = d.oid where d.wanted is not null
) todo
where $2::text is null or oid = pg_catalog.to_regclass($2)
order by partition, position, statement`
