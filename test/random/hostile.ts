import fc from 'fast-check'

/** A value that nobody should hand in. It is made anew for every call, and known by its name. */
export interface Hostile {
  readonly name: string
  readonly make: () => unknown
}

const throwing = (): never => {
  throw new Error('a trap of the input')
}

const textMethods = { toString: throwing, valueOf: throwing, toJSON: throwing, [Symbol.toPrimitive]: throwing }

function nested(depth: number, around: (inner: unknown) => unknown): unknown {
  let value: unknown = 1
  for (let level = 0; level < depth; level++) value = around(value)
  return value
}

function circular(): unknown {
  const value: Record<string, unknown> = {}
  value.self = value
  return value
}

function revoked(target: object): unknown {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

function changing(): unknown {
  let reads = 0
  return Object.defineProperty({}, 'name', { enumerable: true, get: () => (reads++ === 0 ? 'first' : Symbol('later')) })
}

class LyingDate extends Date {
  override getTime = throwing
  override toISOString = throwing
  override valueOf = throwing
}

class LyingList extends Array<unknown> {
  override *[Symbol.iterator](): ArrayIterator<unknown> {
    for (;;) yield undefined
  }
  override map = throwing
}

const sparse = (length: number): unknown[] => {
  const list: unknown[] = []
  list.length = length
  return list
}

const named: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  NaN: () => NaN,
  Infinity: () => -Infinity,
  '-0': () => -0,
  '0.1': () => 0.1,
  '2 ** 31': () => 2 ** 31,
  '2 ** 53': () => 2 ** 53,
  '1e308': () => 1e308,
  'a bigint': () => 1n << 64n,
  'a symbol': () => Symbol('hostile'),
  'a function': () => throwing,
  'a class': () => LyingDate,
  'an empty text': () => '',
  'a blank text': () => ' \t\n',
  'a text with NUL': () => 'a\0b',
  'half of a surrogate pair': () => 'a\ud800b',
  'a text of 100,000': () => 'a'.repeat(100_000),
  'a text of 2 million': () => 'a-'.repeat(1_000_000),
  'SQL that ends a statement': () => `'; drop table platform.agents; --`,
  'SQL that moves the binding': () => `x" or org_id <> $1) or set_config('tenantry.org_id', '', true) is null; --`,
  'a place': () => '$1',
  __proto__: () => '__proto__',
  constructor: () => 'constructor',
  'the text of a number': () => '10',
  'the text of a list': () => '[]',
  'a date in words': () => 'yesterday',
  'an invalid Date': () => new Date(NaN),
  'the last Date': () => new Date(8.64e15),
  'a Date before Christ': () => new Date(-1e14),
  'a Date that lies': () => new LyingDate(),
  'a Date that is none': () => Object.create(Date.prototype) as unknown,
  'a Date behind a proxy': () => new Proxy(new Date(), {}),
  'a boxed text': () => Object('text') as unknown,
  'an empty object': () => ({}),
  'an empty list': () => [],
  'a list of nothing': () => [undefined],
  'a list of lists': () => [[[]]],
  'a list of 100,001': () => Array.from({ length: 100_001 }, () => 'a'),
  'a list of 4 billion holes': () => sparse(4_294_967_295),
  'a list that never ends': () => LyingList.from([1, 2]),
  'a list whose end is a trap': () => new Proxy([], { get: throwing }),
  'a list that says it has 2 ** 40': () =>
    new Proxy([], { get: (target, key) => (key === 'length' ? 2 ** 40 : (Reflect.get(target, key) as unknown)) }),
  'an object like a list': () => ({ length: 3, 0: 'a' }),
  'an object of many keys': () => Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`key${index}`, 1])),
  'an object 100 deep': () => nested(100, (not) => ({ not })),
  'an object 50,000 deep': () => nested(50_000, (not) => ({ not })),
  'a list 50,000 deep': () => nested(50_000, (item) => [item]),
  'an object in a circle': circular,
  'an object without a prototype': () => Object.assign(Object.create(null) as object, { orgId: 'a' }),
  'an object with another prototype': () => Object.create({ name: 'inherited', id: 'inherited' }) as unknown,
  'an object with an own __proto__': () =>
    JSON.parse('{"__proto__":{"orgId":"a"},"constructor":{"prototype":{}}}') as unknown,
  'an object whose texts are traps': () => ({ ...textMethods }),
  'an object with a getter that throws': () => Object.defineProperty({}, 'name', { enumerable: true, get: throwing }),
  'an object with a getter that changes': changing,
  'an object like a promise': () => ({ then: throwing }),
  'an object that makes SQL': () => ({ getSQL: throwing, shouldOmitSQLParens: () => true, queryChunks: ['true'] }),
  'an object that is its own SQL text': () => ({ toPostgres: () => 'true', sql: 'true', values: [] }),
  'operators of another database': () => ({ $gt: '', $where: 'true' }),
  'an operator of operators': () => ({ in: { in: [] }, gt: { gt: 1 }, prefix: ['a'] }),
  'a proxy whose traps throw': () =>
    new Proxy({}, { get: throwing, ownKeys: throwing, getPrototypeOf: throwing, has: throwing }),
  'a proxy of many keys': () =>
    new Proxy(
      {},
      { ownKeys: () => ['a', 'b'], getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }) },
    ),
  'a proxy that was revoked': () => revoked({}),
  'a list that was revoked': () => revoked([]),
  'a Map': () => new Map([['name', 'a']]),
  'a Set': () => new Set(['a']),
  'a RegExp': () => /a/,
  'an Error': () => new Error('input'),
  'a Promise': () => Promise.resolve('a'),
  'a Buffer': () => Buffer.from('a'),
  'a typed array': () => new Float64Array([NaN]),
}

const anything = fc
  .anything({
    maxDepth: 3,
    withBigInt: true,
    withDate: true,
    withMap: true,
    withSet: true,
    withNullPrototype: true,
    withSparseArray: true,
    withTypedArray: true,
    withBoxedValues: true,
  })
  .map((value): Hostile => ({ name: fc.stringify(value), make: () => value }))

const text = fc
  .oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme' }),
    fc.uuid(),
    fc.base64String(),
    fc.date().map(String),
  )
  .map((value): Hostile => ({ name: JSON.stringify(value), make: () => value }))

const number = fc
  .oneof(fc.double(), fc.integer(), fc.maxSafeInteger())
  .map((value): Hostile => ({ name: fc.stringify(value), make: () => value }))

/** Values of all kinds; the worst of them more often than by chance. */
export const hostile: fc.Arbitrary<Hostile> = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...Object.entries(named).map(([name, make]): Hostile => ({ name, make }))) },
  { weight: 2, arbitrary: anything },
  { weight: 1, arbitrary: text },
  { weight: 1, arbitrary: number },
)

/** Keys that must never get through, beside such as nobody knows. */
export const hostileKey = fc.oneof(
  fc.constantFrom('orgId', 'org_id', 'id', 'createdAt', 'deletedAt', 'revision', 'status', '__proto__', 'constructor'),
  fc.constantFrom('toString', 'hasOwnProperty', 'and', 'or', 'not', 'limit', 'after', '$1', 'name"; --', '', '\0'),
  fc.string(),
)
