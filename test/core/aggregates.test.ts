import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { DefinitionError, ForbiddenError, InvalidInputError } from '../../src/core/errors.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Org } from '../../src/org.js'
import { apiKeys } from '../../src/schema/api-keys.js'
import { makeSampleTables, samples } from '../support/sample-tables.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const anything = z.looseObject({})
const Samples = defineRepository(samples, { create: anything, patch: anything })

let org: Org
let other: Org
const rows = () => org.repository(Samples)

beforeAll(async () => {
  await makeSampleTables(teams.database.admin)
  ;[{ org }, { org: other }] = await Promise.all([teams.newTeam(), teams.newTeam()])
  const values = [
    {
      word: 'b',
      flag: true,
      whole: 1,
      large: 9223372036854775807n,
      safe: 5,
      price: '10.00',
      ratio: '0.10',
      double: 0.5,
      day: '2026-11-30',
    },
    {
      word: 'a',
      flag: true,
      whole: 2,
      large: 1n,
      safe: 6,
      price: '0.05',
      ratio: '1E+20',
      double: 1.25,
      moment: new Date('2026-01-01'),
    },
    { word: 'b', small: -3, moment: new Date('2026-02-01T00:00:00.001Z') },
    { word: null, code: 'EU ' },
  ]
  for (const one of values) await rows().create(one)
  const deleted = await rows().create({ word: 'b', whole: 100, price: '99.00' })
  await rows().delete(deleted.id)
  await other.repository(Samples).create({ word: 'z', whole: 1000, price: '1000.00', moment: new Date('2030-01-01') })
})

test('rows are counted by a value, the most frequent first, and null is one', async () => {
  const counts: { word: string | null; count: number }[] = await rows().countBy('word')
  expect(counts).toEqual([
    { word: 'b', count: 2 },
    { word: 'a', count: 1 },
    { word: null, count: 1 },
  ])
  expect(await rows().countBy('flag', { word: { not: null } })).toEqual([
    { flag: true, count: 2 },
    { flag: null, count: 1 },
  ])
  expect(await rows().countBy('moment', { moment: { not: null } })).toEqual([
    { moment: new Date('2026-01-01'), count: 1 },
    { moment: new Date('2026-02-01T00:00:00.001Z'), count: 1 },
  ])
  expect(await rows().countBy('word', { word: 'nobody' })).toEqual([])
})

test('at most a thousand values are counted', async () => {
  const { org } = await teams.newTeam()
  await teams.database.admin.query(
    `insert into lab.samples (org_id, id, whole) select $1, gen_random_uuid(), n % 1001 from generate_series(0, 1001) n`,
    [org.id],
  )
  const counts = await org.repository(Samples).countBy('whole')
  expect(counts).toHaveLength(1000)
  expect(counts[0]).toEqual({ whole: 0, count: 2 })
})

test('a sum has the type of its column, and keeps every digit', async () => {
  expect(await rows().sum('whole')).toBe(3)
  expect(await rows().sum('small')).toBe(-3)
  expect(await rows().sum('safe')).toBe(11)
  expect(await rows().sum('large')).toBe(9223372036854775808n)
  expect(await rows().sum('price')).toBe('10.05')
  expect(await rows().sum('ratio')).toBe('100000000000000000000.10')
  expect(await rows().sum('double')).toBe(1.75)
  expect(await rows().sum('price', { word: 'b' })).toBe('10.00')
  expect(await rows().sum('price', { word: 'nobody' })).toBeNull()
})

test('a sum that a number cannot hold is refused', async () => {
  const { org } = await teams.newTeam()
  for (const safe of [Number.MAX_SAFE_INTEGER, 1]) await org.repository(Samples).create({ safe })
  await expect(org.repository(Samples).sum('safe')).rejects.toThrow(DefinitionError)
})

