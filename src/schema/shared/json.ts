import { customType } from 'drizzle-orm/pg-core'
import { types } from 'node:util'

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [key: string]: JsonValue
}

/**
 * A jsonb column. The driver has already parsed the value; Drizzle's own jsonb parses a string again, so that the JSON string "1"
 * would come back as the number 1.
 */
export const json = <Shape>(name: string) =>
  customType<{ data: Shape; driverData: unknown }>({
    dataType: () => 'jsonb',
    toDriver: jsonText,
    fromDriver: (value) => value as Shape,
  })(name)

/** JSON nested 8,000 deep hangs PGlite and 100,000 deep breaks the server's stack. */
const maxJsonDepth = 64
const maxJsonBytes = 1_048_576

/**
 * Copies plain data: own enumerable properties, each read once, without prototypes, `toJSON`, or getters that return something else
 * the second time. Works through a list instead of recursing, so that no depth breaks the stack.
 */
export function copyJson(
  value: unknown,
  dates: 'refused' | 'as text' = 'refused',
): { value: JsonValue } | { fault: string } {
  const root: Container = {}
  const copying: Copying = { size: 0, open: [], dates }
  let fault = put(copying, root, 'value', value, 0)
  for (let next = copying.open.pop(); fault === undefined && next !== undefined; next = copying.open.pop()) {
    fault = Array.isArray(next.from) ? fillList(copying, next, next.from) : fillObject(copying, next)
  }
  return fault === undefined ? { value: root.value ?? null } : { fault }
}

/** The reason why a value cannot be written as JSON, worded to follow the name of its field. */
export class JsonFault extends TypeError {}

/**
 * The value as JSON text. Throws JsonFault for everything that `copyJson` refuses, because a column's own writer has no schema
 * before it.
 */
export function jsonText(value: unknown): string {
  const text = stringified(value)
  if (text !== undefined && text.length <= maxJsonBytes && !hasExponent.test(text) && !isNestedDeeply(text)) return text
  const copy = copyJson(value)
  if ('fault' in copy) throw new JsonFault(copy.fault)
  if (text === undefined) throw new JsonFault('contains a value that JSON cannot store')
  return text
}

/** As `JSON.stringify` writes it: `1e+308`. */
const hasExponent = /\de[+-]\d/

/** Undefined for a circular value, a bigint, a depth that breaks the stack, and everything that JSON leaves out. */
function stringified(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined
  }
}

/** Checks the text instead of the value: most texts are short, and need no second pass. */
function isNestedDeeply(text: string): boolean {
  if (text.length <= 2 * maxJsonDepth) return false
  let depth = 0
  for (let place = 0; place < text.length; place++) {
    const code = text.charCodeAt(place)
    if (code === quote) place = endOfString(text, place)
    else if (code === openObject || code === openList) depth++
    else if (code === closeObject || code === closeList) depth--
    if (depth > maxJsonDepth) return true
  }
  return false
}

const [openObject, closeObject, openList, closeList, quote] = [0x7b, 0x7d, 0x5b, 0x5d, 0x22]

function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); ; end = text.indexOf('"', end + 1)) {
    let slashes = 0
    while (text[end - 1 - slashes] === '\\') slashes++
    if (slashes % 2 === 0) return end
  }
}

type Container = Record<string | number, JsonValue>

interface Open {
  readonly from: object
  readonly into: Container
  readonly depth: number
}

interface Copying {
  size: number
  /** Containers that are in their place and still empty. */
  readonly open: Open[]
  readonly dates: 'refused' | 'as text'
}

/** Read by index: a list may have an iterator that never ends. */
function fillList(copying: Copying, { into, depth }: Open, list: readonly unknown[]): string | undefined {
  const { length } = list
  // A proxy may return any length, and a negative one would make room for more than there is.
  if (!Number.isSafeInteger(length) || length < 0) return 'contains a list without a valid length'
  const fault = grow(copying, length)
  if (fault !== undefined) return fault
  for (let place = 0; place < length; place++) {
    const refused = put(copying, into, place, list[place], depth)
    if (refused !== undefined) return refused
  }
  return undefined
}

function fillObject(copying: Copying, { from, into, depth }: Open): string | undefined {
  for (const key of Object.keys(from)) {
    const item = (from as Readonly<Record<string, unknown>>)[key]
    // A property with the value undefined is left out, as in JSON.stringify.
    if (item === undefined) continue
    if (!isStorable(key)) return 'has a key with NUL or half of a surrogate pair'
    const fault = grow(copying, key.length + 4) ?? put(copying, into, key, item, depth)
    if (fault !== undefined) return fault
  }
  return undefined
}

function put(
  copying: Copying,
  into: Container,
  key: string | number,
  value: unknown,
  depth: number,
): string | undefined {
  if (depth > maxJsonDepth) return `is nested deeper than ${maxJsonDepth}`
  if (typeof value === 'string') {
    if (!isStorable(value)) return 'contains NUL or half of a surrogate pair'
    set(into, key, value)
    return grow(copying, Buffer.byteLength(value) + 2)
  }
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) {
    if (typeof value === 'number' && !Number.isFinite(value)) return 'contains a number that JSON cannot store'
    set(into, key, value)
    return grow(copying, typeof value === 'number' ? Math.max(8, lengthInJsonb(value)) : 8)
  }
  if (typeof value !== 'object') return `holds a ${typeof value}, which JSON has not`
  if (copying.dates === 'as text' && types.isDate(value)) return put(copying, into, key, textOf(value), depth)
  const copy: Container | JsonValue[] = Array.isArray(value) ? [] : {}
  if (!Array.isArray(copy) && !isPlain(value)) return 'contains an object that is not plain data'
  set(into, key, copy)
  copying.open.push({ from: value, into: copy as Container, depth: depth + 1 })
  return grow(copying, 2)
}

/** Postgres writes the digits of a number out: 1e308 has 309 in the text of a jsonb. */
function lengthInJsonb(value: number): number {
  const [digits = '', exponent] = String(value).split('e')
  return digits.length + Math.abs(Number(exponent ?? 0))
}

function grow(copying: Copying, by: number): string | undefined {
  copying.size += by
  return copying.size <= maxJsonBytes ? undefined : `is larger than ${maxJsonBytes} bytes`
}

/** A key of `__proto__` must become a property, not a prototype. */
function set(into: Container, key: string | number, value: JsonValue): void {
  if (key !== '__proto__') into[key] = value
  else Object.defineProperty(into, key, { value, enumerable: true, writable: true, configurable: true })
}

/** Null for a date that is none, as in JSON. */
const textOf = (date: Date): string | null =>
  Number.isNaN(Date.prototype.getTime.call(date)) ? null : Date.prototype.toISOString.call(date)

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const isStorable = (value: string): boolean => !value.includes('\0') && value.isWellFormed()
