import { beforeAll, describe, expect, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import type { Org } from '../../src/org.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg, database } = useTenancy()

let org: Org
const names = ['Ada Lovelace', 'lovely 100%', 'snake_case', 'back\\slash', 'Ärger', "O'Neil"]

beforeAll(async () => {
  org = await newOrg()
  for (const [index, name] of names.entries())
    await org.agents.create({ name, username: `u${index}`, model: index === 0 ? 'Large' : null })
})

/** The names that are found, in the sequence in which they were made. */
const found = async (filter: object): Promise<string[]> => {
  const { items, total } = await org.agents.list({ ...filter, orderBy: 'id', total: true })
  expect(total).toBe(items.length)
  expect(await org.agents.count(filter)).toBe(items.length)
  expect(await org.agents.exists(filter)).toBe(items.length > 0)
  return items.map(({ name }) => name)
}

describe('contains', () => {
  test.each<[string, string[]]>([
    ['love', ['lovely 100%']],
    ['Love', ['Ada Lovelace']],
    ['a', ['Ada Lovelace', 'snake_case', 'back\\slash']],
    ['%', ['lovely 100%']],
    ['_', ['snake_case']],
    ['\\', ['back\\slash']],
    ['a%e', []],
    ['s_ake', []],
    ["'", ["O'Neil"]],
    ["' or true --", []],
    ['$1', []],
    ['', names],
  ])('%j is found in the same case, and is no pattern', async (contains, expected) => {
    expect(await found({ name: { contains } })).toEqual(expected)
    expect(await found({ name: { contains, ignoreCase: false } })).toEqual(expected)
  })

  test.each<[string, string[]]>([
    ['LOVE', ['Ada Lovelace', 'lovely 100%']],
    ['100%', ['lovely 100%']],
    ['E_C', ['snake_case']],
    ['K\\S', ['back\\slash']],
    ['%', ['lovely 100%']],
  ])('%j is found in any case', async (contains, expected) => {
    expect(await found({ name: { contains, ignoreCase: true } })).toEqual(expected)
  })

  test('letters beyond A to Z follow the collation of the database', async () => {
    const [folds] = await database.admin.query<{ yes: boolean }>(`select lower('Ä') = 'ä' as yes`)
    expect(await found({ name: { contains: 'äRG', ignoreCase: true } })).toEqual(folds?.yes === true ? ['Ärger'] : [])
  })

  test('also in a column that is sorted by bytes', async () => {
    expect(await found({ username: { contains: 'U1', ignoreCase: true } })).toEqual(['lovely 100%'])
  })

  test('leaves out NULL, and combines with what stands beside it', async () => {
    expect(await found({ model: { contains: '' } })).toEqual(['Ada Lovelace'])
    expect(await found({ not: { model: { contains: 'x' } } })).toEqual(['Ada Lovelace'])
    expect(await found({ name: { contains: 'a', not: 'snake_case', prefix: 's' } })).toEqual([])
    expect(await found({ or: [{ name: { contains: '%' } }, { name: { contains: '_' } }] })).toEqual([
      'lovely 100%',
      'snake_case',
    ])
    expect(await found({ status: { contains: 'raf' } })).toEqual(names)
    expect(await found({ name: { contains: undefined } })).toEqual(names)
  })

  test('finds nothing of another organization', async () => {
    const other = await newOrg()
    expect(await other.agents.list({ name: { contains: '' }, total: true })).toMatchObject({ items: [], total: 0 })
  })

  test('a cursor belongs to the text that was searched', async () => {
    const { next } = await org.agents.list({ name: { contains: 'a' }, limit: 1 })
    const behind = await org.agents.list({ name: { contains: 'a' }, limit: 1, after: next })
    expect(behind.items.map(({ name }) => name)).toEqual(['snake_case'])
    await expect(org.agents.list({ name: { contains: 'e' }, limit: 1, after: next })).rejects.toThrow('cursor')
    const ignoring = { contains: 'a', ignoreCase: true }
    await expect(org.agents.list({ name: ignoring, limit: 1, after: next })).rejects.toThrow('cursor')
  })

  const operators = 'has no such operator; the operators are in, not, gt, gte, lt, lte'
  test.each<[object, string, string]>([
    [{ name: { contains: 7 } }, 'name', 'must be text without NUL, at most 10000 characters'],
    [{ name: { contains: null } }, 'name', 'must be text without NUL, at most 10000 characters'],
    [{ name: { contains: 'x'.repeat(10_001) } }, 'name', 'must be text without NUL, at most 10000 characters'],
    [{ name: { contains: 'x', ignoreCase: 'yes' } }, 'name', 'ignoreCase must be true or false'],
    [{ name: { prefix: 'x', ignoreCase: true } }, 'name', 'has ignoreCase, which belongs to contains'],
    [{ name: { ignoreCase: false } }, 'name', 'has an empty condition'],
    [{ revision: { contains: '1' } }, 'revision', operators],
    [{ id: { contains: '1' } }, 'id', operators],
    [{ name: { like: 'x' } }, 'name', `${operators}, prefix, contains`],
  ])('%j is refused', async (filter, field, reason) => {
    await expect(org.agents.list(filter)).rejects.toThrow(new InvalidInputError(field, reason))
  })
})
