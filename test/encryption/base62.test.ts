import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fromBase62, idOf, inBase62, numberFromBase62, numberInBase62, textOfId } from '../../src/encryption/base62.js'

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const numberOf = (text: string) =>
  Array.from(text).reduce((sum, digit) => sum * 62n + BigInt(digits.indexOf(digit)), 0n)
const numberIn = (bytes: Uint8Array) => BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const textOf = (length: number) =>
  fc.string({ unit: fc.constantFrom(...Array.from(digits)), minLength: length, maxLength: length })

test.each([
  [16, 22],
  [32, 43],
])('%i bytes are the same number in %i digits, and come back', (bytes, length) => {
  const edges = [
    new Uint8Array(bytes),
    new Uint8Array(bytes).fill(255),
    Uint8Array.from({ length: bytes }, (_, at) => (at === bytes - 1 ? 1 : 0)),
  ]
  fc.assert(
    fc.property(bytesOf(bytes), (given) => {
      const text = inBase62(given, length)
      expect(text).toMatch(new RegExp(`^[0-9A-Za-z]{${length}}$`))
      expect(numberOf(text)).toBe(numberIn(given))
      expect(new Uint8Array(fromBase62(text, bytes) ?? [])).toEqual(given)
    }),
    { numRuns: 2000, examples: edges.map((edge) => [edge]) },
  )
})

test.each([
  [16, 22],
  [32, 43],
])('text of a number that %i bytes cannot hold is none', (bytes, length) => {
  const largest = 1n << BigInt(bytes * 8)
  fc.assert(
    fc.property(textOf(length), (text) => {
      const read = fromBase62(text, bytes)
      if (numberOf(text) >= largest) expect(read).toBeUndefined()
      else expect(numberIn(read ?? new Uint8Array(1))).toBe(numberOf(text))
    }),
    { numRuns: 2000, examples: [['z'.repeat(length)], ['0'.repeat(length)]] },
  )
})

test('small numbers and ids come back', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31 - 1), fc.uuid(), (number, id) => {
      expect(numberFromBase62(numberInBase62(number, 6))).toBe(number)
      expect(numberInBase62(number, 6)).toHaveLength(6)
      expect(idOf(textOfId(id))).toBe(id)
    }),
  )
})

test('text with another character is no number and no id', () => {
  const others = ['_', '-', ' ', '/', ':', '@', '[', '`', '{', '\0', '\x7f', 'é', 'İ', '\ud800', '٣']
  for (const other of others) {
    for (let at = 0; at < 22; at++) {
      const text = `${'0'.repeat(at)}${other}${'0'.repeat(21 - at)}`
      expect([fromBase62(text, 16), idOf(text), numberFromBase62(text)]).toEqual([undefined, undefined, Number.NaN])
    }
  }
})

test('a part of a text is read alone', () => {
  const id = '0198c1f0-7a3b-7c4d-8e5f-0123456789ab'
  const text = `_${textOfId(id)}z`
  expect(idOf(text, 1, 23)).toBe(id)
  expect(fromBase62(text, 16, 1, 23)).toEqual(fromBase62(textOfId(id), 16))
  expect(numberFromBase62('_0Az_', 1, 4)).toBe(10 * 62 + 61)
})
