import type { PgTable } from 'drizzle-orm/pg-core'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import type { ScopedTable } from '../core/scoped-table.js'
import { statement } from '../core/statement.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { factsOf } from '../schema/shared/kinds.js'
import type { NotSealed } from './seal-audit-log.js'
import { ask } from './stored-keys.js'
import { allRows, type SystemWork } from './system-operation.js'

/** The result of one batch. */
export interface BatchResult {
  readonly rows: number
  /** Nothing past was left, except rows that somebody else holds. */
  readonly isLast: boolean
  /** The organizations of which an audit entry could not be sealed, in the whole pass. */
  readonly notSealed?: readonly NotSealed[]
  /** Whether nothing was sealed, because the key is not the one of this database. */
  readonly hasWrongKey?: boolean
}

/** Ends one batch of at most `size` rows, in a transaction of its own. */
export type NextBatch = (size: number) => Promise<BatchResult>

/** The rows of one table that have ended and may be removed, whoever they belong to. */
export interface Expired {
  readonly name: string
  readonly table: PgTable
  readonly owner: string
  /** The columns of the primary key behind the owner. */
  readonly key: string
  /** `$2` is the number of days that they are kept. */
  readonly when: string
  /** The order of an index, so that a batch reads no more rows than it removes. */
  readonly orderBy: string
}

/** Removes rows across organizations. Rows that somebody holds are left to the next pass, so that two passes never wait. */
export function removing(work: SystemWork, expired: Expired, days: number | undefined): NextBatch {
  const scope = work.scopeAbout(undefined)
  const rows = allRows<object>(scope, expired.table)
  const kept = days === undefined ? [] : [days]
  let remove: ((size: number) => Promise<Removed>) | undefined
  return async (size) => {
    remove ??= (await isOnCluster(scope))
      ? factsOf(expired.table)?.kind === 'control'
        ? (size) => removeByKeys(rows, expired, [size, ...kept])
        : (size) => removeByOwner(rows, expired, [size, ...kept])
      : (size) => removeAtOnce(rows, expired, [size, ...kept])
    const { removed, found } = await remove(size)
    return { rows: removed, isLast: found < size || removed === 0 }
  }
}

/** Of the rows that were found, another pass may have removed some, or hold them. */
interface Removed {
  readonly found: number
  readonly removed: number
}

const isOnCluster = (scope: Scope): Query<boolean> =>
  ask(scope, findCluster, [], ({ rows: [row] }) => row?.[0] === true)

const findCluster = statement(`select pg_catalog.current_setting('citus.shard_count', true) is not null`, 'read')

type Rows = ScopedTable<object>

async function removeAtOnce(
  rows: Rows,
  { name, owner, key, when, orderBy }: Expired,
  values: readonly unknown[],
): Promise<Removed> {
  const all = `${owner}, ${key}`
  const remove = ownStatement(rows.plan, removing, name, true, ({ sql }) => ({
    verb: 'delete',
    ctes: [
      `past as materialized (
        select ${all} from ${sql} where ${when} order by ${orderBy} limit $1::bigint for update skip locked
      )`,
    ],
    head: `delete from ${sql}`,
    where: `(${all}) in (select ${all} from past)`,
    returning: '',
  }))
  const removed = await changed(rows, remove, values)
  return { found: removed, removed }
}

/** A Citus cluster skips locked rows only in one shard, where the rows of one owner are. */
async function removeByOwner(
  rows: Rows,
  { name, owner, key, when, orderBy }: Expired,
  [size, ...kept]: readonly unknown[],
): Promise<Removed> {
  const owners = await read<[string, number]>(rows, `owners of ${name}`, [size, ...kept], (sql) => {
    const past = `select ${owner} from ${sql} where ${when} order by ${orderBy} limit $1::bigint`
    return `select ${owner}, count(*)::int from (${past}) past group by ${owner}`
  })
  const given = kept.length + 2
  const names = key.split(', ').map((_, place) => `p${String(place)}`)
  const remove = ownStatement(rows.plan, removing, `${name} of one`, true, ({ sql }) => ({
    verb: 'delete',
    ctes: [
      `past(${names.join(', ')}) as materialized (
        select ${key} from ${sql} where ${owner} = $${given}::uuid and ${when} order by ${orderBy} limit $1::bigint for update skip locked
      )`,
    ],
    head: `delete from ${sql} using past`,
    where: `${owner} = $${given}::uuid and (${key}) = (${names.join(', ')})`,
    returning: '',
  }))
  let [found, removed] = [0, 0]
  for (const [id, count] of owners) {
    found += count
    removed += await changed(rows, remove, [count, ...kept, id])
  }
  return { found, removed }
}

/** Each node would skip other rows of a table that is on all of them, so the rows to remove are named. */
async function removeByKeys(
  rows: Rows,
  { name, owner, key, when, orderBy }: Expired,
  [size, ...kept]: readonly unknown[],
): Promise<Removed> {
  const keys = await read<[string, string]>(
    rows,
    `keys of ${name}`,
    [size, ...kept],
    (sql) => `select ${owner}, ${key} from ${sql} where ${when} order by ${orderBy} limit $1::bigint`,
  )
  const given = kept.length + 2
  const remove = ownStatement(rows.plan, removing, `${name} by key`, true, ({ sql }) => ({
    verb: 'delete',
    ctes: [],
    head: `delete from ${sql} using unnest($1::uuid[], $${given}::uuid[]) as past(p0, p1)`,
    where: `(${owner}, ${key}) = (p0, p1) and ${when}`,
    returning: '',
  }))
  if (keys.length === 0) return { found: 0, removed: 0 }
  const removed = await changed(rows, remove, [keys.map(([of]) => of), ...kept, keys.map(([, id]) => id)])
  return { found: keys.length, removed }
}

const read = <Row>(
  rows: Rows,
  name: string,
  values: readonly unknown[],
  text: (table: string) => string,
): Query<Row[]> =>
  rows.run(
    ownStatement(rows.plan, removing, name, false, ({ sql }) => text(sql)),
    () => values,
    (result) => result.rows as Row[],
  )

const changed = (rows: Rows, remove: ReturnType<typeof ownStatement>, values: readonly unknown[]): Query<number> =>
  rows.run(
    remove,
    () => values,
    ({ rowCount }) => rowCount,
  )
