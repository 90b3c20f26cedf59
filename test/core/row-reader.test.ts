import { expect, test, vi } from 'vitest'
import { rowReader } from '../../src/core/statements/row-reader.js'

const columns = [
  { property: 'name', decode: undefined },
  { property: `it's "quoted"\n`, decode: undefined },
  { property: '__proto__', decode: undefined },
  { property: 'length', decode: (value: unknown) => String(value).length },
]
const row: Record<string, unknown> = Object.fromEntries<unknown>([
  ['name', 'Ada'],
  [`it's "quoted"\n`, null],
  ['__proto__', 'own'],
  ['length', 4],
])

test('a row has its columns, whatever they are called', () => {
  expect(Object.entries(rowReader(columns)(['Ada', null, 'own', 'four']))).toEqual(Object.entries(row))
})

test('it reads the same in a process that may not compile', () => {
  const refuse = vi.fn(function () {
    throw new EvalError('code generation from strings is disallowed')
  })
  vi.stubGlobal('Function', refuse)
  const read = rowReader(columns)
  vi.unstubAllGlobals()
  expect(refuse).toHaveBeenCalledOnce()
  expect(Object.entries(read(['Ada', null, 'own', 'four']))).toEqual(Object.entries(row))
})
