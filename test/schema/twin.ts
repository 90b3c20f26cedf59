import { is, SQL } from 'drizzle-orm'
import { getTableConfig, PgArray, type PgColumn, PgDialect, PgRole, type PgTable } from 'drizzle-orm/pg-core'
import { quoted } from '../../src/core/statements/column-plan.js'
import { type Grant, grantsOf } from '../../src/access/grants.js'
import { factsOf } from '../../src/schema/shared/kinds.js'

/**
 * The statements that make a table as it is defined, in another schema. Written from the definition alone, with neither drizzle-kit nor a
 * migration, so that the server prints both in its own words. Foreign keys lead to the tables of the library.
 */
export function twinOf(table: PgTable, schema: string): string[] {
  const config = getTableConfig(table)
  const name = `${schema}.${quoted(config.name)}`
  const partitionedBy = factsOf(table)?.partitionedBy
  const keys = [
    ...config.columns.filter((column) => column.primary).map((column) => [`${config.name}_pkey`, [column]] as const),
    ...config.primaryKeys.map((key) => [key.getName(), key.columns] as const),
  ]
  const constraints = [
    ...keys.map(([key, columns]) => `constraint ${key} primary key ${listOf(columns)}`),
    ...config.uniqueConstraints.map(
      (key) =>
        `constraint ${key.name ?? ''} unique ${key.nullsNotDistinct ? 'nulls not distinct' : ''} ${listOf(key.columns)}`,
    ),
    ...config.checks.map((check) => `constraint ${check.name} check (${textOf(check.value)})`),
    ...config.foreignKeys.map((key) => {
      const { columns, foreignTable, foreignColumns } = key.reference()
      const target = `platform.${quoted(getTableConfig(foreignTable).name)} ${listOf(foreignColumns)}`
      const actions = `on delete ${key.onDelete ?? 'no action'} on update ${key.onUpdate ?? 'no action'}`
      return `constraint ${key.getName()} foreign key ${listOf(columns)} references ${target} ${actions}`
    }),
  ]
  return [
    `create table ${name} (${[...config.columns.map(columnText), ...constraints].join(', ')})
     ${partitionedBy === undefined ? '' : `partition by range (${partitionedBy})`}`,
    ...config.indexes.map(
      ({ config: index }) =>
        `create ${index.unique ? 'unique' : ''} index ${index.name ?? ''} on ${name} using ${index.method ?? 'btree'}
         (${index.columns.map(indexedText).join(', ')}) ${index.where === undefined ? '' : `where ${textOf(index.where)}`}`,
    ),
    ...(config.enableRLS || config.policies.length > 0 ? [`alter table ${name} enable row level security`] : []),
    ...config.policies.map(({ name: policy, as, for: command, to, using, withCheck }) =>
      [
        `create policy ${policy} on ${name} as ${as ?? 'permissive'} for ${command ?? 'all'}`,
        `to ${is(to, PgRole) ? to.name : 'public'}`,
        using === undefined ? '' : `using (${textOf(using)})`,
        withCheck === undefined ? '' : `with check (${textOf(withCheck)})`,
      ].join(' '),
    ),
    ...Object.entries(grantsOf(table)).flatMap(([role, grant]: [string, Grant]) =>
      rightsOf(grant).map((right) => `grant ${right} on ${name} to ${role}`),
    ),
  ]
}

function columnText(column: PgColumn): string {
  const { generated, notNull, hasDefault } = column
  return [
    quoted(column.name),
    column.getSQLType(),
    generated === undefined ? '' : `generated always as (${textOf(generated.as as SQL)}) stored`,
    hasDefault && generated === undefined ? `default ${defaultOf(column)}` : '',
    notNull ? 'not null' : '',
  ].join(' ')
}

function defaultOf(column: PgColumn): string {
  const value: unknown = column.default
  if (is(value, SQL)) return textOf(value)
  if (is(column, PgArray)) return `'{${(value as string[]).join(',')}}'`
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  return `'${typeof value === 'string' ? value : JSON.stringify(value)}'`
}

const rightsOf = (grant: Grant): string[] => [
  ...(['select', 'insert', 'update'] as const).flatMap((right) => {
    const columns = grant[right]
    if (columns === '*') return [right]
    return columns.length > 0 ? [`${right} (${columns.map(quoted).join(', ')})`] : []
  }),
  ...(grant.delete ? ['delete'] : []),
]

const listOf = (columns: readonly { readonly name: string }[]) =>
  `(${columns.map(({ name }) => quoted(name)).join(', ')})`

/** A column, or an expression with one. */
function indexedText(column: object): string {
  if (is(column, SQL)) return textOf(column)
  if (!('name' in column)) throw new Error('an index has neither columns nor expressions')
  return quoted(String(column.name))
}

const dialect = new PgDialect()

function textOf(value: SQL): string {
  const { sql, params } = dialect.sqlToQuery(value)
  if (params.length > 0) throw new Error(`${sql} holds a bound value`)
  return sql
}
