import { inspect, types } from 'node:util'

/** So many characters of a form must stand together to be a find. */
const shortest = 20
const word = /[\w+/-]{20,}/g
/** Bytes as an inspector, JSON or an array prints them. */
const spacedHex = /(?:[0-9a-f]{2} ){14,}[0-9a-f]{2}/g
const decimals = /(?:\d{1,3},\s*){14,}\d{1,3}/g
const keyedDecimals = /(?:"?\d+"?:\s*\d{1,3},\s*){14,}"?\d+"?:\s*\d{1,3}/g

export interface Find {
  /** What kind of secret it is. */
  readonly kind: string
  /** The text around it. */
  readonly excerpt: string
}

/**
 * Searches texts for secrets as they are, and in hexadecimal, base64 and lists of bytes. A form is found by its first and by its last
 * twenty characters, so that a secret which was cut off is found too.
 */
export class SecretSearch {
  private readonly kinds = new Map<string, string>()

  /** A text of ASCII letters, digits and the signs of base64. */
  add(kind: string, secret: string): void {
    this.keep(kind, secret)
    this.addBytes(kind, Buffer.from(secret))
  }

  addBytes(kind: string, secret: Uint8Array): void {
    for (const form of formsOf(Buffer.from(secret))) this.keep(kind, form)
  }

  find(text: string): Find[] {
    const found = new Map<string, string>()
    for (const { 0: run, index } of text.matchAll(word)) {
      this.look(run, found, () => text.slice(Math.max(0, index - 200), index + run.length + 60))
    }
    for (const [list] of text.matchAll(spacedHex)) this.look(list.replaceAll(' ', ''), found, () => list)
    for (const [list] of text.matchAll(decimals)) this.look(hexOf(list.split(',')), found, () => list)
    for (const [list] of text.matchAll(keyedDecimals)) {
      this.look(hexOf(list.split(',').map((pair) => pair.slice(pair.indexOf(':') + 1))), found, () => list)
    }
    return [...found].map(([kind, excerpt]) => ({ kind, excerpt }))
  }

  private keep(kind: string, form: string): void {
    if (form.length < shortest) throw new Error(`too short to be searched for: ${kind}`)
    this.kinds.set(form.slice(0, shortest), kind)
    this.kinds.set(form.slice(-shortest), kind)
  }

  private look(run: string, found: Map<string, string>, excerpt: () => string): void {
    for (let at = 0; at + shortest <= run.length; at++) {
      const kind = this.kinds.get(run.slice(at, at + shortest))
      if (kind !== undefined && !found.has(kind)) found.set(kind, excerpt())
    }
  }
}

/** In base64 the same bytes have another text after one and after two other bytes. */
function formsOf(bytes: Buffer): string[] {
  const hex = bytes.toString('hex')
  const aligned = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '')
    const end = Math.floor(((before + bytes.length) * 8) / 6)
    return text.slice(Math.ceil((before * 8) / 6), end)
  })
  const urls = aligned.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'))
  return [hex, hex.toUpperCase(), ...aligned, ...urls]
}

const hexOf = (numbers: readonly string[]): string =>
  Buffer.from(numbers.map((number) => Number(number.trim()))).toString('hex')

/**
 * Every text of a value that anybody could print: its properties to any depth, those that are not enumerable and those named by symbols
 * too, what the getters of its classes give, and what Node's inspector, JSON and a structured clone make of it.
 */
export function textsOf(value: unknown): string {
  const texts = new Set<string>()
  collect(value, texts, new Set())
  const made: unknown[] = [attempt(() => String(value)), attempt(() => JSON.stringify(value))]
  for (const customInspect of [true, false]) {
    const everything = { depth: null, showHidden: true, getters: true, customInspect } as const
    made.push(attempt(() => inspect(value, { ...everything, maxArrayLength: null, maxStringLength: null })))
  }
  made.push(attempt(() => structuredClone(value)))
  for (const one of made) collect(one, texts, new Set())
  return [...texts].join('\n')
}

/**
 * The properties of a value to any depth, and what a log prints of it. For what may hold bytes: with `showHidden` an inspector prints
 * the memory that they are a part of.
 */
export function printedOf(value: unknown): string {
  const texts = new Set<string>()
  collect(value, texts, new Set())
  for (const text of [attempt(() => inspect(value, { depth: null })), attempt(() => JSON.stringify(value))])
    texts.add(String(text))
  return [...texts].join('\n')
}

function collect(value: unknown, texts: Set<string>, seen: Set<object>): void {
  if (typeof value === 'string') texts.add(value)
  else if (typeof value === 'symbol') texts.add(String(value))
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return
  seen.add(value)
  if (ArrayBuffer.isView(value)) {
    texts.add(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex'))
    return
  }
  if (value instanceof Map || value instanceof Set) collect([...value], texts, seen)
  for (const key of Reflect.ownKeys(value)) {
    texts.add(String(key))
    collect(valueOf(value, key), texts, seen)
  }
  for (const given of inheritedBy(value)) collect(given, texts, seen)
}

/** What the getters of its classes give. */
function inheritedBy(value: object): unknown[] {
  const given: unknown[] = []
  for (let of = prototypeOf(value); of !== null && !isBuiltIn(of); of = prototypeOf(of)) {
    for (const [key, property] of Object.entries(Object.getOwnPropertyDescriptors(of))) {
      if ('get' in property) given.push(valueOf(value, key))
    }
  }
  return given
}

const prototypeOf = (value: object): object | null => Object.getPrototypeOf(value) as object | null

const isBuiltIn = (prototype: object): boolean =>
  prototype === Object.prototype || prototype === Function.prototype || types.isNativeError(prototype)

const valueOf = (value: object, key: string | symbol): unknown => attempt(() => Reflect.get(value, key) as unknown)

/** The error in place of what cannot be had. */
function attempt(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return String(error)
  }
}
