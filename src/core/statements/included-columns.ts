import type { ColumnPlan } from './column-plan.js'
import { rowReader } from './row-reader.js'

/** How a row is written as JSON, and read from it with the values that the table's own repository reads. */
export interface IncludedColumns {
  /** The values of a row, for `json_build_array`. */
  readonly cells: string
  readonly readRow: (cells: readonly unknown[]) => Record<string, unknown>
}

interface Cell {
  readonly sql: string
  /** Makes the executor's value; undefined where JSON has the same. */
  readonly read: ((value: unknown) => unknown) | undefined
}

export function includedColumns(columns: readonly ColumnPlan[]): IncludedColumns {
  const cells = columns.map(({ sql, storedAs }) => cellOf(sql, bareType(storedAs)))
  return {
    cells: cells.map(({ sql }) => sql).join(', '),
    readRow: rowReader(
      columns.map(({ property, decode }, index) => ({ property, decode: chained(cells[index]?.read, decode) })),
    ),
  }
}

const bareType = (type: string): string => type.replace(/ ?\([\d, ]+\)/, '')

/** JSON has these as the executor has them. */
const sameInJson = new Set([
  'uuid',
  'text',
  'varchar',
  'character varying',
  'char',
  'character',
  'bpchar',
  'boolean',
  'smallint',
  'integer',
  'serial',
  'smallserial',
  'inet',
  'cidr',
  'json',
  'jsonb',
])

/** Other types go as the server's own text: JSON would lose the digits of numbers, and writes moments in another form. */
function cellOf(sql: string, type: string): Cell {
  if (sameInJson.has(type)) return { sql, read: undefined }
  if (type === 'bytea') return { sql, read: bytesOf }
  if (type === 'double precision' || type === 'real') return { sql: `${sql}::text`, read: Number }
  if (!type.endsWith('[]')) return { sql: `${sql}::text`, read: undefined }
  const element = type.replace(/(?:\[\])+$/, '')
  const { read } = cellOf(sql, bareType(element))
  return sameInJson.has(bareType(element))
    ? { sql, read: undefined }
    : { sql: `${sql}::text[]`, read: read && each(read) }
}

const bytesOf = (value: unknown): Buffer => Buffer.from((value as string).slice(2), 'hex')

const each =
  (read: (value: unknown) => unknown) =>
  (value: unknown): unknown => {
    if (value === null) return null
    return Array.isArray(value) ? value.map(each(read)) : read(value)
  }

function chained(read: Cell['read'], decode: Cell['read']): Cell['read'] {
  if (read === undefined) return decode
  return (value) => {
    const made = value === null ? null : read(value)
    return decode === undefined ? made : decode(made)
  }
}
