import { is, SQL } from 'drizzle-orm'
import { getTableConfig, type IndexColumn, PgDialect, type PgTable } from 'drizzle-orm/pg-core'
import { quoted } from '../../core/statements/column-plan.js'
import { builtInRoles } from '../../schema/built-in-roles.js'
import { platformTables } from '../../schema/tables.js'
import type { Finding } from '../findings.js'
import type { Reader } from '../read-only.js'
import { literal } from '../sql.js'
import { type CarriedTable, mapped, meets, unjoined } from './carried-table.js'
import type { EarlierPlatform } from './earlier-platform.js'

/** What ours asks of a row, and the condition in SQL of the rows `m` that do not meet it. */
interface Demand {
  readonly message: string
  readonly broken: string
  /** The table of ours to which the row would have to refer. */
  readonly parent?: string
}

/** Rows that ours cannot hold. They are counted before one is carried, with at most twenty of their keys. */
export async function unfitRows(
  session: Reader,
  { tables, hasOurs }: Pick<EarlierPlatform, 'tables' | 'hasOurs'>,
  table: CarriedTable,
  mayStay: ReadonlySet<string>,
): Promise<Finding[]> {
  const name = table.from.name
  const findings: Finding[] = []
  const count = async (message: string, select: string, needs: Finding['needs'] = 'mend') => {
    const [row] = await session.query<{ count: number; sample: string[] | null }>(
      `select pg_catalog.count(*)::float8 as count, (pg_catalog.array_agg(f.key order by f.key))[1:20] as sample from (${select}) f`,
    )
    if (row === undefined || row.count === 0) return
    const rows = { count: row.count, sample: row.sample ?? [] }
    findings.push({ table: name, kind: 'unfit', needs, rows, message: `${name} has rows ${message}` })
  }
  for (const { holds, otherwise = '' } of table.conditions.filter(({ isFault }) => isFault === true))
    await count(
      `that ${otherwise}`,
      `select s.${quoted(table.key.name)}::text as key from ${table.source} s where (${holds}) is not true`,
    )
  await count(
    `that ${unjoined}`,
    `select s.${quoted(table.key.name)}::text as key from ${table.source} s where ${meets(table)} except select m.key from (${mapped(table)}) m`,
  )
  for (const { message, broken, parent } of demandsOf(tables, table, hasOurs))
    await count(
      message,
      `select m.key from (${whole(table)}) m where ${broken}`,
      // Rows that belong to one that stays, stay too.
      parent !== undefined && mayStay.has(parent) ? 'attention' : 'mend',
    )
  return findings
}

/** The rows as new ones of ours would be, with every column but the sealed ones. */
const whole = (table: CarriedTable): string =>
  table.unfilled.length === 0
    ? mapped(table)
    : `select w.*, ${table.unfilled.map(({ name, value }) => `${value} as ${quoted(name)}`).join(', ')} from (${mapped(table)}) w`

const textOf = (part: SQL): string => new PgDialect().sqlToQuery(part).sql

function demandsOf(tables: readonly CarriedTable[], table: CarriedTable, hasOurs: boolean): Demand[] {
  const ours = platformTables.find((one) => getTableConfig(one).name === table.to)
  if (ours === undefined) throw new TypeError(`there is no table ${table.to}`)
  const { columns, checks, indexes, uniqueConstraints, foreignKeys } = getTableConfig(ours)
  const carries = (name: string) => table.columns.some((column) => column.name === name)
  const has = (name: string) => carries(name) || table.unfilled.some((column) => column.name === name)
  return [
    ...columns
      .filter((column) => column.notNull && carries(column.name))
      .map(({ name }) => ({ message: `that have no ${name}`, broken: `m.${quoted(name)} is null` })),
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
    ].flatMap((key) => (key.names.every(has) ? repeated(tables, table, key, hasOurs) : [])),
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
        hasOurs,
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

function repeated(
  tables: readonly CarriedTable[],
  table: CarriedTable,
  { name, names, where, isNullEqual }: UniqueKey,
  hasOurs: boolean,
): Demand[] {
  const columns = names.map(quoted).join(', ')
  const present = (alias: string) =>
    isNullEqual ? 'true' : names.map((column) => `${alias}.${quoted(column)} is not null`).join(' and ')
  const equal = (alias: string) =>
    // Only `=` can be joined by a hash.
    names
      .map((column) => `${alias}.${quoted(column)} ${isNullEqual ? 'is not distinct from' : '='} m.${quoted(column)}`)
      .join(' and ')
  const what = names.filter((column) => column !== 'org_id').join(', ') || 'organization'
  const others = tables.filter(
    (other) =>
      other.to === table.to &&
      other !== table &&
      names.every((column) => other.columns.some((one) => one.name === column)),
  )
  const isIdentity = table.identity.every((column) => names.includes(column))
  const isSame = table.identity.map((column) => `o.${quoted(column)} = m.${quoted(column)}`).join(' and ')
  return [
    {
      message: `with the same ${what}, which is to be unique (${name})`,
      broken: `m.key in (select r.key from (select u.key, pg_catalog.count(*) over (partition by ${columns}) as times
        from (${whole(table)}) u where (${where}) and ${present('u')}) r where r.times > 1)`,
    },
    ...others.map((other) => ({
      message: `with the ${what} of a row of ${other.from.name}, which is to be unique (${name})`,
      broken: `(${where}) and ${present('m')} and exists (select from (${whole(other)}) o where ${equal('o')})`,
    })),
    ...(hasOurs && !isIdentity
      ? [
          {
            message: `with the ${what} of a row that tenantry has already (${name})`,
            broken: `(${where}) and ${present('m')} and exists (select from ${table.target} o where ${equal('o')} and not (${isSame})
              and m.key in (select w.key from (${whole(table)}) w where ${where}))`,
          },
        ]
      : []),
  ]
}

/** Undefined where the rows to which it refers are not known yet. */
function dangling(
  tables: readonly CarriedTable[],
  name: string,
  columns: readonly string[],
  foreign: PgTable,
  foreignColumns: readonly string[],
  hasOurs: boolean,
): Demand | undefined {
  const { name: to, schema: ours = 'public' } = getTableConfig(foreign)
  const present = columns.map((column) => `m.${quoted(column)} is not null`).join(' and ')
  if (to === 'roles') {
    const role = quoted(columns.at(-1) ?? '')
    const known = builtInRoles.map(({ key }) => literal(key)).join(', ')
    return {
      message: `with a role that tenantry does not have, which has ${builtInRoles.map(({ key }) => key).join(', ')}`,
      broken: `m.${role} not in (${known})`,
    }
  }
  // Add-ons are made as they are used.
  if (to === 'addon_catalog') return undefined
  const same = foreignColumns
    .map((column, place) => `f.${quoted(column)} = m.${quoted(columns[place] ?? '')}`)
    .join(' and ')
  const sources = [
    ...tables.filter((one) => one.to === to).map((parent) => `(${mapped(parent)})`),
    ...(hasOurs ? [`${quoted(ours)}.${quoted(to)}`] : []),
  ]
  if (sources.length === 0) return undefined
  return {
    parent: to,
    message: `that refer to no row of ${to} (${name})`,
    broken: `${present} and ${sources.map((source) => `not exists (select from ${source} f where ${same})`).join(' and ')}`,
  }
}
