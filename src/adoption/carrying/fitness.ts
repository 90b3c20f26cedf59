import { is, SQL } from 'drizzle-orm'
import { getTableConfig, type IndexColumn, PgDialect, type PgTable } from 'drizzle-orm/pg-core'
import { quoted } from '../../core/statements/column-plan.js'
import { builtInRoles } from '../../schema/built-in-roles.js'
import { platformTables } from '../../schema/tables.js'
import type { Finding } from '../findings.js'
import type { Reader } from '../read-only.js'
import { literal } from '../sql.js'
import { type CarriedTable, mapped } from './carried-table.js'

/** What ours asks of a row, and the condition in SQL of the rows `m` that do not meet it. */
interface Demand {
  readonly message: string
  readonly broken: string
}

/** Rows that ours cannot hold. They are counted before one is carried, with at most twenty of their keys. */
export async function unfitRows(
  session: Reader,
  tables: readonly CarriedTable[],
  table: CarriedTable,
): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const { message, broken } of demandsOf(tables, table)) {
    const [row] = await session.query<{ count: number; sample: string[] | null }>(
      `select pg_catalog.count(*)::float8 as count, (pg_catalog.array_agg(m.key order by m.key))[1:20] as sample
       from (${whole(table)}) m where ${broken}`,
    )
    if (row === undefined || row.count === 0) continue
    const rows = { count: row.count, sample: row.sample ?? [] }
    findings.push({
      table: table.from.name,
      kind: 'unfit',
      needs: 'mend',
      rows,
      message: `${table.from.name} has rows ${message}`,
    })
  }
  return findings
}

/** The rows as new ones of ours would be, with every column but the sealed ones. */
const whole = (table: CarriedTable): string =>
  table.others.length === 0
    ? mapped(table)
    : `select w.*, ${table.others.map(({ name, value }) => `${value} as ${quoted(name)}`).join(', ')} from (${mapped(table)}) w`

const textOf = (part: SQL): string => new PgDialect().sqlToQuery(part).sql

function demandsOf(tables: readonly CarriedTable[], table: CarriedTable): Demand[] {
  const ours = platformTables.find((one) => getTableConfig(one).name === table.to)
  if (ours === undefined) throw new TypeError(`there is no table ${table.to}`)
  const { columns, checks, indexes, uniqueConstraints, foreignKeys } = getTableConfig(ours)
  const carries = (name: string) => table.columns.some((column) => column.name === name)
  const has = (name: string) => carries(name) || table.others.some((column) => column.name === name)
  return [
    ...columns
      .filter((column) => column.notNull && carries(column.name))
      .map(({ name }) => ({ message: `without a ${name}`, broken: `m.${quoted(name)} is null` })),
    ...checks.map(({ name, value }) => ({
      message: `that the check ${name} refuses: ${textOf(value)}`,
      broken: `not (${textOf(value)})`,
    })),
    ...[
      ...uniqueConstraints.map((key) => ({
        name: key.getName() ?? '',
        names: key.columns.map((column) => column.name),
        where: 'true',
        isNullEqual: key.nullsNotDistinct,
      })),
      ...indexes
        .filter(({ config }) => config.unique)
        .map(({ config }) => ({
          name: config.name ?? '',
          names: config.columns.flatMap((column) => (is(column, SQL) ? [] : [(column as IndexColumn).name])),
          where: config.where === undefined ? 'true' : textOf(config.where),
          isNullEqual: false,
        })),
    ].flatMap((key) => (key.names.every(has) ? [repeated(table, key)] : [])),
    ...foreignKeys.flatMap((key) => {
      const { columns, foreignTable, foreignColumns } = key.reference()
      const names = columns.map(({ name }) => name)
      if (!names.every(carries)) return []
      const demand = dangling(
        tables,
        key.getName(),
        names,
        foreignTable,
        foreignColumns.map(({ name }) => name),
      )
      return demand === undefined ? [] : [demand]
    }),
  ]
}

interface UniqueKey {
  readonly name: string
  readonly names: readonly string[]
  readonly where: string
  readonly isNullEqual: boolean
}

function repeated(table: CarriedTable, { name, names, where, isNullEqual }: UniqueKey): Demand {
  const columns = names.map(quoted).join(', ')
  const present = isNullEqual ? 'true' : names.map((column) => `${quoted(column)} is not null`).join(' and ')
  return {
    message: `with the same ${names.join(', ')}, which is to be unique by ${name}`,
    broken: `m.key in (select r.key from (select u.key, pg_catalog.count(*) over (partition by ${columns}) as times
      from (${whole(table)}) u where (${where}) and ${present}) r where r.times > 1)`,
  }
}

/** Undefined where the rows to which it refers are not those of an earlier table. */
function dangling(
  tables: readonly CarriedTable[],
  name: string,
  columns: readonly string[],
  foreign: PgTable,
  foreignColumns: readonly string[],
): Demand | undefined {
  const to = getTableConfig(foreign).name
  const present = columns.map((column) => `m.${quoted(column)} is not null`).join(' and ')
  const message = `that refer to no row of ${to}, by ${name}`
  if (to === 'roles') {
    const role = quoted(columns.at(-1) ?? '')
    const known = builtInRoles.map(({ key }) => literal(key)).join(', ')
    return { message: `with a role that tenantry does not have`, broken: `m.${role} not in (${known})` }
  }
  const parents = tables.filter((one) => one.to === to)
  if (parents.length === 0) return undefined
  const found = parents.map(
    (parent) =>
      `(${columns.map((column) => `m.${quoted(column)}`).join(', ')}) in (select ${foreignColumns.map((column) => `f.${quoted(column)}`).join(', ')} from (${mapped(parent)}) f)`,
  )
  return { message, broken: `${present} and not (${found.join(' or ')})` }
}
