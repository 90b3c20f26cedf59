// Arithmetic on decimal texts such as "12.50", with integers of any size: a JavaScript number would lose cents.

/** The number times ten to the power of `places`. The text has no more places than that. */
function unitsOf(text: string, places: number): bigint {
  const [whole = '', fraction = ''] = text.split('.')
  return BigInt(whole + fraction.padEnd(places, '0'))
}

function textOf(units: bigint, places: number): string {
  const digits = String(units < 0n ? -units : units).padStart(places + 1, '0')
  const sign = units < 0n ? '-' : ''
  return places === 0 ? sign + digits : `${sign}${digits.slice(0, -places)}.${digits.slice(-places)}`
}

/** The sum of amounts of at most two places. */
export const sumOf = (...amounts: readonly string[]): string =>
  textOf(
    amounts.reduce((sum, amount) => sum + unitsOf(amount, 2), 0n),
    2,
  )

/** The first of two amounts less the second one. */
export const differenceOf = (amount: string, less: string): string => textOf(unitsOf(amount, 2) - unitsOf(less, 2), 2)

export const isNegative = (amount: string): boolean => unitsOf(amount, 2) < 0n

/** The product of two decimals of at most six places, rounded to two: half a cent goes away from zero. */
export function productOf(one: string, other: string): string {
  const cent = 10n ** 10n
  const product = unitsOf(one, 6) * unitsOf(other, 6)
  const half = product < 0n ? -cent / 2n : cent / 2n
  return textOf((product + half) / cent, 2)
}
