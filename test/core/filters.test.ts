import {
  bigint,
  boolean,
  char,
  customType,
  date,
  doublePrecision,
  integer,
  numeric,
  pgTable,
  smallint,
  text,
  timestamp,
  uuid,
  varchar,
} from 'drizzle-orm/pg-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { InvalidInputError } from '../../src/core/errors.js'
import type { Filter } from '../../src/core/statements/filters.js'
import { newId } from '../../src/core/ids.js'
import type { Query } from '../../src/core/query.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import type { Task } from '../../src/schema/tasks.js'
import { ciphertext } from '../../src/schema/shared/ciphertext.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()

const named = customType<{ data: string }>({ dataType: () => 'character varying(8)' })

const things = pgTable('things', {
  orgId: uuid('org_id').notNull(),
  id: uuid('id').notNull(),
  link: uuid('link').notNull(),
  label: text('label').notNull(),
  short: varchar('short', { length: 8 }).notNull(),
  name: named('name').notNull(),
  state: text('state', { enum: ['draft', 'open', 'paid'] }).notNull(),
  code: char('code', { length: 3 }).notNull(),
  small: smallint('small').notNull(),
  whole: integer('whole').notNull(),
  large: bigint('large', { mode: 'bigint' }).notNull(),
  count: bigint('count', { mode: 'number' }).notNull(),
  rough: doublePrecision('rough').notNull(),
  day: date('day').notNull(),
  date: date('date', { mode: 'date' }).notNull(),
  at: timestamp('at', { withTimezone: true }).notNull(),
  precise: timestamp('precise', { withTimezone: true, precision: 3 }).notNull(),
  said: timestamp('said', { withTimezone: true, mode: 'string' }).notNull(),
  flag: boolean('flag').notNull(),
  exact: numeric('exact', { precision: 10, scale: 2 }).notNull(),
  tags: text('tags').array().notNull(),
  secret: ciphertext('secret'),
})
declareTable(things, { kind: 'tenant' })
type Thing = typeof things.$inferSelect
type Field = Exclude<keyof Thing, 'orgId' | 'id' | 'flag' | 'exact' | 'tags' | 'secret'>

class Things extends ScopedRepository<Thing> {
  constructor(scope: Scope) {
    super(scope, things)
  }

  create(values: Partial<Thing>): Query<Thing> {
    return this.insertRow(z.record(z.string(), z.unknown()), values)
  }
}

const at = (minute: number) => new Date(Date.UTC(2026, 10, 20, 12, minute))
const day = (of: number) => new Date(Date.UTC(2026, 10, of))
const none = '00000000-0000-4000-8000-00000000000'

/** For each type three values, the lowest first. */
const values: { readonly [Name in Field]: readonly [Thing[Name], Thing[Name], Thing[Name]] } = {
  link: [`${none}1`, `${none}2`, `${none}3`],
  label: ["a'\\%", 'b%_', 'c"'],
  short: ['aa', 'ab', 'b'],
  name: ['aa', 'ab', 'b'],
  state: ['draft', 'open', 'paid'],
  code: ['CHF', 'EU', 'USD'],
  small: [-32_768, 0, 32_767],
  whole: [-2_147_483_648, 0, 2_147_483_647],
  large: [-(2n ** 63n), 0n, 2n ** 63n - 1n],
  count: [-Number.MAX_SAFE_INTEGER, 0, Number.MAX_SAFE_INTEGER],
  rough: [-1e300, 0.1, 0.1 + 2 ** -50],
  day: ['0001-01-01', '2024-02-29', '9999-12-31'],
  date: [day(1), day(2), day(3)],
  at: [new Date('0001-01-01T00:00:00.000Z'), at(2), new Date('9999-12-31T23:59:59.999Z')],
  precise: [at(1), at(2), at(3)],
  said: ['2026-11-20 23:07:01.123456+00', '2026-11-20T23:07:01.123457Z', '2026-11-21T01:07:02+02:00'],
}
const fields = Object.keys(values) as Field[]

beforeAll(async () => {
  const { admin } = bench.database
  await admin.query(`create table things (org_id uuid, id uuid, link uuid, label text, short varchar(8), name varchar(8), state text, code char(3),
    small smallint, whole integer, large bigint, count bigint, rough double precision, day date, date date, at timestamptz,
    precise timestamptz(3), said timestamptz, flag boolean, exact numeric(10, 2), tags text[], secret bytea, primary key (org_id, id))`)
  await admin.query('grant select, insert on things to tenantry_app')
})

