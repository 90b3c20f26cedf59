import { z } from 'zod'
import { copyJson, type JsonObject, type JsonValue } from './json.js'
import { Secret } from './secret.js'

// Shapes of input. None has a default: `.partial()` would copy it into a patch and reset fields that the caller did not pass.

/** Text that Postgres stores unchanged: it refuses NUL, and a lone surrogate would silently become U+FFFD. */
export const text = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => !value.includes('\0') && value.isWellFormed(), 'contains NUL or half of a surrogate pair')

/** For rows of which the library sets every value: nothing is taken from the caller. */
export const noInput = z.strictObject({})

/** A name for people: not blank. */
export const label = (max = 200) => text(max).refine((value) => value.trim() !== '', 'is blank')

export const slug = z
  .string()
  .max(63)
  .regex(/^[a-z0-9](-?[a-z0-9])*$/, 'must be lower-case letters, digits and single hyphens')

/** The key of a catalog row: `tier_free`, `custom_domain`. */
export const key = z
  .string()
  .max(63)
  .regex(/^[a-z][a-z0-9_]*$/, 'must be lower-case letters, digits and underscores')

const secretText = text(8192).min(1)

/** A secret before it is sealed: its text, or a Secret. */
export const secret = z.custom<string | Secret>().superRefine((value, context) => {
  const { error } = secretText.safeParse(value instanceof Secret ? value.reveal() : value)
  for (const { message } of error?.issues ?? []) context.addIssue({ code: 'custom', message })
})

export const username = z
  .string()
  .max(63)
  .regex(/^[a-z0-9][a-z0-9._-]*$/, 'must be lower-case letters, digits, dots, hyphens and underscores')

/** NFKC, trimmed, lower case, so that two spellings of one address are equal. */
export const email = z
  .string()
  .max(320)
  .transform((value) => value.normalize('NFKC').trim().toLowerCase())
  .pipe(z.email().max(254))

/** The id of a row. Postgres accepts upper case too, but one row must not have two spellings. */
export const uuid = z.guid().toLowerCase()

/** A URL that a browser may open. `javascript:` and the like would run where the link is shown. */
export const url = text(2048).pipe(z.url({ protocol: /^https?$/ }))

export const ip = z.union([z.ipv4(), z.ipv6()])

const earliest = Date.parse('0001-01-01T00:00:00Z')
const latest = Date.parse('9999-12-31T23:59:59.999Z')

/** A moment: a Date, or ISO 8601 text with an offset, as in a request body. */
export const instant = z
  .union(
    [
      // Copied to a plain Date, whatever methods the given one has.
      z.date().transform((value) => new Date(value.getTime())),
      z.iso.datetime({ offset: true }).transform((value) => new Date(value)),
    ],
    { error: 'must be a Date, or a text such as 2027-01-31T08:00:00Z' },
  )
  .refine((value) => value.getTime() >= earliest && value.getTime() <= latest, 'is outside of the years 1 to 9999')

export const int = (min: number, max: number) => z.int().min(min).max(max)

/** The maximum of Postgres' int type. */
export const maxInt = 2_147_483_647

/**
 * An exact decimal as text, never a number: `12`, `12.5`, `-0.25`. Without exponent, plus sign or blanks, which servers read
 * differently.
 */
export const decimal = (precision: number, scale: number, range: 'any' | 'not negative' | 'positive' = 'any') => {
  const whole = `(?:0|[1-9]\\d{0,${precision - scale - 1}})`
  const pattern = new RegExp(`^${range === 'any' ? '-?' : ''}${whole}${scale > 0 ? `(?:\\.\\d{1,${scale}})?` : ''}$`)
  const decimal = z.string().regex(pattern, `must be a decimal such as "12.5" with at most ${scale} places`)
  return range === 'positive' ? decimal.refine((value) => /[1-9]/.test(value), 'must be more than zero') : decimal
}

export const money = decimal(14, 2, 'not negative')

/** An object inside of another one, without what it inherits: a polluted prototype would add fields to it. */
export const own = <Schema extends z.ZodObject | z.ZodUnion>(schema: Schema) =>
  z.preprocess(ownPart, schema) as unknown as z.ZodType<z.output<Schema>, z.input<Schema>>

const ownPart = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
    ? Object.assign(Object.create(null) as object, value)
    : value

export const currency = z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 4217 code such as "EUR"')

export const country = z.string().regex(/^[A-Z]{2}$/, 'must be an ISO 3166 code such as "DE"')

// `unknown`, and not `custom`, because what makes an OpenAPI document of a schema knows it.
const jsonOf = <Value extends JsonValue>(isOne: (value: JsonValue) => boolean, what: string) =>
  (z.unknown() as z.ZodType<Value, Value>).transform((value, context) => {
    const copy = copyJson(value)
    if ('value' in copy && isOne(copy.value)) return copy.value as Value
    context.addIssue({ code: 'custom', message: 'value' in copy ? `must be ${what}` : copy.fault })
    return z.NEVER
  })

/** Any JSON value, copied and limited in size. */
export const json = jsonOf<JsonValue>(() => true, 'JSON')

/** A JSON object, copied and limited in size. */
export const jsonObject = jsonOf<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'a JSON object',
)
