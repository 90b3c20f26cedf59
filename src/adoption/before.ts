import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { InvalidInputError } from '../core/errors.js'
import { parseInput } from '../core/values.js'

const name = z.string().min(1)
const key = z.array(z.string()).min(1)

const range = z.strictObject({
  /** The primary keys of its first and of its last row, as text. */
  first: key,
  last: key,
  rows: z.int().positive(),
  hash: z.string().regex(/^-?\d+ -?\d+$/, 'must be two numbers'),
})
/** Rows that follow one another in the order of the primary key. */
export type BeforeRange = z.output<typeof range>

const table = z
  .strictObject({
    name,
    key: z.array(name).min(1),
    columns: z.array(name).min(1),
    ranges: z.array(range),
  })
  .refine(({ key: names, columns }) => names.every((one) => columns.includes(one)), 'a column of the key is no column')
  .refine(
    ({ key: { length }, ranges }) =>
      ranges.every(({ first, last }) => first.length === length && last.length === length),
    'the first and last of each range need a value for each column of the key',
  )
export type BeforeTable = z.output<typeof table>

const before = z.strictObject({
  version: z.literal(1),
  schema: name,
  /** The time of the snapshot. */
  takenAt: z.string(),
  tables: z.array(table),
  /** Tables whose rows are not proved, each with the reason. */
  leftOut: z.array(z.strictObject({ table: name, reason: z.string() })),
})
/** tenantry.adopt.before.json: what a schema held before its adoption. Of its values it holds primary keys alone. */
export interface Before extends z.output<typeof before> {}

export async function readBefore(path: string): Promise<Before> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new InvalidInputError(
      path,
      'is not there: `tenantry adopt verify --before` writes it, before the adoption begins',
    )
  }
  try {
    return parseInput(before, JSON.parse(text))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new InvalidInputError(
      path,
      `is not as \`tenantry adopt verify --before\` wrote it (${reason}): bring that file back; write it anew only if the adoption has not begun`,
    )
  }
}
