import type { Session } from '../database/session.js'
import type { TableFacts } from '../schema/shared/kinds.js'

/**
 * Where a Citus cluster keeps the rows of a table: in shards by the organization or the person, whole on every node (`reference`), or
 * on the coordinator alone (`local`).
 */
export type Placement = 'org_id' | 'user_id' | 'reference' | 'local'

/** A table without a kind stays local: nothing is known of its rows. */
export function placementOf(facts: TableFacts | undefined): Placement {
  // No shard knows whether another one has the same value.
  if (facts?.systemKeys !== undefined && facts.systemKeys.length > 0) return 'reference'
  switch (facts?.kind) {
    case 'tenant':
      return 'org_id'
    case 'user':
      return 'user_id'
    case 'control':
    case 'catalog':
      return 'reference'
    case 'global':
      return facts.appendOnly === true ? 'local' : 'reference'
    case undefined:
      return 'local'
  }
}

/** As in: the table is sharded by org_id. */
export const placed = (placement: string): string =>
  placement === 'reference'
    ? 'a reference table'
    : placement === 'local'
      ? 'on the coordinator alone'
      : `sharded by ${placement}`

/** A table as the cluster keeps it. */
export interface PlacedTable {
  readonly schema: string
  readonly name: string
  /** Both, quoted where they have to be. */
  readonly label: string
  /** The column that its rows are sharded by, `reference` or `local`. */
  readonly placement: string
  /** Tables with the same number have the rows of one owner on the same node. Null where the rows are not sharded. */
  readonly group: number | null
  /** Those of org_id and user_id that it has. */
  readonly owners: readonly string[]
  /** The tables that it refers to by foreign keys, by label. */
  readonly references: readonly string[]
}

/** Every table that is no partition, except those of the server and of extensions. */
export const readPlacements = (session: Pick<Session, 'query'>): Promise<PlacedTable[]> =>
  session.query<PlacedTable>(`
    with found as materialized (
      select c.oid, n.nspname::text as schema, c.relname::text as name, pg_catalog.format('%I.%I', n.nspname, c.relname) as label
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
        and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
        and not exists (
          select from pg_catalog.pg_depend d
          where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
    )
    select f.schema, f.name, f.label,
      case p.partmethod when 'h' then pg_catalog.column_to_column_name(p.logicalrelid, p.partkey)
        when 'n' then case p.repmodel when 't' then 'reference' else 'local' end else 'local' end as placement,
      case p.partmethod when 'h' then p.colocationid end as "group",
      array(
        select a.attname::text from pg_catalog.pg_attribute a
        where a.attrelid = f.oid and a.attname in ('org_id', 'user_id') and not a.attisdropped order by a.attname) as owners,
      array(
        select distinct r.label from pg_catalog.pg_constraint k join found r on r.oid = k.confrelid
        where k.conrelid = f.oid and k.contype = 'f' and k.confrelid <> f.oid order by r.label) as "references"
    from found f left join pg_catalog.pg_dist_partition p on p.logicalrelid = f.oid
    order by f.label`)

/** Those of the tables that are sharded by the same column as others, and not in the group that most of them are in. */
export function strays<Table extends Pick<PlacedTable, 'placement' | 'group'>>(tables: readonly Table[]): Table[] {
  const sizeOf = (group: number): number => tables.filter((table) => table.group === group).length
  return tables.filter(({ placement, group }) => {
    if (group === null) return false
    const size = sizeOf(group)
    return tables.some((other) => {
      if (other.placement !== placement || other.group === null || other.group === group) return false
      const otherSize = sizeOf(other.group)
      // Of two groups of one size the older one counts.
      return otherSize > size || (otherSize === size && other.group < group)
    })
  })
}