/** Three rows with the values of their place, and `rest` in all of them. */
async function three(rest: Partial<Thing> = {}) {
  const org = await bench.newOrg()
  const repository = org.repository(Things)
  const rows: Thing[] = []
  for (const place of [0, 1, 2] as const) {
    const row = Object.fromEntries(fields.map((field) => [field, values[field][place]]))
    rows.push(await repository.create({ ...row, flag: place > 0, ...rest }))
  }
  const found = async (filter: object) => {
    const all = await repository.list(filter)
    expect(await repository.count(filter as Filter<Thing>)).toBe(all.items.length)
    expect(await repository.exists(filter as Filter<Thing>)).toBe(all.items.length > 0)
    return rows.flatMap(({ id }, place) => (all.items.some((item) => item.id === id) ? [place] : []))
  }
  return { repository, rows, found }
}

describe('what a field is asked for', () => {
  test.each(fields)('%s', async (field) => {
    const { found, rows, repository } = await three()
    const [low, mid, high] = values[field]
    const asked: [unknown, number[]][] = [
      [mid, [1]],
      [rows[1]?.[field], [1]],
      [{ in: [low, high] }, [0, 2]],
      [{ in: [] }, []],
      [{ not: mid }, [0, 2]],
      [{ gt: low }, [1, 2]],
      [{ gte: mid }, [1, 2]],
      [{ lt: high }, [0, 1]],
      [{ lte: mid }, [0, 1]],
      [{ gt: low, lt: high }, [1]],
      [null, []],
      [{ not: null }, [0, 1, 2]],
    ]
    for (const [value, places] of asked) expect([value, await found({ [field]: value })]).toEqual([value, places])

    await repository.create({ flag: true })
    expect(await repository.count({ [field]: null })).toBe(1)
    expect(await repository.count({ [field]: { not: null } })).toBe(3)
    expect(await repository.count({ [field]: { not: mid } })).toBe(3)
  })

  test.each(['label', 'short', 'name', 'state'] as const)('what %s begins with', async (field) => {
    const { found } = await three()
    const [low, mid] = values[field]
    expect(await found({ [field]: { prefix: mid.slice(0, 1) } })).toEqual(
      field === 'label' || field === 'state' ? [1] : [0, 1],
    )
    expect(await found({ [field]: { prefix: mid } })).toEqual([1])
    expect(await found({ [field]: { prefix: `x${low}` } })).toEqual([])
    for (const pattern of ['%', '_', '\\', "a' or true --"])
      expect(await found({ [field]: { prefix: pattern } })).toEqual([])
  })

  test('yes or no', async () => {
    const { found } = await three()
    expect(await found({ flag: true })).toEqual([1, 2])
    expect(await found({ flag: false })).toEqual([0])
    expect(await found({ flag: { not: false } })).toEqual([1, 2])
    expect(await found({ flag: { in: [true, false] } })).toEqual([0, 1, 2])
  })

  test('a value that is longer than its column is found nowhere, and not cut', async () => {
    const { found } = await three({ short: 'abcdefgh', code: 'ABC' })
    expect(await found({ short: { in: ['abcdefghi'] } })).toEqual([])
    expect(await found({ code: { in: ['ABCD'] } })).toEqual([])
    expect(await found({ code: { in: ['ABC'] } })).toEqual([0, 1, 2])
    expect(await found({ precise: { in: [new Date('2026-11-20T12:01:00.0004Z')] } })).toEqual([0])
  })
})

test.each(fields)('pages by %s hold every row once', async (field) => {
  const { repository, rows } = await three()
  const ids: string[] = []
  for await (const { id } of repository.stream({ orderBy: field, limit: 1 })) ids.push(id)
  expect(ids).toEqual(rows.map(({ id }) => id))
})

test('a row holds what the table says, and can be asked for by it', async () => {
  const { rows } = await three({
    at: new Date('0045-06-07T08:09:10.011Z'),
    precise: new Date('0045-06-07T08:09:10.011Z'),
  })
  expect(rows[0]).toMatchObject({
    at: new Date('0045-06-07T08:09:10.011Z'),
    precise: new Date('0045-06-07T08:09:10.011Z'),
    said: '2026-11-20 23:07:01.123456+00',
    day: '0001-01-01',
    date: day(1),
    large: -(2n ** 63n),
    count: -Number.MAX_SAFE_INTEGER,
  })
})

test('and, or and not combine', async () => {
  const { found } = await three()
  const [low, mid, high] = values.small.map((small) => ({ small }))
  const combined: [object, number[]][] = [
    [{}, [0, 1, 2]],
    [{ or: [low, high] }, [0, 2]],
    [{ and: [low, high] }, []],
    [{ and: [{ flag: true }, { not: mid }] }, [2]],
    [{ or: [low, mid], flag: true }, [1]],
    [{ flag: true, or: [low, mid] }, [1]],
    [{ not: { or: [low, mid] } }, [2]],
    [{ not: { ...low, flag: true } }, [0, 1, 2]],
    [{ or: [{ flag: true, small: 0 }, low] }, [0, 1]],
    [{ not: { not: { not: low } } }, [1, 2]],
    [{ or: [{ and: [{ flag: true }, high] }, { and: [{ flag: false }] }] }, [0, 2]],
  ]
  for (const [filter, places] of combined) expect([filter, await found(filter)]).toEqual([filter, places])
})

