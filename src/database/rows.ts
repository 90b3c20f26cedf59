import { type Field, textParsers } from './driver.js'

/** Date, timestamp, interval, their arrays, and numeric[]: a Date would lose microseconds, a number would lose digits. */
const keptAsText = [1082, 1114, 1115, 1182, 1184, 1185, 1186, 1187, 1231]

const parsers = textParsers()
for (const oid of keptAsText) parsers.delete(oid)

/** How a column is read. Text of the first kind has no character beyond ASCII, whatever the value. */
type Reading = 'ascii' | 'text' | 'boolean' | 'integer' | ((text: string) => unknown)

/** bigint, numeric, uuid, date, timestamp with and without a zone: all of these stay text. */
const ascii = new Set([20, 1700, 2950, 1082, 1114, 1184])

function readingOf(type: number): Reading {
  if (type === 16) return 'boolean'
  if (type === 21 || type === 23 || type === 26) return 'integer'
  return parsers.get(type) ?? (ascii.has(type) ? 'ascii' : 'text')
}

function valueOf(text: string, reading: Reading): unknown {
  if (reading === 'integer') return Number(text)
  if (reading === 'boolean') return text === 't'
  return typeof reading === 'string' ? text : reading(text)
}

/** The columns of one prepared statement on one connection, and how its rows are read. */
export class RowShape {
  readonly columns: readonly string[]
  private readonly readings: readonly Reading[]

  constructor(fields: readonly Field[]) {
    this.columns = fields.map((field) => field.name)
    this.readings = fields.map(({ dataTypeID }) => readingOf(dataTypeID))
  }

  /** Replaces each text in the array by its value. */
  read(row: unknown[]): void {
    if (row.length !== this.columns.length) throw new Error('the row does not have the described columns')
    for (const [index, reading] of this.readings.entries()) {
      const text = row[index]
      if (text !== null) row[index] = valueOf(text as string, reading)
    }
  }

  /** The values of a row as the server has sent it. Throws when it is not one of these columns. */
  readMessage(bytes: Buffer, start: number, end: number): unknown[] {
    const { readings } = this
    const count = bytes.readUInt16BE(start)
    if (count !== readings.length) throw new Error('the row does not have the described columns')
    const whole = end - start <= decodedAtOnce ? bytes.toString('latin1', start, end) : undefined
    const row = new Array<unknown>(count)
    let at = start + 2
    for (let index = 0; index < count; index++) {
      const length = at + 4 <= end ? bytes.readInt32BE(at) : Infinity
      at += 4
      if (length === -1) {
        row[index] = null
        continue
      }
      const stop = at + length
      if (length < 0 || stop > end) throw misread()
      const reading = readings[index] as Reading
      if (reading === 'integer') row[index] = integerIn(bytes, at, stop)
      else if (reading === 'boolean') row[index] = bytes[at] === 0x74
      else {
        const isPart = whole !== undefined && (reading === 'ascii' || isShortAscii(bytes, at, stop))
        row[index] = valueOf(isPart ? whole.slice(at - start, stop - start) : bytes.toString('utf8', at, stop), reading)
      }
      at = stop
    }
    if (at !== end) throw misread()
    return row
  }
}

/** The text of the last column of a DataRow. */
export function lastTextIn(bytes: Buffer, start: number, end: number): string | null | undefined {
  let at = start + 2
  let text: string | null | undefined
  for (let index = bytes.readUInt16BE(start); index > 0; index--) {
    const length = bytes.readInt32BE(at)
    at += 4
    text = length === -1 ? null : bytes.toString('utf8', at, at + length)
    at += Math.max(length, 0)
  }
  if (at !== end) throw misread()
  return text
}

/** Up to here a row is decoded as one text, of which its columns are parts: those parts keep the whole in memory. */
const decodedAtOnce = 2_048
/** Up to here it takes longer to decode bytes than to look at each. */
const shortText = 32

function isShortAscii(bytes: Buffer, start: number, end: number): boolean {
  if (end - start > shortText) return false
  for (let at = start; at < end; at++) if ((bytes[at] as number) > 127) return false
  return true
}

function integerIn(bytes: Buffer, start: number, end: number): number {
  const isNegative = bytes[start] === 0x2d
  let number = 0
  for (let at = isNegative ? start + 1 : start; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) throw misread()
    number = number * 10 + digit
  }
  return isNegative ? -number : number
}

const misread = (): Error => new Error('the row does not end where its message does')

export const noColumns = new RowShape([])

/** The number of rows returned or changed, from the command tag. The tag of `explain` has no number. */
export function rowCountOf(tag: string, returned: number): number {
  const count = Number(tag.slice(tag.lastIndexOf(' ') + 1))
  return Number.isNaN(count) ? returned : count
}
