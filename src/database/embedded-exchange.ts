import type { PGlite } from '@electric-sql/pglite'
import { InvalidInputError } from '../core/errors.js'
import type { Call, Result } from '../core/executor.js'
import { type Field, messagesIn } from './driver.js'
import { noColumns, rowCountOf, RowShape } from './rows.js'
import { Frames } from './wire.js'

const frames = new Frames()

/**
 * Runs one statement by messages of the protocol, encoded and read as for a server: PGlite's own serializers and parsers know fewer
 * types, store a symbol as text, and lose a leading byte order mark. Rejects with the server's error.
 */
export async function exchange(database: PGlite, { statement, values }: Call): Promise<Result> {
  assertShallow(statement.text)
  for (const value of values) if (typeof value === 'string' && /^\s*[[{]/.test(value)) assertShallow(value)
  const bytes = encode(statement.text, values)
  return resultOf(await database.runExclusive(() => database.execProtocolRaw(bytes)))
}

function encode(text: string, values: readonly unknown[]): Uint8Array {
  try {
    frames.parse('', text)
    frames.bind('', values)
    frames.describePortal()
    frames.execute()
    frames.sync()
    return frames.take()
  } finally {
    frames.discard()
  }
}

function resultOf(answer: Uint8Array): Result {
  const rows: unknown[][] = []
  let shape = noColumns
  let tag: string | undefined
  for (const message of messagesIn(answer)) {
    if (message instanceof Error) throw message
    if (message.name === 'rowDescription') shape = new RowShape(message.fields as readonly Field[])
    if (message.name === 'dataRow') {
      const row = message.fields as unknown[]
      shape.read(row)
      rows.push(row)
    }
    if (message.name === 'commandComplete') tag = message.text
  }
  if (tag === undefined) throw new Error('the statement was not completed')
  return { rows, columns: shape.columns, rowCount: rowCountOf(tag, rows.length) }
}

/** About 6,000 levels of JSON overflow the stack of PGlite. After that it answers no statement any more. */
const maxNesting = 1_000

/** Refuses a text with too many nested brackets, whatever its type: here it is not known which parameters are JSON. */
function assertShallow(text: string): void {
  let depth = 0
  for (const character of text) {
    if (character === '[' || character === '{') depth++
    else if (character === ']' || character === '}') depth--
    if (depth > maxNesting) throw new InvalidInputError('', `contains text that is nested deeper than ${maxNesting}`)
  }
}
