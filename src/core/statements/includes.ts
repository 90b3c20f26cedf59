import { InvalidInputError } from '../errors.js'
import type { Rules } from '../rules.js'
import { ownProperties, readOptions } from '../values.js'
import type { ColumnPlan } from './column-plan.js'
import { compileFilter, copyFilter, type Filter } from './filters.js'
import { readOrder, sortText } from './orders.js'
import { type OrderBy, readLimit, usualLimits } from './pages.js'
import { outerRow, type RelationPlan, type RelationPlans } from './relations.js'
import type { Among } from './seen-projects.js'
import type { Target } from './target.js'

/** Which of the related rows to include. */
export interface IncludeOptions<Row> {
  /** 1 to 1,000; by default 50. */
  readonly limit?: number | undefined
  /** As in a list; by default newest first. */
  readonly orderBy?: OrderBy<Row> | readonly OrderBy<Row>[] | undefined
  readonly where?: Filter<Row> | undefined
}

/** The relations to read along, by their names. One that is false or undefined is not read. */
export type Include<Related> = {
  readonly [Name in keyof Related]?:
    | boolean
    | undefined
    | (Related[Name] extends readonly (infer Item)[] ? IncludeOptions<Item> : never)
}

/** The option `include` of a read. */
export interface Including<Related, Asked> {
  readonly include: Asked & Readonly<Record<Exclude<keyof Asked, keyof Related>, never>>
}

/** A row with what was included. A conditional type, so that an editor shows the included fields and not this name. */
export type Included<Row, Related, Asked> = Asked extends unknown
  ? [Doubtful<Asked>] extends [never]
    ? Row & { readonly [Name in keyof Asked & keyof Related]: Related[Name] }
    : Row & { readonly [Name in Exclude<keyof Asked, Doubtful<Asked>> & keyof Related]: Related[Name] } & {
        readonly [Name in Doubtful<Asked> & keyof Related]?: Related[Name]
      }
  : never

/** The relations that a condition of the caller decides about. */
type Doubtful<Asked> = {
  [Name in keyof Asked]-?: Asked[Name] extends true | object ? never : Name
}[keyof Asked]

/** One relation of a read: its sub-select, and how its cell is read. */
interface Part {
  readonly name: string
  /** Says what the text depends on. Two repositories of a table may call different relations by one name. */
  readonly shape: string
  readonly values: readonly unknown[]
  /** The sub-select. Its parameters are numbered from `offset + 1`. */
  readonly text: (offset: number) => string
  /** The column of the row by which the related rows are found. */
  readonly key: ColumnPlan
  readonly read: (cell: unknown, key: unknown) => unknown
}

/**
 * The target of a read with related rows: the same statement with one sub-select for each relation. Each names the owner of its rows,
 * and asks for the permission to read them first.
 */
export function including<Row>(
  target: Target<Row>,
  relations: RelationPlans,
  asked: unknown,
  rules: Rules,
): Target<Row> {
  if (asked === undefined) return target
  const parts = Object.entries(ownProperties(asked, 'include')).flatMap(([name, options]) => {
    const relation = relationOf(relations, name)
    return options === false || options === undefined ? [] : [partOf(relation, options, rules)]
  })
  if (parts.length === 0) return target
  return {
    ...target,
    included: {
      shape: parts.map((part) => part.shape).join('; '),
      extendText: (text) => textWith(text, parts),
      values: parts.flatMap(({ values }) => values),
      keys: parts.map(({ key }) => key),
      extend: (row, cells, columns) => extended(row, cells, columns, parts),
    },
  }
}

/** The cells of the parts are the last ones. */
function extended<Row>(
  row: Row,
  cells: readonly unknown[],
  columns: readonly ColumnPlan[],
  parts: readonly Part[],
): Row {
  const first = cells.length - parts.length
  const all = row as Record<string, unknown>
  parts.forEach(({ name, key, read }, index) => {
    all[name] = read(cells[first + index], cells[columns.indexOf(key)])
  })
  return row
}

function relationOf(relations: RelationPlans, name: string): RelationPlan {
  const relation = relations.get(name)
  if (relation !== undefined) return relation
  const names = [...relations.keys()].join(', ')
  const reason = names === '' ? 'this table has no relations to include' : `the relations are ${names}`
  throw new InvalidInputError(`include.${name.slice(0, 60)}`, `is not a relation: ${reason}`)
}

