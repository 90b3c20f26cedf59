import { describe, expect, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import { assertMatches, assertSchema } from '../../src/core/json-schemas.js'
import type { JsonObject } from '../../src/schema/shared/json.js'

async function faultsOf(schema: JsonObject, value: JsonObject) {
  const error = await assertMatches(schema, value, 'config').catch((error: unknown) => error)
  return error instanceof InvalidInputError ? error.faults : error
}

async function refusalOf(schema: JsonObject): Promise<string | undefined> {
  const error: unknown = await assertSchema(schema, 'inputSchema').catch((error: unknown) => error)
  if (error === undefined) return undefined
  expect(error).toBeInstanceOf(InvalidInputError)
  expect((error as InvalidInputError).faults).toMatchObject([{ field: 'inputSchema' }])
  return (error as Error).message
}

test('a value that does not match is refused with its place', async () => {
  const schema = {
    type: 'object',
    properties: {
      headers: { type: 'array', items: { type: 'object', properties: { name: { type: 'string' } } } },
      retries: { type: 'integer', maximum: 3 },
      'a/b': { $ref: '#/$defs/short' },
    },
    required: ['retries'],
    additionalProperties: false,
    $defs: { short: { type: 'string', maxLength: 2 } },
  }
  expect(await faultsOf(schema, { retries: 1, headers: [{ name: 'x' }], 'a/b': 'xy' })).toBeUndefined()
  expect(await faultsOf(schema, {})).toEqual([{ field: 'config.retries', reason: 'is missing' }])
  expect(await faultsOf(schema, { retries: 4 })).toMatchObject([{ field: 'config.retries', reason: 'must be <= 3' }])
  expect(await faultsOf(schema, { retries: 1, headers: [{}, { name: 1 }] })).toMatchObject([
    { field: 'config.headers.1.name', reason: 'must be string' },
  ])
  expect(await faultsOf(schema, { retries: 1, 'a/b': 'long' })).toMatchObject([{ field: 'config.a/b' }])
  expect(await faultsOf(schema, { retries: 1, colour: 'marker' })).toEqual([
    { field: 'config.colour', reason: 'is not a field that can be given' },
  ])
})

test('only a property of the value’s own counts', async () => {
  expect(await faultsOf({ required: ['toString'] }, {})).toMatchObject([{ field: 'config.toString' }])
})

test('draft-07 and 2020-12 are understood, by their name', async () => {
  const tuple = { type: 'object', properties: { pair: { items: [{ type: 'string' }, { type: 'number' }] } } }
  const old = { $schema: 'http://json-schema.org/draft-07/schema#', ...tuple }
  expect(await faultsOf(old, { pair: ['a', 1] })).toBeUndefined()
  expect(await faultsOf(old, { pair: ['a', 'b'] })).toMatchObject([{ field: 'config.pair.1' }])
  expect(await refusalOf(tuple)).toMatch('is not a valid JSON Schema')
  expect(await refusalOf({ $schema: 'https://json-schema.org/draft/2020-12/schema' })).toBeUndefined()
  expect(await refusalOf({ $schema: 'https://example.com/mine' })).toMatch('must be JSON Schema 2020-12 or draft-07')
})

test.each([
  ['an unknown type', { type: 'text' }, 'is not a valid JSON Schema'],
  ['a pattern that is none', { properties: { a: { pattern: '(' } } }, 'Invalid regular expression'],
  ['a remote reference', { $ref: 'https://example.com/schema.json' }, 'refers to a schema that is not in it'],
  ['a file', { properties: { a: { $ref: 'file:///etc/passwd' } } }, 'refers to a schema that is not in it'],
  ['a reference to nothing', { $ref: '#/$defs/nothing' }, 'refers to a schema that is not in it'],
  ['a reference to itself', { $ref: '#' }, 'refers to itself without end'],
  [
    'two that refer to each other',
    { $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } }, $ref: '#/$defs/a' },
    'refers to itself without end',
  ],
  ['a name inside', { properties: { a: { $id: 'https://example.com/a' } } }, 'has an $id inside'],
  ['an asynchronous schema', { $async: true }, 'must not have $async'],
  ['a long one', { description: 'x'.repeat(70_000) }, 'is longer than 65536 characters'],
])('%s is refused', async (_, schema: JsonObject, reason) => {
  expect(await refusalOf(schema)).toContain(reason)
})

test('the name of a whole schema is ignored, so that two may have one', async () => {
  const $id = 'http://json-schema.org/draft-07/schema'
  expect(await refusalOf({ $id, type: 'object' })).toBeUndefined()
  expect(await faultsOf({ $id, properties: { a: { type: 'string' } } }, { a: 1 })).toMatchObject([
    { field: 'config.a' },
  ])
  expect(await refusalOf({ $schema: 'http://json-schema.org/draft-07/schema#', type: 'text' })).toMatch('not a valid')
})

// Without an end, each of them takes minutes at least: longer than a test may.
describe('a check is ended after half a second', () => {
  test.each([
    ['a pattern that tries everything', { properties: { a: { pattern: '^(a+)+$' } } }, { a: `${'a'.repeat(60)}!` }],
    ['references that double', doubling(40), { a: 1 }],
    ['items that are compared with each other', { properties: { a: { uniqueItems: true } } }, { a: numbersOf(60_000) }],
  ])('%s', async (_, schema: JsonObject, value: JsonObject) => {
    expect(await faultsOf(schema, value)).toEqual([
      { field: 'config', reason: 'takes too long to check against its JSON Schema' },
    ])
    expect(await faultsOf({ properties: { a: { type: 'string' } } }, { a: 'x' })).toBeUndefined()
  })
})

/** Each definition asks the next one twice. */
function doubling(depth: number): JsonObject {
  const definition = (index: number) => ({
    allOf: [{ $ref: `#/$defs/d${index + 1}` }, { $ref: `#/$defs/d${index + 1}` }],
  })
  const $defs = Object.fromEntries(Array.from({ length: depth }, (_, index) => [`d${index}`, definition(index)]))
  return { $ref: '#/$defs/d0', $defs: { ...$defs, [`d${depth}`]: { properties: { a: { type: 'number' } } } } }
}

/** Objects, because plain values are compared in a table. */
function numbersOf(count: number): JsonObject[] {
  return Array.from({ length: count }, (_, index) => ({ index }))
}