test('the smallest and the greatest value are those that a row has', async () => {
  expect([await rows().min('word'), await rows().max('word')]).toEqual(['a', 'b'])
  expect([await rows().min('price'), await rows().max('price')]).toEqual(['0.05', '10.00'])
  expect([await rows().min('large'), await rows().max('large')]).toEqual([1n, 9223372036854775807n])
  expect([await rows().min('day'), await rows().max('code')]).toEqual(['2026-11-30', 'EU '])
  expect(await rows().max('moment')).toEqual(new Date('2026-02-01T00:00:00.001Z'))
  expect(await rows().min('moment', { word: 'nobody' })).toBeNull()
  expect(await other.repository(Samples).max('whole')).toBe(1000)
})

test('they go into a batch and into a transaction', async () => {
  const read = (org: Pick<Org, 'repository'>) => org.repository(Samples)
  const batched = await org.batch((org) => [
    org.repository(Samples).countBy('flag', { flag: true }),
    org.repository(Samples).sum('whole'),
    org.repository(Samples).min('price'),
  ])
  expect(batched).toEqual([[{ flag: true, count: 2 }], 3, '0.05'])
  expect(await org.transaction(async (org) => read(org).max('whole'))).toBe(2)
})

describe('refused before anything is sent', () => {
  const verbs = ['countBy', 'sum', 'min', 'max'] as const
  const refused = async (verb: (typeof verbs)[number], field: unknown, filter?: object) => {
    const call = rows()[verb] as unknown as (field: unknown, filter?: object) => Promise<unknown>
    return call.call(rows(), field, filter).then(
      () => 'nothing was refused',
      (error: unknown) => (error instanceof InvalidInputError ? error.message : String(error)),
    )
  }

  test.each(verbs)('%s of a column that is hidden, sealed or not there', async (verb) => {
    for (const field of ['hiddenText', 'secret', 'colour', '__proto__', 'toString', '', 5, null, undefined, {}]) {
      expect(await refused(verb, field)).toMatch(/^field: (?:".*"|this) is not a field that can be /)
    }
    expect(await refused(verb, verb === 'countBy' ? 'word' : 'whole', { hiddenText: 'a' })).toMatch(
      'hiddenText: is not',
    )
  })

  test('and of a column of another type', async () => {
    for (const field of ['price', 'exact', 'words', 'span'])
      expect(await refused('countBy', field)).toMatch('counted by')
    for (const field of ['text', 'flag', 'moment', 'numbers', 'id'])
      expect(await refused('sum', field)).toMatch('summed')
    for (const field of ['flag', 'id', 'exact', 'numbers']) {
      expect(await refused('min', field)).toMatch('smallest and greatest value')
      expect(await refused('max', field)).toMatch('smallest and greatest value')
    }
    expect(await refused('sum', 'word')).toBe(
      'field: "word" is not a field that can be summed; these can: small, whole, large, safe, price, ratio, double, single',
    )
  })

  test('whoever extends a repository finds no hidden column either', async () => {
    class Keys extends ScopedRepository<{ pepperId: string }> {
      constructor(scope: Scope) {
        super(scope, apiKeys)
      }
    }
    await expect(org.repository(Keys).countBy('pepperId')).rejects.toThrow(InvalidInputError)
    await expect(org.repository(Keys).max('pepperId')).rejects.toThrow(InvalidInputError)
  })
})

test('an actor needs the permission to read, and projects count where they may be seen', async () => {
  const team = await teams.newTeam()
  const seen = await team.org.projects.create({ name: 'Seen', slug: 'seen', databasePort: 1 })
  await team.org.projects.create({ name: 'Other', slug: 'other', databasePort: 10 })
  await team.org.roles.create({ key: 'tester', name: 'Tester', permissions: ['agents:read'] })
  const { userId } = await team.join('tester')
  await team.org.projects.members.add(seen.id, { userId, role: 'read_only' })
  const one = await team.as(userId)
  await expect(one.tasks.countBy('status')).rejects.toEqual(new ForbiddenError('tasks:read'))
  await expect(one.tasks.sum('priority')).rejects.toEqual(new ForbiddenError('tasks:read'))
  expect(await one.agents.countBy('status')).toEqual([])
  expect(await one.projects.countBy('slug')).toEqual([{ slug: 'seen', count: 1 }])
  expect(await one.projects.sum('databasePort')).toBe(1)
  expect(await one.projects.max('name')).toBe('Seen')
})
