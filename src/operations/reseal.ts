import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { DecryptError } from '../core/errors.js'
import type { Result, Statement } from '../core/executor.js'
import { planned, type Unplanned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Rules, SealedCell } from '../core/rules.js'
import type { Scope } from '../core/scope.js'
import { statement } from '../core/statement.js'
import { quoted } from '../core/statements/column-plan.js'
import { columnOf, planOf, type TablePlan } from '../core/statements/table-plan.js'
import { factsOf } from '../schema/shared/kinds.js'
import { ask } from './stored-keys.js'

/** A table of organizations with sealed columns. */
export interface SealedTable {
  readonly plan: TablePlan
  readonly columns: readonly SealedColumn[]
}

interface SealedColumn {
  /** `schema.table.column` */
  readonly name: string
  readonly sql: string
}

export interface Resealed {
  /** Those with a cell that was written. */
  readonly rows: number
  /** The id to go on after. Undefined when the table is done. */
  readonly last: string | undefined
}

const batchSize = 200

export const sealedTables = (tables: readonly PgTable[]): SealedTable[] =>
  tables.flatMap((table) => {
    if (factsOf(table)?.kind !== 'tenant') return []
    const plan = planOf(table)
    if (plan.sealed.size === 0 || !plan.hasId) return []
    const columns = [...plan.sealed].map(([property, name]) => ({ name, sql: columnOf(plan, property).sql }))
    return [{ plan, columns }]
  })

/**
 * Seals the next rows of a table under the active key. A cell is written only if it still holds what was read, so that no newer secret
 * is lost. Cells that do not open stay as they are.
 */
export async function resealBatch(
  scope: Scope,
  orgId: string,
  { plan, columns }: SealedTable,
  activeId: string,
  after: string,
): Promise<Resealed> {
  const { rules } = scope.context
  const find = findStale(rules, plan, columns)
  const rows = await ask(scope, find, [orgId, after, activeId, batchSize], (result) => result.rows)
  const written = new Set<string>()
  for (const [index, column] of columns.entries()) {
    const cells = rows.flatMap((row): SealedCell[] => {
      const [sealed, key] = row.slice(1 + index * 2) as [Uint8Array | null, unknown]
      return sealed === null ? [] : [{ orgId, rowId: String(row[0]), column: column.name, sealed, key }]
    })
    const opened = (await Promise.all(cells.map((cell) => openedCell(rules, cell)))).filter(
      (cell) => cell !== undefined,
    )
    if (opened.length === 0) continue
    for (const id of await rewrite(scope, orgId, rewriteOf(plan, column), opened)) written.add(id)
  }
  const last = rows.length < batchSize ? undefined : String(rows.at(-1)?.[0])
  return { rows: written.size, last }
}

interface OpenedCell extends SealedCell {
  readonly text: string
}

async function openedCell(rules: Rules, cell: SealedCell): Promise<OpenedCell | undefined> {
  try {
    return { ...cell, text: await rules.open(cell) }
  } catch (error) {
    if (error instanceof DecryptError) return undefined
    throw error
  }
}

/** Returns the ids of the rows that it has written. */
function rewrite(scope: Scope, orgId: string, text: Statement, cells: readonly OpenedCell[]): Query<string[]> {
  const seal = (): Unplanned<string[]> => {
    const steps = scope.context.rules.seal({ orgId, cells })
    return {
      ask: steps.ask,
      async plan(answer) {
        const { values: fresh, before } = await steps.seal(answer)
        const values = [orgId, cells.map(({ rowId }) => rowId), cells.map(({ sealed }) => sealed), fresh]
        const read = (result: Result) => result.rows.map(([id]) => String(id))
        return { ...planned({ statement: text, values }, read, undefined, before), again: seal }
      },
    }
  }
  return scope.query(seal)
}

const rewriteOf = (plan: TablePlan, { sql }: SealedColumn): Statement =>
  plan.statements.get(
    `reseal ${sql}`,
    'change',
    () => `update ${plan.sql} set ${sql} = given.fresh
      from unnest($2::uuid[], $3::bytea[], $4::bytea[]) as given(row_id, stale, fresh)
      where "org_id" = $1 and "id" = given.row_id and ${sql} = given.stale
      returning "id"`,
  )

/** Rows with a cell under another key than `$3`: for each column the cell, if it is one, and its wrapped key. */
const findStale = (rules: Rules, plan: TablePlan, columns: readonly SealedColumn[]): Statement =>
  plan.statements.get('cells under other keys', 'read', () => {
    const isStale = ({ sql }: SealedColumn) => `substring(${sql} from 3 for 16) <> pg_catalog.uuid_send($3::uuid)`
    const selected = columns.flatMap((column) => {
      const cell = `${quoted(plan.resource)}.${column.sql}`
      return [`case when ${isStale(column)} then ${cell} end`, rules.wrappedKey(cell)]
    })
    return `select "id", ${selected.join(', ')} from ${plan.sql}
      where "org_id" = $1 and "id" > $2::uuid and (${columns.map(isStale).join(' or ')}) order by "id" limit $4::int`
  })

/**
 * How many cells of the organization name the key, in the sealed columns of this build and in every column of bytes that it does not
 * declare: a newer build may seal those.
 */
export async function cellsUnder(
  scope: Scope,
  orgId: string,
  keyId: string,
  declared: readonly PgTable[],
): Promise<number> {
  const own = sealedTables(declared).flatMap(({ plan, columns }) => columns.map(({ sql }) => [plan.sql, sql] as const))
  const names = declared.flatMap((table) => {
    const { schema = 'public', name, columns } = getTableConfig(table)
    return columns.map((column) => `${schema}.${name}.${column.name}`)
  })
  const others = await ask(scope, findUndeclared, [names], ({ rows }) => rows as [string, string][])
  let cells = 0
  for (const [table, column] of [...own, ...others]) cells += await countUnder(scope, table, column, orgId, keyId)
  return cells
}

const countUnder = (scope: Scope, table: string, column: string, orgId: string, keyId: string): Query<number> =>
  ask(
    scope,
    statement(
      `select count(*)::int from ${table} where "org_id" = $1 and substring(${column} from 3 for 16) = pg_catalog.uuid_send($2::uuid)`,
      'read',
    ),
    [orgId, keyId],
    ({ rows }) => rows[0]?.[0] as number,
  )

const findUndeclared = statement(
  `select pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.quote_ident(a.attname)
   from pg_catalog.pg_class c
   join pg_catalog.pg_namespace n on n.oid = c.relnamespace
   join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
   where c.relkind in ('r', 'p') and not c.relispartition and n.nspname not in ('pg_catalog', 'information_schema')
     and n.nspname || '.' || c.relname || '.' || a.attname <> all ($1::text[])
     and a.atttypid = 'pg_catalog.bytea'::pg_catalog.regtype
     and pg_catalog.has_table_privilege(c.oid, 'select')
     and exists (select from pg_catalog.pg_attribute o where o.attrelid = c.oid and o.attname = 'org_id'
       and o.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype)`,
  'read',
)
