import type { PGlite } from '@electric-sql/pglite'
import { InvalidInputError } from '../core/errors.js'
import type { Call, Result } from '../core/executor.js'
import { type Field, messagesIn } from './driver.js'
import { noColumns, rowCountOf, RowShape } from './rows.js'
import { Frames } from './wire.js'

const frames = new Frames()

/**
 * One statement as a server would get it, in the protocol's own messages: PGlite's own serializers and parsers know fewer types,
 * store a symbol as text, and lose a leading byte order mark. Rejects with the server's error as it is.
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

/** About 6,000 levels overflow the stack of PGlite, which then answers nothing or never, whatever it is asked next. */
const maxNesting = 1_000

/** Of JSON, also in an array or in a literal of the statement. Which parameters are JSON is not known here. */
function assertShallow(text: string): void {
  let depth = 0
  for (const character of text) {
    if (character === '[' || character === '{') depth++
    else if (character === ']' || character === '}') depth--
    if (depth > maxNesting) throw new InvalidInputError('', `contains text that is nested deeper than ${maxNesting}`)
  }
}
