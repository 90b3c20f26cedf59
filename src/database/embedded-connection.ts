import type { PGlite } from '@electric-sql/pglite'
import { InvalidInputError } from '../core/errors.js'
import { answer, messageTypes, noticeIn } from './answers.js'
import { MessageReader } from './message-reader.js'
import { Pipeline, type PipelineConnection } from './pipeline.js'
import { PreparedStatements } from './prepared-statements.js'
import { rollback, type Step } from './steps.js'

/**
 * The connection to PGlite. It sends the bytes that a server would get and reads the answer in the same way: PGlite's own serializers
 * and parsers know fewer types, store a symbol as text, and lose a leading byte order mark.
 */
export class EmbeddedConnection implements PipelineConnection {
  private readonly statements = new PreparedStatements(0)
  private isIdle = true

  constructor(private readonly database: PGlite) {}

  prepare(steps: readonly Step[], debug = false): Pipeline {
    for (const { statement, values } of steps) {
      assertShallow(statement.text)
      for (const value of values) if (typeof value === 'string' && /^\s*[[{]/.test(value)) assertShallow(value)
    }
    return new Pipeline(steps, this.statements, debug)
  }

  async send(pipeline: Pipeline): Promise<Pipeline> {
    this.isIdle = false
    try {
      const bytes = await this.exchange(pipeline.take())
      const reader = new MessageReader((type, bytes, start, end) => {
        if (type === messageTypes.notice) pipeline.handleNotice(noticeIn(bytes, start, end))
        else if (!unasked.has(type)) answer(pipeline, type, bytes, start, end)
      })
      if (!reader.push(bytes, bytes.length)) pipeline.misunderstand()
    } catch {
      // PGlite was closed or has failed: there is no answer.
    }
    // Does nothing after a ReadyForQuery.
    pipeline.settle(undefined)
    this.isIdle = pipeline.status === 'I'
    pipeline.publishObserved()
    return pipeline
  }

  /** As a stream: `execProtocolRaw` keeps every result until the database is closed. */
  private async exchange(bytes: Uint8Array): Promise<Buffer> {
    const parts: Buffer[] = []
    const onRawData = (part: Uint8Array) => {
      // A copy: the memory is PGlite's.
      parts.push(Buffer.from(part))
    }
    await this.database.runExclusive(() => this.database.execProtocolRawStream(bytes, { onRawData }))
    return Buffer.concat(parts)
  }

  /** No statement has a name. */
  forgetStale(): boolean {
    return false
  }

  /** There is no other connection: it is rolled back before the next caller gets it. */
  destroy(): void {
    this.isIdle = false
  }

  /** Ends a transaction that was left open, and the binding with it. */
  async reset(): Promise<void> {
    if (!this.isIdle) await this.send(this.prepare([rollback]))
  }
}

/** What a server may say at any time, and what is not needed here. */
const unasked: ReadonlySet<number> = new Set([messageTypes.notification, messageTypes.parameterStatus])

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
