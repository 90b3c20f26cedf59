import { createRequire } from 'node:module'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import { Frames } from '../../src/database/frames.js'

// pg's own serializer says what the messages must be.
const { serialize } = createRequire(createRequire(import.meta.url).resolve('pg'))('pg-protocol') as {
  serialize: Record<'parse' | 'bind' | 'describe' | 'execute' | 'close' | 'sync', (message?: unknown) => Buffer>
}

const bound = (...values: unknown[]): Buffer => {
  const frames = new Frames()
  frames.bind('', values)
  return frames.take()
}

/** The parameters of one Bind message as the server reads them. */
function parametersOf(message: Buffer): (Buffer | null)[] {
  let at = 1 + 4 + 1 + message.subarray(6).indexOf(0) + 1
  const formats = message.readUInt16BE(at)
  at += 2 + 2 * formats
  const parameters: (Buffer | null)[] = []
  const count = message.readUInt16BE(at)
  at += 2
  for (let index = 0; index < count; index++) {
    const length = message.readInt32BE(at)
    at += 4
    parameters.push(length === -1 ? null : message.subarray(at, at + length))
    at += Math.max(length, 0)
  }
  expect(message.length - at).toBe(2)
  return parameters
}

const textsOf = (message: Buffer): unknown[] => parametersOf(message).map((value) => value?.toString() ?? null)

test('every message but Bind is byte for byte what pg sends', () => {
  const frames = new Frames()
  const text = `select 'ü€😀${'x'.repeat(100)}'`
  frames.parse('name', text)
  frames.describePortal()
  frames.execute()
  frames.closeStatement('name')
  frames.sync()
  expect(frames.take()).toEqual(
    Buffer.concat([
      serialize.parse({ name: 'name', text }),
      serialize.describe({ type: 'P' }),
      serialize.execute(),
      serialize.close({ type: 'S', name: 'name' }),
      serialize.sync(),
    ]),
  )
})

test('texts of every length and script arrive as they are', () => {
  const text = fc.string({ unit: 'binary', maxLength: 200 })
  fc.assert(
    fc.property(fc.array(fc.option(text)), (values) => {
      const utf8 = values.map((value) => (value === null ? null : Buffer.from(value).toString()))
      expect(textsOf(bound(...values))).toEqual(utf8)
    }),
    { numRuns: 50 },
  )
})

test('values become the text that Postgres reads', () => {
  const date = new Date('2026-01-02T03:04:05.678Z')
  const values = [1.5, 10n ** 20n, true, null, undefined, date, { a: [1] }, ['a"b', null, 2], [['x'], ['y']]]
  expect(textsOf(bound(...values))).toEqual([
    '1.5',
    '100000000000000000000',
    'true',
    null,
    null,
    '2026-01-02T03:04:05.678Z',
    '{"a":[1]}',
    '{"a\\"b",NULL,"2"}',
    '{{"x"},{"y"}}',
  ])
})

test('bytes go as bytes, and only they', () => {
  const message = bound('text', new Uint8Array([1, 2, 3, 0]).subarray(1), Buffer.from([255]))
  expect(parametersOf(message)).toEqual([Buffer.from('text'), Buffer.from([2, 3, 0]), Buffer.from([255])])
  // The portal's and the statement's empty names, then the count of formats and the formats.
  expect([...message.subarray(7, 15)]).toEqual([0, 3, 0, 0, 0, 1, 0, 1])
})

test.each([[() => 1], [Symbol('s')], [new Date(NaN)], [{ toJSON: () => undefined }]])(
  'what no database has is refused: %o',
  (value) => {
    expect(() => bound(value)).toThrow(InvalidInputError)
  },
)

test('a circular value is refused', () => {
  const circle: Record<string, unknown> = {}
  circle.self = circle
  expect(() => bound(circle)).toThrow(InvalidInputError)
})

test('more parameters than the protocol counts are refused, not wrapped around', () => {
  expect(textsOf(bound(...Array<string>(65_535).fill('x')))).toHaveLength(65_535)
  expect(() => bound(...Array<string>(65_536).fill('x'))).toThrow(InvalidInputError)
})

test('the bytes that were taken do not change with the next message, however large', () => {
  const frames = new Frames()
  frames.sync()
  const first = frames.take()
  frames.bind('', ['x'.repeat(3_000_000)])
  const second = frames.take()
  frames.execute()
  frames.sync()
  expect(first).toEqual(serialize.sync())
  expect(parametersOf(second)[0]).toHaveLength(3_000_000)
  expect(frames.take()).toEqual(Buffer.concat([serialize.execute(), serialize.sync()]))
})
