import type { z } from 'zod'
import { type InputFault, InvalidInputError } from './errors.js'

/** What a caller hands in, looked at once: own properties of a plain object, so that nothing inherited counts as given. */
export function ownProperties(input: unknown, field = ''): Record<string, unknown> {
  // No prototype, so that a name such as `toString` is never found by accident, and `__proto__` is a name like any other.
  const copy = Object.create(null) as Record<string, unknown>
  for (const [key, value] of Object.entries(plainCopy(input, field))) copy[key] = value
  return copy
}

/** A list's items, each read once. */
export function ownItems(input: unknown, field: string, max: number): unknown[] {
  if (!Array.isArray(input)) throw new InvalidInputError(field, 'must be a list')
  if (input.length > max) throw new InvalidInputError(field, `has more than ${max} items`)
  try {
    return [...(input as unknown[])]
  } catch {
    throw new InvalidInputError(field, 'cannot be read')
  }
}

/** The moment of a Date in milliseconds, by no method that the value itself brings. */
export function momentOf(value: unknown): number | undefined {
  if (!(value instanceof Date)) return undefined
  try {
    return Date.prototype.getTime.call(value)
  } catch {
    return undefined
  }
}

/** Its own properties, each read once; `__proto__` is one like any other. */
function plainCopy(input: unknown, field: string): object {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw new InvalidInputError(field, 'must be an object')
  }
  try {
    const prototype: unknown = Object.getPrototypeOf(input)
    if (prototype === Object.prototype || prototype === null) return { ...input }
  } catch {
    throw new InvalidInputError(field, 'cannot be read')
  }
  throw new InvalidInputError(field, 'must be a plain object')
}

/** The input as the schema makes it. Throws InvalidInputError with every fault, and never the value that was refused. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = parse(schema, plainCopy(input, ''))
  if (result.success) return result.data
  throw new InvalidInputError(result.error.issues.slice(0, maxFaults).flatMap(faultsOf))
}

const maxFaults = 20

function parse<Schema extends z.ZodType>(schema: Schema, input: object): z.ZodSafeParseResult<z.output<Schema>> {
  try {
    return schema.safeParse(input)
  } catch {
    // A getter or a proxy inside the input threw.
    throw new InvalidInputError('', 'cannot be read')
  }
}

function faultsOf(issue: z.core.$ZodIssue): InputFault[] {
  const field = issue.path.map(String).join('.')
  if (issue.code !== 'unrecognized_keys') return [{ field, reason: issue.message }]
  // A key is the caller's text: it is named, but not at any length.
  return issue.keys.slice(0, maxFaults).map((key) => ({
    field: [field, key.slice(0, 60)].filter((part) => part !== '').join('.'),
    reason: 'is not a field that can be given',
  }))
}
