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
const maxJsonDepth = 64
const maxJsonBytes = 1_048_576

/**
 * Plain data out of an unknown value: own enumerable properties, each read once, no prototype, getters' second thoughts, or
 * `toJSON`. Works through a list instead of calling itself, so that no depth breaks the stack.
 */
export function copyJson(value: unknown): { value: JsonValue } | { fault: string } {
  const root: { value?: JsonValue } = {}
  const work: Work[] = [{ into: root, key: 'value', value, depth: 0 }]
  let size = 0
  for (let next = work.pop(); next !== undefined; next = work.pop()) {
    const copy = copyOne(next.value)
    if (typeof copy === 'string') return { fault: copy }
    size += copy.size + next.key.length
    if (size > maxJsonBytes) return { fault: `is larger than ${maxJsonBytes} bytes` }
    if (next.depth > maxJsonDepth) return { fault: `is nested deeper than ${maxJsonDepth}` }
    put(next.into, next.key, copy.value)
    // Last first onto the stack, so that properties keep their order.
    for (const [key, item] of copy.items.toReversed()) {
      if (!isStorable(key)) return { fault: 'has a key that holds NUL or half of a surrogate pair' }
      work.push({ into: copy.value as Record<string, unknown>, key, value: item, depth: next.depth + 1 })
    }
  }
  return { value: root.value ?? null }
}

/** A key of `__proto__` must become a property, not a prototype. */
function put(into: Record<string, unknown>, key: string, value: unknown): void {
  if (key !== '__proto__') into[key] = value
  else Object.defineProperty(into, key, { value, enumerable: true, writable: true, configurable: true })
}

interface Work {
  readonly into: Record<string, unknown>
  readonly key: string
  readonly value: unknown
  readonly depth: number
}

interface Copied {
  readonly value: JsonValue
  readonly size: number
  readonly items: readonly [string, unknown][]
}

const isStorable = (value: string): boolean => !value.includes('\0') && value.isWellFormed()

/** By its places: a list can bring an iterator that never ends. */
function copyList(list: readonly unknown[]): Copied | string {
  const { length } = list
  if (!(length <= maxJsonBytes)) return `is larger than ${maxJsonBytes} bytes`
  const items = Array.from({ length }, (_, index): [string, unknown] => [String(index), list[index]])
  return { value: [], size: 2 + length, items }
}

function copyOne(value: unknown): Copied | string {
  if (value === null || typeof value === 'boolean') return { value, size: 5, items: [] }
  if (typeof value === 'string') {
    return isStorable(value)
      ? { value, size: Buffer.byteLength(value) + 2, items: [] }
      : 'holds NUL or half of a surrogate pair'
  }
  if (typeof value === 'number')
    return Number.isFinite(value) ? { value, size: 8, items: [] } : 'holds a number that JSON has not'
  if (Array.isArray(value)) return copyList(value)
  if (typeof value !== 'object') return `holds a ${typeof value}, which JSON has not`
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return 'holds an object that is not plain data'
  // An optional property that is undefined is no property, as in JSON.stringify.
  const items = Object.entries(value).filter(([, item]) => item !== undefined)
  return { value: {}, size: 2 + 4 * items.length, items }
}
