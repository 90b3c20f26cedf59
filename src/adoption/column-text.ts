import type { Imports, ModuleNames } from './module-names.js'
import { stringOf } from './module-names.js'
import type { DetailedColumn, Identity } from './table-details.js'

/** The parts of the module that a column needs. */
export interface ColumnUse {
  readonly imports: Imports
  readonly names: ModuleNames
}

/** A column in Drizzle's words, with tenantry's helpers where there are some. */
export function columnText(column: DetailedColumn, use: ColumnUse): string {
  const { name, type, isNullable } = column
  if (name === 'org_id' && type === 'uuid' && !isNullable) return `${use.imports.tenantry('orgId')}()`
  const serial = serials.get(column.type)
  // A serial column of Drizzle is not null.
  const isSerial = column.isSerial && !column.isNullable && column.dimensions === 0 && serial !== undefined
  const base = isSerial ? call(use.imports.drizzle(serial), column.name, serialOptions(column)) : typeText(column, use)
  return [
    base,
    '.array()'.repeat(column.dimensions),
    column.isNullable ? '' : '.notNull()',
    isSerial ? '' : sourceText(column, use),
  ].join('')
}

/** What the line above a column says where Drizzle has no word for it. */
export function columnNote({ type, isVirtual }: DetailedColumn): string | undefined {
  if (isVirtual) return 'Virtual in the database: it is computed by each read.'
  return type === 'json' ? 'json in the database, and not jsonb.' : undefined
}

const serials = new Map([
  ['smallint', 'smallserial'],
  ['integer', 'serial'],
  ['bigint', 'bigserial'],
])
const serialOptions = ({ type }: DetailedColumn) => (type === 'bigint' ? { mode: "'number'" } : {})

type Options = Readonly<Record<string, string | number | undefined>>

function call(name: string, column: string, options: Options = {}): string {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  const object = given.map(([key, value]) => `${key}: ${value}`).join(', ')
  return `${name}(${stringOf(column)}${object === '' ? '' : `, { ${object} }`})`
}

/** The types of Drizzle that have no options. */
const plain = new Map([
  ...[
    'uuid',
    'text',
    'smallint',
    'integer',
    'real',
    'boolean',
    'date',
    'inet',
    'cidr',
    'macaddr',
    'macaddr8',
    'point',
  ].map((type) => [type, type] as const),
  ['double precision', 'doublePrecision'],
])

function typeText({ name, type, enum: words, value }: DetailedColumn, { imports, names }: ColumnUse): string {
  const drizzle = (word: string, options?: Options) => call(imports.drizzle(word), name, options)
  const simple = plain.get(type)
  if (words !== null) return call(names.enum(`${words.schema}.${words.name}`), name)
  if (simple !== undefined) return drizzle(simple)
  if (type === 'bigint') return drizzle('bigint', { mode: "'number'" })
  if (type === 'bytea') return call(imports.tenantry('bytes'), name)
  if (type === 'jsonb' || type === 'json')
    return call(`${imports.tenantry('json')}<${imports.type('tenantry/schema', 'JsonValue')}>`, name)
  const [, word = '', first, second, rest = ''] =
    /^([a-z]+(?: varying)?)(?:\((\d+)(?:,(-?\d+))?\))?( .*)?$/.exec(type) ?? []
  const isZoned = rest === ' with time zone'
  if (word === 'character varying') return drizzle('varchar', { length: first })
  if (word === 'character' && first !== undefined) return drizzle('char', { length: first })
  if (word === 'numeric') return drizzle('numeric', { precision: first, scale: second })
  if (word === 'bit' && first !== undefined) return drizzle('bit', { dimensions: first })
  if (word === 'timestamp' && isZoned && first === undefined) return call(imports.tenantry('instant'), name)
  if (word === 'timestamp')
    return drizzle('timestamp', { precision: first, ...(isZoned ? { withTimezone: 'true' } : { mode: "'string'" }) })
  if (word === 'time') return drizzle('time', { precision: first, ...(isZoned && { withTimezone: 'true' }) })
  if (type === 'interval') return drizzle('interval')
  // Types of `public`, such as citext, are found without their schema.
  const own = stringOf(type.replace(/^public\./, ''))
  return `${imports.drizzle('customType')}<{ data: ${value} }>({ dataType: () => ${own} })(${stringOf(name)})`
}

/** Where the value of a column comes from that an insert does not give. */
function sourceText(column: DetailedColumn, { imports }: ColumnUse): string {
  const literal = (sql: string) => `${imports.tenantry('literal')}(${stringOf(bare(sql))})`
  const { identity, isStored, isVirtual, default: given } = column
  if (identity !== null) return identityText(identity, column.type)
  if (given === null) return ''
  if (isStored || isVirtual) return `.generatedAlwaysAs(${literal(given)})`
  const isOne = column.dimensions === 0
  if (isOne && column.type === 'uuid' && given === 'gen_random_uuid()') return '.defaultRandom()'
  if (isOne && /^(?:timestamp|time|date)/.test(column.type) && given === 'now()') return '.defaultNow()'
  return `.default(${isOne ? (constantOf(column, given) ?? literal(given)) : literal(given)})`
}

/** A constant of TypeScript, where the default is one that Drizzle prints again in the same way. */
function constantOf({ type, enum: words }: DetailedColumn, given: string): string | undefined {
  const [, quoted] = /^'((?:[^'\\]|'')*)'::[\w ."]+(?:\(\d+\))?$/.exec(given) ?? []
  const isText = words !== null || /^(?:text$|character)/.test(type)
  if (isText && quoted !== undefined) return stringOf(quoted.replaceAll("''", "'"))
  if (type === 'boolean' && /^(?:true|false)$/.test(given)) return given
  if (!/^(?:smallint|integer|bigint)$/.test(type)) return undefined
  const number = quoted ?? given
  return /^-?\d{1,15}$/.test(number) ? number : undefined
}

const greatest = new Map([
  ['smallint', '32767'],
  ['integer', '2147483647'],
  ['bigint', '9223372036854775807'],
])

function identityText(
  { isAlways, start, increment, minimum, maximum, cache, isCycling }: Identity,
  type: string,
): string {
  const options = [
    ...(start === '1' ? [] : [`startWith: '${start}'`]),
    ...(increment === '1' ? [] : [`increment: '${increment}'`]),
    ...(minimum === '1' ? [] : [`minValue: '${minimum}'`]),
    ...(maximum === greatest.get(type) ? [] : [`maxValue: '${maximum}'`]),
    ...(cache === '1' ? [] : [`cache: '${cache}'`]),
    ...(isCycling ? ['cycle: true'] : []),
  ]
  const object = options.length === 0 ? '' : `{ ${options.join(', ')} }`
  return `.generated${isAlways ? 'Always' : 'ByDefault'}AsIdentity(${object})`
}

/** An expression without the parentheses that the server puts around it. */
export function bare(sql: string): string {
  if (!sql.startsWith('(')) return sql
  let depth = 0
  for (const [at, part] of [...sql.matchAll(/'(?:[^']|'')*'|"(?:[^"]|"")*"|[()]/g)].map(
    (one) => [one.index, one[0]] as const,
  )) {
    if (part === '(') depth += 1
    if (part === ')') depth -= 1
    if (depth === 0) return at === sql.length - 1 ? sql.slice(1, -1) : sql
  }
  return sql
}
