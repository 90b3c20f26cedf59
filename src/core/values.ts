import { types } from 'node:util'
import type { z } from 'zod'
import { type InputFault, InvalidInputError } from './errors.js'

/** What a row is given, by the properties of its table. */
export type Values = Readonly<Record<string, unknown>>

/** What a caller hands in, looked at once: own properties of a plain object, so that nothing inherited counts as given. */
export function ownProperties(input: unknown, field = ''): Record<string, unknown> {
  // No prototype, so that a name such as `toString` is never found by accident, and `__proto__` is a name like any other.
  const copy = Object.create(null) as Record<string, unknown>
  for (const [key, value] of Object.entries(plainCopy(input, field))) copy[key] = value
  return copy
}

/** A list's items, each read once. */
export function ownItems(input: unknown, field: string, max: number): unknown[] {
  return touch(field, () => {
    if (!Array.isArray(input)) throw new InvalidInputError(field, 'must be a list')
    const { length } = input
    if (!(length <= max)) throw new InvalidInputError(field, `has more than ${max} items`)
    // By their places: a list can bring an iterator that never ends.
    return Array.from({ length }, (_, index): unknown => input[index])
  })
}

/** The moment of a Date in milliseconds, by no method that the value itself brings. */
export function momentOf(value: unknown): number | undefined {
  return types.isDate(value) ? Date.prototype.getTime.call(value) : undefined
}

/** What is asked of the caller's value may run the caller's code: a getter, the trap of a proxy. */
export function touch<T>(field: string, ask: () => T): T {
  try {
    return ask()
  } catch (error) {
    if (error instanceof InvalidInputError) throw error
    throw new InvalidInputError(field, 'cannot be read')
  }
}

/** Its own properties, each read once; `__proto__` is one like any other. */
function plainCopy(input: unknown, field: string): object {
  return touch(field, () => {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) {
      throw new InvalidInputError(field, 'must be an object')
    }
    const prototype: unknown = Object.getPrototypeOf(input)
    if (prototype === Object.prototype || prototype === null) return { ...input }
    throw new InvalidInputError(field, 'must be a plain object')
  })
}

/** The input as the schema makes it. Throws InvalidInputError with every fault, and never the value that was refused. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const own = plainCopy(input, '')
  return touch('', () => {
    const result = schema.safeParse(own)
    if (result.success) return result.data
    // In here, for the words are made only now, of another look at the values.
    throw new InvalidInputError(result.error.issues.slice(0, maxFaults).flatMap(faultsOf))
  })
}

const maxFaults = 20

function faultsOf(issue: z.core.$ZodIssue): InputFault[] {
  const field = issue.path.map(String).join('.')
  if (issue.code !== 'unrecognized_keys') return [{ field, reason: issue.message }]
  // A key is the caller's text: it is named, but not at any length.
  return issue.keys.slice(0, maxFaults).map((key) => ({
    field: [field, key.slice(0, 60)].filter((part) => part !== '').join('.'),
    reason: 'is not a field that can be given',
  }))
}
