import { expect, test } from 'vitest'
import { StatementCache } from '../../src/core/statements/statement-cache.js'

test('a text of the caller is remembered, unless it is long', () => {
  const cache = new StatementCache()
  const short = 'select 1'
  const long = `select '${'x'.repeat(10_000)}'`
  expect(cache.foreign(short)).toBe(cache.foreign(short))
  expect(cache.foreign(long)).not.toBe(cache.foreign(long))
  expect(cache.foreign(long)).toEqual(cache.foreign(long))
})

test('at most a thousand texts are remembered, and long ones take no place', () => {
  const cache = new StatementCache()
  const first = cache.foreign('select 0')
  for (let index = 0; index < 1_500; index++) cache.foreign(`select ${'0'.repeat(10_000)}${index}`)
  expect(cache.foreign('select 0')).toBe(first)
  for (let index = 1; index < 1_000; index++) cache.foreign(`select ${index}`)
  expect(cache.foreign('select 0')).toBe(first)
  cache.foreign('select 1000')
  expect(cache.foreign('select 0')).not.toBe(first)
})