function partOf(relation: RelationPlan, options: unknown, rules: Rules): Part {
  const among = readable(relation, rules)
  const { name, columns, isMany, key } = relation
  if (!isMany) {
    if (options !== true) throw new InvalidInputError(`include.${name}`, 'must be true or false')
    return {
      name,
      shape: `${relation.id} ${among !== undefined}`,
      values: among === undefined ? [] : [among],
      text: (offset) => oneText(relation, among, offset),
      key,
      read: once((cell) => columns.readRow(JSON.parse(cell) as unknown[])),
    }
  }
  const { shape, values, text } = manyPart(relation, options, among)
  return {
    name,
    shape,
    values,
    text,
    key,
    read: (cell) => (cell === null ? [] : (JSON.parse(cell as string) as unknown[][]).map(columns.readRow)),
  }
}

/** Reads a row once, for all rows of a page that refer to it: they share the object. */
function once(read: (cell: string) => unknown): Part['read'] {
  const known = new Map<unknown, unknown>()
  return (cell, key) => {
    if (cell === null) return null
    let row = known.get(key)
    if (row === undefined) {
      row = read(cell as string)
      known.set(key, row)
    }
    return row
  }
}

/** Throws ForbiddenError for an actor who may read none of the rows. Returns the projects that they may see, where they are limited to some. */
function readable({ plan, resource, linksResource }: RelationPlan, rules: Rules): Among {
  // A right to links in single projects is none to read them: their repository refuses it too.
  if (linksResource !== undefined) rules.authorize(`${linksResource}:read`, undefined)
  if (resource === undefined) return undefined
  const permission = `${resource}:read`
  const among = plan.isProject ? rules.projectsWith(permission) : undefined
  if (among === undefined || among.length === 0) rules.authorize(permission, undefined)
  return among
}

function oneText({ plan, matches, columns }: RelationPlan, among: Among, offset: number): string {
  const where = [plan.visible, matches, ...amongProjects(among, offset)]
  // The limit keeps the planner from joining all rows of the organization.
  return `select pg_catalog.json_build_array(${columns.cells})::text as cells from ${plan.sql} where ${where.join(' and ')} limit 1`
}

const amongProjects = (among: Among, offset: number): string[] =>
  among === undefined ? [] : [`"id" = any($${offset + 1}::uuid[])`]

function manyPart(relation: RelationPlan, options: unknown, among: Among): Pick<Part, 'shape' | 'values' | 'text'> {
  const { name, plan, matches, columns } = relation
  const field = `include.${name}`
  const given = readOptions(manyOptions(options, field), ['limit', 'orderBy', 'where'], field)
  const limit = readLimit(given.limit, `${field}.limit`)
  const order = readOrder(plan, given.orderBy)
  const isSorted = relation.isSorted && given.orderBy === undefined
  // Read once: the text is compiled with the same filter as the shape.
  const filter = copyFilter(given.where === undefined ? {} : given.where)
  const { sql, values: compared } = compileFilter(plan, filter, 0, 'read')
  const literal = usualLimits.has(limit)
  const values = [...compared, ...(among === undefined ? [] : [among]), ...(literal ? [] : [limit])]
  const text = (offset: number): string => {
    const conditions = compileFilter(plan, filter, offset, 'read').sql
    const where = [
      plan.visible,
      matches,
      ...(conditions === '' ? [] : [`(${conditions})`]),
      ...amongProjects(among, offset + compared.length),
    ].join(' and ')
    const bound = literal ? String(limit) : `$${offset + values.length}`
    const page = `select ${plan.selected} from ${plan.sql} where ${where}`
    // Without `offset 0` the planner may walk another index in its order, and meet few rows of this parent there.
    const ordered = isSorted ? page : `select * from (${page} offset 0) found`
    return `select pg_catalog.json_agg(pg_catalog.json_build_array(${columns.cells}))::text as cells from (${ordered} order by ${sortText(order)} limit ${bound}) page`
  }
  const shape = `${relation.id} ${order.name} ${isSorted} ${literal ? limit : ''} ${among !== undefined} ${sql}`
  return { shape, values, text }
}

function manyOptions(options: unknown, field: string): unknown {
  if (options === true) return undefined
  if (typeof options === 'object' && options !== null) return options
  throw new InvalidInputError(field, 'must be true or false, or have limit, orderBy or where')
}

/**
 * The rows of a read, each with its related rows. Every sub-select has a limit or is an aggregate, so Postgres joins it row by row, and
 * the order of the rows stays.
 */
function textWith(text: string, parts: readonly Part[]): string {
  let offset = parametersIn(text)
  const joins = parts.map((part, index) => {
    const join = `left join lateral (${part.text(offset)}) included_${index} on true`
    offset += part.values.length
    return join
  })
  const cells = parts.map((_, index) => `included_${index}.cells`)
  return `select ${outerRow}.*, ${cells.join(', ')} from (${text}) ${outerRow} ${joins.join(' ')}`
}

const parametersIn = (text: string): number =>
  Math.max(0, ...[...text.replaceAll(/"(?:[^"]|"")*"/g, '').matchAll(/\$(\d+)/g)].map(([, place]) => Number(place)))
