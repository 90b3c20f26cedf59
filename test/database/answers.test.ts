import fc from 'fast-check'
import { expect, test } from 'vitest'
import { statement } from '../../src/core/statement.js'
import { answer, errorIn, messageTypes, noticeIn, settingIn } from '../../src/database/answers.js'
import { Pipeline } from '../../src/database/pipeline.js'
import { PreparedStatements } from '../../src/database/prepared-statements.js'
import { asked } from '../../src/database/steps.js'

const types = Object.values(messageTypes)

function newPipeline(): Pipeline {
  const steps = [asked({ statement: statement('select 1', 'read'), values: [] })]
  return new Pipeline(steps, new PreparedStatements(10), false)
}

/** A pipeline that has been answered up to its description. */
function described(description: Buffer): Pipeline {
  const pipeline = newPipeline()
  answer(pipeline, messageTypes.parseComplete, Buffer.alloc(0), 0, 0)
  answer(pipeline, messageTypes.bindComplete, Buffer.alloc(0), 0, 0)
  answer(pipeline, messageTypes.rowDescription, description, 0, description.length)
  return pipeline
}

function description(...names: string[]): Buffer {
  const count = Buffer.alloc(2)
  count.writeUInt16BE(names.length)
  return Buffer.concat([count, ...names.flatMap((name) => [Buffer.from(`${name}\0`), Buffer.alloc(18)])])
}

test('a description of columns is understood whole, and not when a byte is missing or too much', () => {
  const whole = description('id', 'name')
  expect(described(whole).isUnderstood).toBe(true)
  for (let length = 0; length < whole.length; length++) {
    // A buffer of its own: nothing lies behind its end.
    expect(described(Buffer.from(new Uint8Array(whole.subarray(0, length)))).isUnderstood).toBe(false)
  }
  expect(described(Buffer.concat([whole, Buffer.alloc(1)])).isUnderstood).toBe(false)
})

test('a row of a described statement is understood whole, and not when a byte is missing or too much', () => {
  const row = Buffer.from([0, 2, 0, 0, 0, 2, 0x61, 0x62, 0xff, 0xff, 0xff, 0xff])
  const given = (bytes: Buffer): Pipeline => {
    const pipeline = described(description('id', 'name'))
    answer(pipeline, messageTypes.dataRow, bytes, 0, bytes.length)
    return pipeline
  }
  expect(given(row).isUnderstood).toBe(true)
  for (let length = 0; length < row.length; length++) {
    expect(given(Buffer.from(new Uint8Array(row.subarray(0, length)))).isUnderstood).toBe(false)
  }
  expect(given(Buffer.concat([row, Buffer.alloc(1)])).isUnderstood).toBe(false)
})

test('no bytes of the server make the reader of an answer throw, which would end the process', () => {
  const message = fc.record({ type: fc.constantFrom(...types), body: fc.uint8Array({ maxLength: 40 }) })
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), (messages) => {
      const pipeline = newPipeline()
      for (const { type, body } of messages) {
        const bytes = Buffer.from(body)
        answer(pipeline, type, bytes, 0, bytes.length)
        errorIn(bytes, 0, bytes.length)
        noticeIn(bytes, 0, bytes.length)
        settingIn(bytes, 0, bytes.length)
      }
    }),
    { numRuns: 3_000 },
  )
})
