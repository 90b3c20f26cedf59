import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { MessageReader } from '../../src/database/message-reader.js'

interface Read {
  readonly type: number
  readonly body: string
}

function encoded({ type, body }: Read): Buffer {
  const content = Buffer.from(body)
  const bytes = Buffer.alloc(5 + content.length)
  bytes.writeUInt8(type)
  bytes.writeInt32BE(4 + content.length, 1)
  content.copy(bytes, 5)
  return bytes
}

/** What is read of these bytes, each part in the same memory as the one before, as a socket with one buffer gives them. */
function read(parts: readonly Buffer[]): Read[] {
  const seen: Read[] = []
  const reader = new MessageReader((type, bytes, start, end) => {
    seen.push({ type, body: bytes.toString('utf8', start, end) })
  })
  const memory = Buffer.alloc(Math.max(...parts.map((part) => part.length)))
  for (const part of parts) {
    part.copy(memory)
    expect(reader.push(memory, part.length)).toBe(true)
    memory.fill(0xff)
  }
  return seen
}

const messages: readonly Read[] = [
  { type: 0x32, body: '' },
  { type: 0x44, body: 'a row with an é' },
  { type: 0x43, body: 'SELECT 1\0' },
  { type: 0x5a, body: 'I' },
]

test('messages are read in two parts, wherever they are cut', () => {
  const bytes = Buffer.concat(messages.map(encoded))
  for (let at = 1; at < bytes.length; at++) {
    expect(read([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(messages)
  }
})

test('messages are read in parts of any length', () => {
  const message = fc.record({ type: fc.integer({ min: 0, max: 255 }), body: fc.string({ maxLength: 3_000 }) })
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1 }),
      fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1 }),
      (all, lengths) => {
        const bytes = Buffer.concat(all.map(encoded))
        const parts: Buffer[] = []
        for (let at = 0; at < bytes.length; at += parts.at(-1)?.length ?? 0) {
          parts.push(bytes.subarray(at, at + (lengths[parts.length % lengths.length] as number)))
        }
        expect(read(parts)).toEqual(all)
      },
    ),
  )
})

test('a message of 8 MB that comes in parts of 64 KB is copied a few times, and not once for each part', () => {
  const long = { type: 0x44, body: 'x'.repeat(8_388_608) }
  const bytes = encoded(long)
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 65_536) parts.push(bytes.subarray(at, at + 65_536))
  const copy = vi.spyOn(Buffer.prototype, 'copy')
  const seen = read([...parts, encoded({ type: 0x5a, body: 'I' })])
  const copied = copy.mock.results.reduce((sum, { value }) => sum + (value as number), 0)
  copy.mockRestore()
  expect(seen).toEqual([long, { type: 0x5a, body: 'I' }])
  // Once into the memory of this test, once into what is kept, and once more for each time that this grows.
  expect(copied).toBeLessThan(5 * bytes.length)
})

test('a length that no message can have is told', () => {
  const reader = new MessageReader(() => undefined)
  expect(reader.push(Buffer.from([0x44, 0, 0, 0, 3]), 5)).toBe(false)
  expect(new MessageReader(() => undefined).push(Buffer.from([0x44, 0xff, 0xff, 0xff, 0xff]), 5)).toBe(false)
})
