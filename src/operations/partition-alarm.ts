import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { firstDay, partitionName } from '../core/months.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { statement } from '../core/statement.js'
import { isPartitioned } from '../schema/shared/kinds.js'
import type { SystemWork } from './system-operation.js'

/** What `tenantry partitions ensure` mends, run by the owner of the tables: the login of the system cannot make partitions. */
export interface PartitionAlarm {
  /** The partitions of this month and the next that are missing, such as `platform.audit_logs_2027_01`. */
  readonly missing: readonly string[]
  /** The tables with rows in their default partition that belong to a month since their oldest partition, or since this month. */
  readonly inDefault: readonly string[]
}

/** A table with a partition for each month. */
interface Monthly {
  readonly name: string
  /** As it stands in SQL. */
  readonly sql: string
  readonly column: string
  readonly months: readonly number[]
}

/** The names of the tables that are declared with `partitionedBy`, such as `platform.audit_logs`. */
const partitionedNames = (tables: readonly PgTable[]): string[] =>
  tables.filter(isPartitioned).map((table) => {
    const { schema = 'public', name } = getTableConfig(table)
    return `${schema}.${name}`
  })

/** Looks at the tables that are declared with `partitionedBy`: the command makes partitions of no others. */
export async function checkPartitions({ scopeAbout, tables: declared }: SystemWork): Promise<PartitionAlarm> {
  const scope = scopeAbout(undefined)
  const { tables, current } = await findMonthly(scope, partitionedNames(declared()))
  const missing = tables.flatMap(({ name, months }) =>
    [current, current + 1].filter((month) => !months.includes(month)).map((month) => partitionName(name, month)),
  )
  const inDefault: string[] = []
  for (const table of tables) if (await hasRowsInDefault(scope, table, current)) inDefault.push(table.name)
  return { missing, inDefault }
}

/** Those of `$1` that this login may read, with the months that a partition is named after. */
const find = statement(
  `select n.nspname || '.' || c.relname, pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.quote_ident(a.attname),
    array(
      select (m.parts[1]::int * 12 + m.parts[2]::int - 1)
      from pg_catalog.pg_inherits i
      join pg_catalog.pg_class p on p.oid = i.inhrelid
      cross join lateral pg_catalog.regexp_match(pg_catalog.substr(p.relname::text, pg_catalog.length(c.relname::text) + 1),
        '^_(\\d{4})_(0[1-9]|1[0-2])$') m(parts)
      where i.inhparent = c.oid and pg_catalog.starts_with(p.relname::text, c.relname::text || '_') and m.parts is not null
      order by 1
    ) as months,
    (extract(year from statement_timestamp() at time zone 'UTC') * 12
      + extract(month from statement_timestamp() at time zone 'UTC') - 1)::int
  from pg_catalog.pg_partitioned_table t
  join pg_catalog.pg_class c on c.oid = t.partrelid and not c.relispartition
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = t.partattrs[0]
  where t.partstrat = 'r' and t.partnatts = 1 and pg_catalog.has_table_privilege(c.oid, 'select')
    and n.nspname || '.' || c.relname = any($1::text[])
  order by 1`,
  'read',
)

function findMonthly(
  scope: Scope,
  names: readonly string[],
): Query<{ readonly tables: readonly Monthly[]; readonly current: number }> {
  return scope.query(() =>
    planned({ statement: find, values: [names] }, ({ rows }) => ({
      tables: rows.map(([name, sql, column, months]) => ({ name, sql, column, months }) as Monthly),
      current: Number(rows[0]?.[4] ?? 0),
    })),
  )
}

/**
 * The predicate names only months without a partition, so that the server reads the default partition alone. Rows that are older than
 * the oldest partition and this month do not count: no command moves them.
 */
function hasRowsInDefault(scope: Scope, { sql, column, months }: Monthly, current: number): Query<boolean> {
  const known = [Math.min(current, ...months) - 1, ...months]
  const gaps = known.flatMap((month, index) => {
    const next = known[index + 1]
    return next === month + 1 ? [] : [{ from: month + 1, to: next }]
  })
  const values: string[] = []
  const bound = (month: number) => `$${values.push(firstDay(month))}::timestamptz`
  const ranges = gaps.map(({ from, to }) =>
    [`${column} >= ${bound(from)}`, ...(to === undefined ? [] : [`${column} < ${bound(to)}`])].join(' and '),
  )
  // A Citus cluster asks each shard for one row, and needs a column.
  const text = `select exists (select 1 from ${sql} where ${ranges.map((range) => `(${range})`).join(' or ')} limit 1)`
  return scope.query(() => planned({ statement: statement(text, 'read'), values }, ({ rows }) => rows[0]?.[0] === true))
}