const deep = (levels: number): object => (levels === 0 ? { small: 0 } : { not: deep(levels - 1) })
const many = (count: number): object => ({ or: Array.from({ length: count }, () => ({ small: 0 })) })
const ranges = (count: number): object => ({
  and: Array.from({ length: count }, () => ({ small: { gte: 0, lte: 0 } })),
})

test('a filter is as large as it may be', async () => {
  const { found } = await three()
  expect(await found(deep(8))).toEqual([1])
  expect(await found(many(199))).toEqual([1])
  expect(await found({ flag: true, ...ranges(66) })).toEqual([1])
  expect(await found({ label: { not: 'x'.repeat(10_000) } })).toEqual([0, 1, 2])
})

const integer16 = 'must be an integer from -32768 to 32767'
const plainText = 'must be text without NUL, at most 10000 characters'
const moment = 'must be a Date of the years 1 to 9999'
const dayText = 'must be a day of the years 1 to 9999, such as 2026-11-20'
const momentText = 'must be a moment of the years 1 to 9999 with its time zone'
const notAField = 'is not a field that can be filtered by'
const notCompared = 'has a type that filters cannot compare; write a statement of your own'
const operators = 'has no such operator; the operators are in, not, gt, gte, lt, lte'

const isUndefined = 'is undefined; leave the field out, or pass null to match NULL'

const throwing = () => {
  throw new Error('the caller’s own code ran')
}

/** What is asked, and the words that it is refused with. */
const refused: readonly (readonly [filter: unknown, message: string])[] = [
  ['small', 'filter: must be an object'],
  [7, 'filter: must be an object'],
  [[], 'filter: must be an object'],
  [new Map(), 'filter: must be a plain object'],
  [deep(9), 'filter: is nested deeper than 8'],
  [deep(5000), 'filter: is nested deeper than 8'],
  [many(200), 'filter: has more than 200 terms'],
  [ranges(67), 'filter: has more than 200 terms'],
  [many(201), 'or: has more than 200 items'],
  [{ and: [{ small: undefined }] }, `small: ${isUndefined}`],
  [{ or: [{ small: undefined }, { flag: true }] }, `small: ${isUndefined}`],
  [{ not: { small: undefined } }, `small: ${isUndefined}`],
  [{ not: { small: { gt: undefined } } }, `small: ${isUndefined}`],
  [{ and: [] }, 'and: must hold at least one filter'],
  [{ or: 'small' }, 'or: must be a list'],
  [{ or: [{}] }, 'or: contains an empty filter'],
  [{ or: [null] }, 'or: must be an object'],
  [{ not: {} }, 'not: contains an empty filter'],
  [{ not: 'small' }, 'not: must be an object'],
  [{ nothing: 1 }, `nothing: ${notAField}`],
  [{ toString: 'x' }, `toString: ${notAField}`],
  [JSON.parse('{"__proto__":{"small":1}}'), `__proto__: ${notAField}`],
  [{ ['x'.repeat(100)]: 1 }, `${'x'.repeat(60)}: ${notAField}`],
  [{ exact: '1.00' }, `exact: ${notCompared}`],
  [{ tags: ['x'] }, `tags: ${notCompared}`],
  [{ secret: null }, `secret: ${notCompared}`],
  [{ secret: { prefix: 'x' } }, `secret: ${notCompared}`],
  [{ small: {} }, 'small: has an empty condition'],
  [{ small: { eq: 1 } }, `small: ${operators}`],
  [{ small: { prefix: '1' } }, `small: ${operators}`],
  [{ code: { prefix: 'U' } }, `code: ${operators}`],
  [{ label: { like: 'U' } }, `label: ${operators}, prefix, contains`],
  [{ flag: { gt: false } }, 'flag: has no such operator; the operators are in, not'],
  [{ small: { in: 1 } }, 'small: must be a list'],
  [{ small: { in: [1, null] } }, `small: ${integer16}`],
  [{ small: { gt: null } }, `small: ${integer16}`],
  [{ small: [1] }, 'small: must be an object'],
  [{ small: '1' }, `small: ${integer16}`],
  [{ small: 1.5 }, `small: ${integer16}`],
  [{ small: 32_768 }, `small: ${integer16}`],
  [{ small: -32_769 }, `small: ${integer16}`],
  [{ whole: 2 ** 31 }, 'whole: must be an integer from -2147483648 to 2147483647'],
  [{ whole: -(2 ** 31) - 1 }, 'whole: must be an integer from -2147483648 to 2147483647'],
  [{ large: 2 ** 53 }, 'large: must be an integer'],
  [{ large: 2n ** 63n }, 'large: must be an integer'],
  [{ large: -(2n ** 63n) - 1n }, 'large: must be an integer'],
  [{ count: '1' }, 'count: must be an integer'],
  [{ rough: Number.NaN }, 'rough: must be a number'],
  [{ rough: Number.POSITIVE_INFINITY }, 'rough: must be a number'],
  [{ rough: '1' }, 'rough: must be a number'],
  [{ flag: 'true' }, 'flag: must be true or false'],
  [{ link: newId().toUpperCase() }, 'link: must be a UUID in lower case'],
  [{ link: 'x' }, 'link: must be a UUID in lower case'],
  [{ state: 'bogus' }, 'state: must be one of draft, open, paid'],
  [{ state: { in: ['open', 'bogus'] } }, 'state: must be one of draft, open, paid'],
  [{ state: { not: 7 } }, 'state: must be one of draft, open, paid'],
  [{ label: 7 }, `label: ${plainText}`],
  [{ label: 'a\0b' }, `label: ${plainText}`],
  [{ label: '\ud800' }, `label: ${plainText}`],
  [{ label: 'x'.repeat(10_001) }, `label: ${plainText}`],
  [{ label: { prefix: '\0' } }, `label: ${plainText}`],
  [{ short: 7 }, `short: ${plainText}`],
  [{ at: '2026-11-20T12:00:00Z' }, `at: ${moment}`],
  [{ at: new Date(Number.NaN) }, `at: ${moment}`],
  [{ at: new Date('+010000-01-01T00:00:00.000Z') }, `at: ${moment}`],
  [{ at: new Date('0000-12-31T23:59:59.999Z') }, `at: ${moment}`],
  [{ date: '2026-11-20' }, `date: ${moment}`],
  [{ day: '2026-02-29' }, `day: ${dayText}`],
  [{ day: '0000-01-01' }, `day: ${dayText}`],
  [{ day: '2026-11-20T00:00:00Z' }, `day: ${dayText}`],
  [{ day: new Date() }, `day: ${dayText}`],
  [{ day: 7 }, `day: ${dayText}`],
  [{ said: '2026-11-20T12:00:00' }, `said: ${momentText}`],
  [{ said: '2026-02-30T12:00:00Z' }, `said: ${momentText}`],
  [{ said: '0000-11-20T12:00:00Z' }, `said: ${momentText}`],
  [{ said: 'now' }, `said: ${momentText}`],
  [{ said: new Date() }, `said: ${momentText}`],
  [{ said: { gt: 7 } }, `said: ${momentText}`],
]

