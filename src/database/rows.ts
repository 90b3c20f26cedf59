import { type Field, textParsers } from './driver.js'

/** Date, timestamp, interval, their arrays, and numeric[]: a Date would lose microseconds, a number would lose digits. */
const keptAsText = [1082, 1114, 1115, 1182, 1184, 1185, 1186, 1187, 1231]

const parsers = textParsers()
for (const oid of keptAsText) parsers.delete(oid)

/** Types whose text is read here, in fewer steps than by pg's parsers. */
const boolean = 16
const integers = new Set([21, 23, 26])

/** How a column is read: text as it is, true or false, digits, or by pg's parser. */
type Reading = 'text' | 'boolean' | 'integer' | ((text: string) => unknown)

function readingOf(type: number): Reading {
  if (type === boolean) return 'boolean'
  if (integers.has(type)) return 'integer'
  return parsers.get(type) ?? 'text'
}

/** The columns of one prepared statement on one connection, and how its rows are read. */
export class RowShape {
  readonly columns: readonly string[]
  private readonly parsed: readonly (readonly [number, (text: string) => unknown])[]
  private readonly readings: readonly Reading[]

  constructor(fields: readonly Field[]) {
    this.columns = fields.map((field) => field.name)
    this.parsed = fields.flatMap(({ dataTypeID }, index) => {
      const parse = parsers.get(dataTypeID)
      return parse === undefined ? [] : [[index, parse] as const]
    })
    this.readings = fields.map(({ dataTypeID }) => readingOf(dataTypeID))
  }

  /** Replaces each text in the array by its value. */
  read(row: unknown[]): void {
    if (row.length !== this.columns.length) throw new Error('the row does not have the described columns')
    for (const [index, parse] of this.parsed) {
      const text = row[index]
      if (text !== null) row[index] = parse(text as string)
    }
  }

  /** The values of a row as the server has sent it. */
  readMessage(bytes: Buffer, start: number, end: number): unknown[] {
    const { readings } = this
    const texts = new Texts(bytes, start, end)
    const count = texts.count
    if (count !== readings.length) throw new Error('the row does not have the described columns')
    const row = new Array<unknown>(count)
    for (let index = 0; index < count; index++) {
      if (!texts.next()) {
        row[index] = null
        continue
      }
      const reading = readings[index] as Reading
      if (reading === 'text') row[index] = texts.text()
      else if (reading === 'integer') row[index] = texts.integer()
      else if (reading === 'boolean') row[index] = texts.byte() === 0x74
      else row[index] = reading(texts.text())
    }
    texts.assertEnd()
    return row
  }
}

/** The columns of a DataRow, as text. */
export function textsIn(bytes: Buffer, start: number, end: number): (string | null)[] {
  const texts = new Texts(bytes, start, end)
  const row = Array.from({ length: texts.count }, () => (texts.next() ? texts.text() : null))
  texts.assertEnd()
  return row
}

/** Up to here a row is decoded as one text, of which its columns are parts: those parts keep the whole in memory. */
const decodedAtOnce = 2_048

/** Goes through the columns of a DataRow. Throws when a length leads out of the message. */
class Texts {
  readonly count: number
  /** The whole row, where each byte is one character of it. */
  private readonly whole: string | undefined
  private at: number
  private stop: number

  constructor(
    private readonly bytes: Buffer,
    private readonly start: number,
    private readonly end: number,
  ) {
    this.count = bytes.readUInt16BE(start)
    this.at = start + 2
    this.stop = this.at
    if (end - start > decodedAtOnce) return
    // The bytes between the columns are no text. Where a column has a character of several bytes, the text is shorter than the row.
    const whole = bytes.toString('utf8', start, end)
    if (whole.length === end - start) this.whole = whole
  }

  /** Whether the next column has a value. */
  next(): boolean {
    const { bytes, stop } = this
    if (stop + 4 > this.end) throw misread()
    const length = bytes.readInt32BE(stop)
    this.at = stop + 4
    this.stop = this.at
    if (length === -1) return false
    if (length < 0 || this.at + length > this.end) throw misread()
    this.stop += length
    return true
  }

  text(): string {
    const { at, stop, start } = this
    return this.whole === undefined ? this.bytes.toString('utf8', at, stop) : this.whole.slice(at - start, stop - start)
  }

  byte(): number | undefined {
    return this.bytes[this.at]
  }

  integer(): number {
    const { bytes, stop } = this
    const isNegative = bytes[this.at] === 0x2d
    let number = 0
    for (let at = isNegative ? this.at + 1 : this.at; at < stop; at++) {
      const digit = (bytes[at] as number) - 0x30
      if (digit < 0 || digit > 9) throw misread()
      number = number * 10 + digit
    }
    return isNegative ? -number : number
  }

  assertEnd(): void {
    if (this.stop !== this.end) throw misread()
  }
}

const misread = (): Error => new Error('the row does not end where its message does')

export const noColumns = new RowShape([])

/** The number of rows returned or changed, from the command tag. The tag of `explain` has no number. */
export function rowCountOf(tag: string, returned: number): number {
  const count = Number(tag.slice(tag.lastIndexOf(' ') + 1))
  return Number.isNaN(count) ? returned : count
}
