import { customType } from 'drizzle-orm/pg-core'

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [key: string]: JsonValue
}

/**
 * A jsonb column. The driver has parsed the value when it arrives here; Drizzle's own jsonb parses a string once more, so that
 * the JSON string "1" would come back as the number 1.
 */
export const json = <Shape>(name: string) =>
  customType<{ data: Shape; driverData: unknown }>({
    dataType: () => 'jsonb',
    toDriver: (value) => JSON.stringify(value),
    fromDriver: (value) => value as Shape,
  })(name)

/** JSON nested 8,000 deep hangs PGlite and 100,000 deep breaks the server's stack. */
export const maxJsonDepth = 64
export const maxJsonBytes = 1_048_576

/** How deep the brackets of a JSON text are nested. What stands in its strings does not count. */
export function nestingOf(json: string): number {
  let depth = 0
  let deepest = 0
  for (let place = 0; place < json.length; place++) {
    const character = json[place]
    if (character === '[' || character === '{') deepest = Math.max(deepest, ++depth)
    else if (character === ']' || character === '}') depth--
    else if (character === '"') place = endOfString(json, place)
  }
  return deepest
}

/** The quote that ends the string; the end of the text where there is none. */
function endOfString(json: string, start: number): number {
  let place = start + 1
  while (place < json.length && json[place] !== '"') place += json[place] === '\\' ? 2 : 1
  return place
}

/**
 * Plain data out of an unknown value: own enumerable properties, each read once, no prototype, getters' second thoughts, or
 * `toJSON`. Works through a list instead of calling itself, so that no depth breaks the stack.
 */
export function copyJson(value: unknown): { value: JsonValue } | { fault: string } {
  const root: Container = {}
  const copying: Copying = { size: 0, open: [] }
  let fault = put(copying, root, 'value', value, 0)
  for (let next = copying.open.pop(); fault === undefined && next !== undefined; next = copying.open.pop()) {
    fault = Array.isArray(next.from) ? fillList(copying, next, next.from) : fillObject(copying, next)
  }
  return fault === undefined ? { value: root.value ?? null } : { fault }
}

type Container = Record<string | number, JsonValue>

interface Open {
  readonly from: object
  readonly into: Container
  readonly depth: number
}

interface Copying {
  size: number
  /** What is in its place, and still empty. */
  readonly open: Open[]
}

/** By its places: a list can bring an iterator that never ends. */
function fillList(copying: Copying, { into, depth }: Open, list: readonly unknown[]): string | undefined {
  const { length } = list
  // A proxy says what it likes, and less than nothing would make room for more than there is.
  if (!Number.isSafeInteger(length) || length < 0) return 'holds a list without a length'
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
    // An optional property that is undefined is no property, as in JSON.stringify.
    if (item === undefined) continue
    if (!isStorable(key)) return 'has a key that holds NUL or half of a surrogate pair'
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
    if (!isStorable(value)) return 'holds NUL or half of a surrogate pair'
    set(into, key, value)
    return grow(copying, Buffer.byteLength(value) + 2)
  }
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) {
    if (typeof value === 'number' && !Number.isFinite(value)) return 'holds a number that JSON has not'
    set(into, key, value)
    return grow(copying, 8)
  }
  if (typeof value !== 'object') return `holds a ${typeof value}, which JSON has not`
  const copy: Container | JsonValue[] = Array.isArray(value) ? [] : {}
  if (!Array.isArray(copy) && !isPlain(value)) return 'holds an object that is not plain data'
  set(into, key, copy)
  copying.open.push({ from: value, into: copy as Container, depth: depth + 1 })
  return grow(copying, 2)
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

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

const isStorable = (value: string): boolean => !value.includes('\0') && value.isWellFormed()
