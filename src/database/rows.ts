import { type Field, textParsers } from './driver.js'

/** Date, timestamp, interval, their arrays, and numeric[]: a Date would lose microseconds, a number would lose digits. */
const keptAsText = [1082, 1114, 1115, 1182, 1184, 1185, 1186, 1187, 1231]

const parsers = textParsers()
for (const oid of keptAsText) parsers.delete(oid)

/** The columns of one prepared statement on one connection, and how its rows are read. */
export class RowShape {
  readonly columns: readonly string[]
  private readonly parsed: readonly (readonly [number, (text: string) => unknown])[]

  constructor(fields: readonly Field[]) {
    this.columns = fields.map((field) => field.name)
    this.parsed = fields.flatMap(({ dataTypeID }, index) => {
      const parse = parsers.get(dataTypeID)
      return parse === undefined ? [] : [[index, parse] as const]
    })
  }

  /** Replaces each text in the array by its value. */
  read(row: unknown[]): void {
    if (row.length !== this.columns.length) throw new Error('the row does not have the described columns')
    for (const [index, parse] of this.parsed) {
      const text = row[index]
      if (text !== null) row[index] = parse(text as string)
    }
  }
}

export const noColumns = new RowShape([])

/** The number of rows returned or changed, from the command tag. The tag of `explain` has no number. */
export function rowCountOf(tag: string, returned: number): number {
  const count = Number(tag.slice(tag.lastIndexOf(' ') + 1))
  return Number.isNaN(count) ? returned : count
}
