import { types } from 'node:util'
import { InvalidInputError } from '../core/errors.js'
import { JsonFault, jsonText } from '../schema/shared/json.js'

/** The most dimensions of an array in Postgres. An array that contains itself is refused by it too. */
const maxDimensions = 6
/** Longer arrays would hold up every other call of the process while their text is made. */
const maxItems = 1_000_000

/**
 * The text for a value that is not a string: the time of a Date, the items of an array, the JSON of any other object. No method of
 * the value is called but `toJSON`, by JSON. `place` is the number of the parameter, for errors.
 */
export function textOf(value: unknown, place: number): string {
  try {
    return Array.isArray(value) ? arrayText(value, 1) : itemText(value)
  } catch (error) {
    const what = error instanceof Refusal ? error.message : 'a value that cannot be read'
    throw new InvalidInputError(`$${place}`, `contains ${what}`)
  }
}

/** The bytes of a view, whose memory may have been given to another thread. */
export function bytesOf(view: ArrayBufferView, place: number): Uint8Array {
  try {
    return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  } catch {
    throw new InvalidInputError(`$${place}`, 'contains a value that cannot be read')
  }
}

/** Refuses half of a surrogate pair, which would be stored as U+FFFD. */
export function storable(text: string, place: number): string {
  if (text.isWellFormed()) return text
  throw new InvalidInputError(`$${place}`, 'contains half of a surrogate pair')
}

class Refusal extends Error {}

const refused = (what: string): Refusal => new Refusal(what)

function itemText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
    case 'boolean':
    case 'bigint':
      return String(value)
    case 'object':
      return types.isDate(value) ? dateText(value) : objectText(value as object)
    default:
      throw refused('a value that Postgres cannot store (a function, a symbol)')
  }
}

/** In UTC, so that a timestamp without time zone does not depend on the machine. JavaScript's year 0 is 1 BC. */
function dateText(date: Date): string {
  const moment = Date.prototype.getTime.call(date)
  if (Number.isNaN(moment)) throw refused('an invalid Date')
  const iso = Date.prototype.toISOString.call(date)
  if (iso.length === 24 && !iso.startsWith('0000')) return iso
  const year = Date.prototype.getUTCFullYear.call(date)
  const rest = iso.slice(iso.indexOf('-', 1))
  return year > 0 ? `${year}${rest}` : `${String(1 - year).padStart(4, '0')}${rest} BC`
}

/** The items with a comma between them, as in arrays of every type but box. */
function arrayText(items: readonly unknown[], depth: number): string {
  if (depth > maxDimensions) throw refused(`an array with more than ${maxDimensions} dimensions`)
  if (items.length > maxItems) throw refused(`an array with more than ${maxItems} items`)
  let text = '{'
  // By index: the array may have an iterator that never ends.
  for (let place = 0; place < items.length; place++) {
    const item = items[place]
    if (place > 0) text += ','
    if (item === null || item === undefined) text += 'NULL'
    else if (Array.isArray(item)) text += arrayText(item, depth + 1)
    else if (ArrayBuffer.isView(item)) text += `"\\\\x${hexOf(item)}"`
    else text += `"${itemText(item).replaceAll(/["\\]/g, '\\$&')}"`
  }
  return `${text}}`
}

const hexOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): string =>
  Buffer.from(buffer, byteOffset, byteLength).toString('hex')

function objectText(value: object): string {
  // pg would call the method and send whatever it returns.
  if (typeof (value as { toPostgres?: unknown }).toPostgres === 'function') {
    throw refused('an object with a method toPostgres; pass the text that it stands for')
  }
  try {
    return jsonText(value)
  } catch (error) {
    if (error instanceof JsonFault) throw refused(`JSON that ${error.message}`)
    throw error
  }
}
