const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const values = new Uint8Array(128)
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

/** The reverse, of text that has these digits only. Undefined for a number that so many bytes cannot hold. */
export function fromBase62(text: string, bytes: number): Buffer | undefined {
  if (isTooLarge(text, bytes)) return undefined
  const words = new Uint16Array(bytes / 2)
  for (let start = 0, end = text.length % stepDigits; start < text.length; start = end, end += stepDigits) {
    let carry = numberFromBase62(text, start, end)
    const scale = end - start === stepDigits ? step : 62 ** (end - start)
    for (let index = words.length - 1; index >= 0; index--) {
      const value = (words[index] ?? 0) * scale + carry
      carry = Math.floor(value / wordSize)
      words[index] = value - carry * wordSize
    }
  }
  const read = Buffer.allocUnsafe(bytes)
  for (let index = 0; index < words.length; index++) read.writeUInt16BE(words[index] ?? 0, 2 * index)
  return read
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

export function numberFromBase62(text: string, start = 0, end = text.length): number {
  let value = 0
  for (let index = start; index < end; index++) value = value * 62 + (values[text.charCodeAt(index)] ?? 0)
  return value
}

export const textOfId = (uuid: string): string => inBase62(Buffer.from(uuid.replaceAll('-', ''), 'hex'), idLength)

/** Undefined for a number that no UUID has. */
export function idOf(text: string): string | undefined {
  const bytes = fromBase62(text, idBytes)
  if (bytes === undefined) return undefined
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

function wordsOf(bytes: Uint8Array): Uint16Array {
  const words = new Uint16Array(bytes.length / 2)
  for (let index = 0; index < words.length; index++)
    words[index] = (bytes[2 * index] ?? 0) * 256 + (bytes[2 * index + 1] ?? 0)
  return words
}
