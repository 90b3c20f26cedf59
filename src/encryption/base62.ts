const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const idLength = 22

/** The number in base 62, in so many digits. */
export function inBase62(value: bigint, length: number): string {
  let text = ''
  for (let rest = value; text.length < length; rest /= 62n) text = (digits[Number(rest % 62n)] ?? '') + text
  return text
}

/** The reverse, of text that has these digits only. */
export const fromBase62 = (text: string): bigint =>
  Array.from(text).reduce((value, digit) => value * 62n + BigInt(digits.indexOf(digit)), 0n)

/** Whether the text is a number of more bytes than that. It would be a second spelling of another one. */
export const isTooLarge = (text: string, bytes: number): boolean => fromBase62(text) >> BigInt(bytes * 8) !== 0n

export const textOfId = (uuid: string): string => inBase62(BigInt(`0x${uuid.replaceAll('-', '')}`), idLength)

/** Undefined for a number that no UUID has. */
export function idOf(text: string): string | undefined {
  if (isTooLarge(text, 16)) return undefined
  const hex = fromBase62(text).toString(16).padStart(32, '0')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
