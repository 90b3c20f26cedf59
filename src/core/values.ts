import { types } from 'node:util'
import type { z } from 'zod'
import { JsonFault } from '../schema/shared/json.js'
import { type InputFault, InvalidInputError, TenantryError } from './errors.js'

/** Values of a row by the property names of its table. */
export type Values = Readonly<Record<string, unknown>>

/**
 * Makes objects without a prototype: they have no `toString`, nothing that somebody put on `Object.prototype` counts as given, and
 * `__proto__` is a name like any other. A constructor keeps V8's fast properties; zod takes twice as long to parse objects made by
 * `Object.create(null)`.
 */
const Bare = function () {
  return
} as unknown as { new (): Record<string, unknown>; prototype: object }
Bare.prototype = Object.freeze(Object.create(null)) as object

const bare = (object: object): Record<string, unknown> => Object.assign(new Bare(), object)

/** A copy of the caller's object that inherits nothing. Each own property is read once. */
export function ownProperties(input: unknown, field = ''): Record<string, unknown> {
  return touch(field, () => {
    if (typeof input !== 'object' || input === null || Array.isArray(input)) {
      throw new InvalidInputError(field, 'must be an object')
    }
    const prototype: unknown = Object.getPrototypeOf(input)
    if (prototype === Object.prototype || prototype === null || prototype === Bare.prototype) return bare(input)
    throw new InvalidInputError(field, 'must be a plain object')
  })
}

/**
 * Reads the caller's options from own properties only. Refuses an unknown name: a misspelt option would silently not be set. An
 * option that is `undefined` counts as not given, and so do options that are `undefined` altogether.
 */
export function readOptions<Name extends string>(
  options: unknown,
  names: readonly Name[],
  field = 'options',
): Readonly<Partial<Record<Name, unknown>>> {
  if (options === undefined) return noOptions as Partial<Record<Name, unknown>>
  const given = ownProperties(options, field)
  for (const name of Object.keys(given)) {
    if (!(names as readonly string[]).includes(name)) {
      const shown = name.slice(0, 60)
      throw new InvalidInputError(
        field === 'options' ? shown : `${field}.${shown}`,
        `is not an option; the options are ${names.join(', ')}`,
      )
    }
  }
  return given as Partial<Record<Name, unknown>>
}

const noOptions: Readonly<Record<string, undefined>> = Object.freeze(new Bare() as Record<string, undefined>)

/** The same for an object of the program itself: its type is right, but properties may be missing. */
export const ownOf = <T extends object>(object: T | undefined): Partial<T> =>
  object === undefined ? (noOptions as Partial<T>) : (bare(object) as Partial<T>)

/** The items of the caller's list, each read once. */
export function ownItems(input: unknown, field: string, max: number): unknown[] {
  return touch(field, () => {
    if (!Array.isArray(input)) throw new InvalidInputError(field, 'must be a list')
    const { length } = input
    if (!(length <= max)) throw new InvalidInputError(field, `has more than ${max} items`)
    // By index: the list may have an iterator that never ends.
    return Array.from({ length }, (_, index): unknown => input[index])
  })
}

/** The error for a value that its column's writer threw at. The value is not in it. */
export function unwritable(field: string, error: unknown): TenantryError {
  if (error instanceof TenantryError) return error
  const reason = error instanceof JsonFault ? error.message : 'holds a value that cannot be written'
  return new InvalidInputError(field, reason)
}

/** The time of a Date in milliseconds, without calling a method of the value. */
export function momentOf(value: unknown): number | undefined {
  return types.isDate(value) ? Date.prototype.getTime.call(value) : undefined
}

/** Runs `ask`, which reads the caller's value: that may run a getter or the trap of a proxy, and throw. */
export function touch<T>(field: string, ask: () => T): T {
  try {
    return ask()
  } catch (error) {
    if (error instanceof InvalidInputError) throw error
    throw new InvalidInputError(field, 'cannot be read')
  }
}

/**
 * Parses the input. The result has no prototype, so that a missing field reads as undefined. Throws InvalidInputError with every
 * fault, and never with the refused value.
 */
export function parseInput<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const own = ownProperties(input)
  return touch('', () => {
    const result = schema.safeParse(own)
    if (result.success) return bare(result.data as object) as z.output<Schema>
    // Building the message reads the input again, so it stays inside the guard.
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
