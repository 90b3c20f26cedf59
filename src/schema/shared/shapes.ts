import { z } from 'zod'
import { copyJson, type JsonObject, type JsonValue } from './json.js'

// Shapes of input. None has a default: `.partial()` would carry it into a patch and reset what the caller did not mention.

/** Text that Postgres stores as it is: NUL is an error there, and a lone surrogate would silently become U+FFFD. */
export const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => !value.includes('\0') && value.isWellFormed(), 'holds NUL or half of a surrogate pair')

/** A name that people read: not blank. */
export const label = (max = 200) => text(max).refine((value) => value.trim() !== '', 'is blank')

export const slug = z
  .string()
  .max(63)
  .regex(/^[a-z0-9](-?[a-z0-9])*$/, 'must be lower-case letters, digits and single hyphens')

/** What a catalog's row is called in code: `tier_free`, `custom_domain`. */
export const key = z
  .string()
  .max(63)
  .regex(/^[a-z][a-z0-9_]*$/, 'must be lower-case letters, digits and underscores')

/** A secret in the clear, on its way to be sealed. */
export const secret = text(8192).min(1)

export const username = z
  .string()
  .max(63)
  .regex(/^[a-z0-9][a-z0-9._-]*$/, 'must be lower-case letters, digits, dots, hyphens and underscores')

/** NFKC, trimmed, lower case: two spellings of one address are one address. */
export const email = z
  .string()
  .max(320)
  .transform((value) => value.normalize('NFKC').trim().toLowerCase())
  .pipe(z.email().max(254))

/** The id of a row. Postgres takes upper case too; one row must not have two spellings. */
export const uuid = z.guid().toLowerCase()

/** Something a browser may be sent to: `javascript:` and its like would run where the link is shown. */
export const url = text(2048).pipe(z.url({ protocol: /^https?$/ }))

export const ip = z.union([z.ipv4(), z.ipv6()])

const earliest = Date.parse('0001-01-01T00:00:00Z')
const latest = Date.parse('9999-12-31T23:59:59.999Z')

/** A moment: a Date, or ISO 8601 text with an offset as it comes in a request body. */
export const instant = z
  .union([
    // A plain one, whatever methods the given one brings.
    z.date().transform((value) => new Date(value.getTime())),
    z.iso.datetime({ offset: true }).transform((value) => new Date(value)),
  ])
  .refine((value) => value.getTime() >= earliest && value.getTime() <= latest, 'is outside of the years 1 to 9999')

export const int = (min: number, max: number) => z.int().min(min).max(max)

/** The largest value of Postgres' int type. */
export const maxInt = 2_147_483_647

/** An exact decimal as text, never a number: `12`, `12.5`, `-0.25`. No exponent, sign or blanks, which servers read differently. */
export const decimal = (precision: number, scale: number, range: 'any' | 'not negative' | 'positive' = 'any') => {
  const whole = `(?:0|[1-9]\\d{0,${precision - scale - 1}})`
  const pattern = new RegExp(`^${range === 'any' ? '-?' : ''}${whole}${scale > 0 ? `(?:\\.\\d{1,${scale}})?` : ''}$`)
  const decimal = z.string().regex(pattern, `must be a decimal such as "12.5" with at most ${scale} places`)
  return range === 'positive' ? decimal.refine((value) => /[1-9]/.test(value), 'must be more than zero') : decimal
}

export const money = decimal(14, 2, 'not negative')

export const currency = z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as "EUR"')

export const country = z.string().regex(/^[A-Z]{2}$/, 'must be an ISO 3166 code such as "DE"')

const jsonOf = <Value extends JsonValue>(isOne: (value: JsonValue) => boolean, what: string) =>
  z.custom<Value>().transform((value, context) => {
    const copy = copyJson(value)
    if ('value' in copy && isOne(copy.value)) return copy.value as Value
    context.addIssue({ code: 'custom', message: 'value' in copy ? `must be ${what}` : copy.fault })
    return z.NEVER
  })

/** Any JSON value, copied and capped. */
export const json = jsonOf<JsonValue>(() => true, 'JSON')

/** A JSON object, copied and capped. */
export const jsonObject = jsonOf<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'a JSON object',
)