test('a read takes a field, an operator or a group that is undefined for one that is not given', async () => {
  const org = await bench.newOrg()
  for (const kind of ['mail', 'call']) await org.tasks.enqueue({ kind })
  const kind: string | undefined = undefined
  const filters: readonly Filter<Task>[] = [
    { kind },
    { kind: { prefix: kind } as never },
    { createdAt: { gte: undefined, lt: undefined } },
    { and: undefined, or: undefined, not: undefined },
  ]
  for (const filter of filters) {
    expect(
      (await org.tasks.list({ ...filter, limit: undefined, after: undefined, orderBy: undefined })).items,
    ).toHaveLength(2)
    expect(await org.tasks.count(filter)).toBe(2)
    expect(await org.tasks.exists(filter)).toBe(true)
    expect(await org.tasks.count({ ...filter, status: 'failed' })).toBe(0)
  }
  expect(await org.tasks.count({ createdAt: { gte: new Date(0), lt: undefined } })).toBe(2)
  expect(await org.tasks.count({ createdAt: { gte: undefined, lt: new Date(0) } })).toBe(0)
  const streamed: string[] = []
  for await (const task of org.tasks.stream({ kind, limit: undefined })) streamed.push(task.kind)
  expect(streamed).toEqual(['call', 'mail'])
})

test('the methods of a value are not called', async () => {
  const things = (await bench.newOrg()).repository(Things)
  const hostile = { toString: throwing, valueOf: throwing, [Symbol.toPrimitive]: throwing }
  for (const field of [...fields, 'flag']) {
    for (const asked of [{ gt: hostile }, { not: hostile }, { in: [hostile] }, { not: Symbol('x') }]) {
      await expect(things.count({ [field]: asked })).rejects.toThrow(InvalidInputError)
    }
  }
})

test('what is no filter is refused, and told why', async () => {
  const things = (await bench.newOrg()).repository(Things)
  const messages: string[] = []
  for (const [filter] of refused) {
    const error: unknown = await things.count(filter as Filter<Thing>).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(InvalidInputError)
    messages.push((error as InvalidInputError).message)
  }
  expect(messages).toEqual(refused.map(([, message]) => message))
  expect(Object.prototype).not.toHaveProperty('small')
})
