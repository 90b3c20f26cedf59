const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const values = new Float64Array(128).fill(Number.NaN)
for (let value = 0; value < 62; value++) values[digits.charCodeAt(value)] = value

const idBytes = 16
const idLength = 22

// Five digits are one step of the division. 62^5 · 2^16 is below 2^53, so a double holds each step exactly, without BigInt. The rest of
// a division is a multiplication and a subtraction: `%` of doubles takes several times as long.
const stepDigits = 5
const step = 62 ** stepDigits
const wordSize = 2 ** 16

/** The number in base 62, in so many digits. */
export function inBase62(bytes: Uint8Array, length: number): string {
  const words = wordsOf(bytes)
  let text = ''
  for (let first = 0; text.length < length;) {
    let rest = 0
    for (let index = first; index < words.length; index++) {
      const value = rest * wordSize + (words[index] ?? 0)
      const quotient = Math.floor(value / step)
      words[index] = quotient
      rest = value - quotient * step
    }
    while (words[first] === 0) first++
    text = numberInBase62(rest, stepDigits) + text
  }
  return text.slice(-length)
}

/** The reverse, for a part of a text. Undefined for another character, and for a number that so many bytes cannot hold. */
export function fromBase62(text: string, bytes: number, start = 0, end = text.length): Uint8Array | undefined {
  const words = wordsFrom(text, bytes, start, end)
  if (words === undefined) return undefined
  const read = new Uint8Array(bytes)
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? 0
    read[2 * index] = word >>> 8
    read[2 * index + 1] = word & 255
  }
  return read
}

function wordsFrom(text: string, bytes: number, start: number, end: number): Uint16Array | undefined {
  const words = new Uint16Array(bytes / 2)
  // The words before it are 0 so far.
  let first = words.length
  for (let from = start, to = start + ((end - start) % stepDigits); from < end; from = to, to += stepDigits) {
    let carry = numberFromBase62(text, from, to)
    if (Number.isNaN(carry)) return undefined
    const scale = to - from === stepDigits ? step : 62 ** (to - from)
    let index = words.length - 1
    for (; index >= first || carry > 0; index--) {
      if (index < 0) return undefined
      const value = (words[index] ?? 0) * scale + carry
      carry = Math.floor(value / wordSize)
      words[index] = value - carry * wordSize
    }
    first = Math.min(first, index + 1)
  }
  return words
}

/** Whether text of these digits is a number that so many bytes cannot hold. The digits are in the order of their characters. */
export const isTooLarge = (text: string, bytes: number): boolean => text > largestOf(bytes, text.length)

const largest = new Map<number, string>()

function largestOf(bytes: number, length: number): string {
  const known = largest.get(bytes)
  if (known !== undefined) return known
  const text = inBase62(new Uint8Array(bytes).fill(255), length)
  largest.set(bytes, text)
  return text
}

/** For numbers below 2^53. */
export function numberInBase62(value: number, length: number): string {
  let text = ''
  for (let rest = value; text.length < length;) {
    const quotient = Math.floor(rest / 62)
    text = (digits[rest - quotient * 62] ?? '') + text
    rest = quotient
  }
  return text
}

/** NaN where another character is among the digits. */
export function numberFromBase62(text: string, start = 0, end = text.length): number {
  let value = 0
  for (let index = start; index < end; index++) value = value * 62 + (values[text.charCodeAt(index)] ?? Number.NaN)
  return value
}

export const textOfId = (uuid: string): string => inBase62(Buffer.from(uuid.replaceAll('-', ''), 'hex'), idLength)

const hexOfBytes = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Undefined for another character, and for a number that no UUID has. */
export function idOf(text: string, start = 0, end = text.length): string | undefined {
  const words = wordsFrom(text, idBytes, start, end)
  if (words === undefined) return undefined
  const hex = (index: number) => {
    const word = words[index] ?? 0
    return `${hexOfBytes[word >>> 8] ?? ''}${hexOfBytes[word & 255] ?? ''}`
  }
  return `${hex(0)}${hex(1)}-${hex(2)}-${hex(3)}-${hex(4)}-${hex(5)}${hex(6)}${hex(7)}`
}

function wordsOf(bytes: Uint8Array): Uint16Array {
  const words = new Uint16Array(bytes.length / 2)
  for (let index = 0; index < words.length; index++)
    words[index] = (bytes[2 * index] ?? 0) * 256 + (bytes[2 * index + 1] ?? 0)
  return words
}
