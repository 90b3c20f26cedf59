import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import type { Org } from '../../src/org.js'
import type { OrgOptions } from '../../src/tenancy.js'
import { type EmbeddedTenancy, openEmbeddedTenancy } from '../../src/testing/embedded-tenancy.js'
import { useTenancy } from '../support/use-tenancy.js'

const server = useTenancy()
let embedded: EmbeddedTenancy
beforeAll(async () => {
  embedded = await openEmbeddedTenancy()
})
afterAll(() => embedded.close())

const engines: Record<string, (options?: OrgOptions) => Promise<Org>> = {
  server: (options) => server.newOrg(options),
  embedded: (options) => embedded.newOrg(options),
}

async function rowsOf(org: Org, query: Parameters<Org['db']['execute']>[0]): Promise<Record<string, unknown>[]> {
  return await org.db.execute(query)
}

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

describe.each(Object.entries(engines))('%s', (_engine, newOrg) => {
  test('no function for large objects may be executed, whoever sends it', async () => {
    const org = await newOrg()
    const [row] = await rowsOf(
      org,
      sql`select count(*)::int as n from pg_catalog.pg_proc where prosrc ~ '^be_lo' and has_function_privilege(oid, 'execute')`,
    )
    expect(row).toEqual({ n: 0 })
  })

  test('a Date of any year is the same instant to the database', async () => {
    const org = await newOrg()
    const moments = [
      '-004712-01-01T00:00:00.000Z',
      '-000043-03-15T12:34:56.789Z',
      '-000001-12-31T23:59:59.999Z',
      '0000-02-29T00:00:00.001Z',
      '0001-01-01T00:00:00.000Z',
      '0099-07-01T00:00:00.000Z',
      '1969-12-31T23:59:59.999Z',
      '9999-12-31T23:59:59.999Z',
      '+010000-01-01T00:00:00.000Z',
      '+275760-09-13T00:00:00.000Z',
    ].map((text) => new Date(text))
    for (const date of moments) {
      const [row] = await rowsOf(
        org,
        sql`select (extract(epoch from ${date}::timestamptz) * 1000)::bigint::text as a,
          (extract(epoch from ${date}::timestamp) * 1000)::bigint::text as b,
          (extract(epoch from (${sql.param([date])}::timestamptz[])[1]) * 1000)::bigint::text as c`,
      )
      const moment = String(date.getTime())
      expect(row, date.toISOString()).toEqual({ a: moment, b: moment, c: moment })
    }
    for (const value of [new Date(NaN), [new Date(NaN)], new Date(-8.64e15)]) {
      await expect(rowsOf(org, sql`select ${sql.param(value)}::text::timestamptz`)).rejects.toThrow(InvalidInputError)
    }
  })

  test('a Date is written by no method of its own', async () => {
    const org = await newOrg()
    class Odd extends Date {
      override toISOString = vi.fn(() => '2000-01-01T00:00:00.000Z')
      override getTime = vi.fn(() => 0)
    }
    const odd = new Odd('2026-01-02T03:04:05.678Z')
    expect(await rowsOf(org, sql`select ${sql.param(odd)}::text as a`)).toEqual([{ a: '2026-01-02T03:04:05.678Z' }])
    expect([odd.toISOString, odd.getTime].flatMap(({ mock }) => mock.calls)).toEqual([])
  })

  test('what Postgres cannot store is refused, and toPostgres is not called', async () => {
    const org = await newOrg()
    const toPostgres = vi.fn(() => "2026-01-01'")
    class Interval {
      toPostgres = toPostgres
    }
    const circle: unknown[] = []
    circle.push(circle)
    const throwing = new Proxy([1], {
      get() {
        throw new Error('no')
      },
    })
    const detached = new Uint8Array(4)
    structuredClone(detached.buffer, { transfer: [detached.buffer] })
    for (const value of [
      { toPostgres },
      new Interval(),
      Object.create({ toPostgres }) as unknown,
      [{ toPostgres }],
      Symbol('s'),
      [Symbol('s')],
      () => 1,
      [[() => 1]],
      circle,
      throwing,
      { big: 1n },
      { toJSON: () => undefined },
      detached,
      [detached],
      'half \ud800',
      ['half \ud800'],
      Object.assign([], { length: 2 ** 25 }),
    ]) {
      const refused = rowsOf(org, sql`select ${sql.param(value)}::text as a`)
      await expect(refused).rejects.toThrow(InvalidInputError)
    }
    expect(toPostgres).not.toHaveBeenCalled()
    expect(await rowsOf(org, sql`select ${sql.param({ toPostgres: 1 })}::jsonb as a`)).toEqual([
      { a: { toPostgres: 1 } },
    ])
  })

  test('arrays are written item by item', async () => {
    const org = await newOrg()
    const [row] = await rowsOf(
      org,
      sql`select ${sql.param(['a"b\\', null, undefined, 'NULL', '', '{x}', '\ufeff'])}::text[] as texts,
        ${sql.param([
          [1, 2],
          [3, null],
        ])}::int[] as numbers, ${sql.param([])}::text[] as nothing,
        ${sql.param([Buffer.from([0, 255]), new Uint16Array([258])])}::bytea[] as bytes,
        ${sql.param([{ a: '"' }, true, 10n ** 20n])}::text[] as others`,
    )
    expect(row).toEqual({
      texts: ['a"b\\', null, null, 'NULL', '', '{x}', '\ufeff'],
      numbers: [
        [1, 2],
        [3, null],
      ],
      nothing: [],
      bytes: [Buffer.from([0, 255]), Buffer.from([2, 1])],
      others: ['{"a":"\\""}', 'true', '100000000000000000000'],
    })
  })

  test('an object goes in as JSON up to the depth and size of every JSON value', async () => {
    const org = await newOrg()
    const deepest: unknown = JSON.parse(nested(63))
    const written = { deepest, text: ']]"[['.repeat(100) }
    expect(await rowsOf(org, sql`select ${sql.param(written)}::jsonb as a`)).toEqual([{ a: written }])
    const deep: unknown = JSON.parse(nested(65))
    for (const value of [
      { deep },
      { deep: JSON.parse(nested(5_000)) as unknown },
      { text: 'x'.repeat(1_048_577) },
      [{ text: 'x'.repeat(1_048_577) }],
    ]) {
      await expect(rowsOf(org, sql`select ${sql.param(value)}::jsonb`)).rejects.toThrow(InvalidInputError)
    }
  })

  test('a byte order mark is a character like any other', async () => {
    const org = await newOrg()
    const { id } = await org.agents.create({ name: '\ufeffAda', username: 'ada', settings: { '\ufeff': '\ufeff' } })
    expect(await org.agents.get(id)).toMatchObject({ name: '\ufeffAda', settings: { '\ufeff': '\ufeff' } })
    expect(await rowsOf(org, sql`select ${'\ufeff'} as a, ${'\ufeff'} as "\ufeffb"`)).toEqual([
      { a: '\ufeff', '\ufeffb': '\ufeff' },
    ])
  })
})

test('the embedded database reads every type as a server does', async () => {
  const texts = [
    "array['{1,2,3}'::line, '{4,5,6}']",
    "array[B'101', B'1']::varbit[]",
    "array[B'101']",
    "array['[1,5)'::int4range, 'empty']",
    "array['[1.5,2.5]'::numrange]",
    "array['[2026-01-01,2026-02-01)'::daterange]",
    "array['{[1,2),[5,6)}'::int4multirange]",
    "array['(1,2)'::point, '(3,4)']",
    "'(1,2)'::point",
    "'<(1,2),3>'::circle",
    "array['<(1,2),3>'::circle]",
    "array['((1,2),(3,4))'::box]",
    "array['[(1,2),(3,4)]'::path]",
    "array['((1,2),(3,4))'::polygon]",
    "array['[(1,2),(3,4)]'::lseg]",
    "array['a b'::tsvector]",
    "array['a & b'::tsquery]",
    "array['12:00'::time, null]",
    "array['12:00+02'::timetz]",
    "array['1 day'::interval]",
    "'1 day 02:03'::interval",
    "array['10.0.0.0/8'::cidr]",
    "array['10.0.0.1'::inet]",
    "array['08:00:2b:01:02:03'::macaddr]",
    "array['$1.00'::money]",
    "array['0/16B3748'::pg_lsn]",
    "array['pg_class'::regclass]",
    "array['x'::name, 'y']",
    'array[\'a\'::"char"]',
    "array['{\"a\": [1]}'::json, '1']",
    'array[\'{"a": [1]}\'::jsonb]',
    "array['$.a'::jsonpath]",
    'array[true, null, false]',
    'array[1.10, null]::numeric[]',
    'array[1.5, null]::float8[]',
    "array['NaN', 'Infinity']::float4[]",
    'array[9007199254740993]',
    'array[[1, 2], [3, 4]]',
    "array['0190a000-0000-7000-8000-00000000000a'::uuid]",
    "array['\\x00ff'::bytea]",
    "'\\x00ff'::bytea",
    "array['2026-01-02'::date]",
    "array['2026-01-02 03:04:05.678901+05'::timestamptz]",
    "'0044-03-15 BC'::date",
    "'infinity'::timestamptz",
    "row(1, 'a b', null)",
    "array[row(1, 'x')]",
    "'{}'::int[]",
    "'[0:1]={1,2}'::int[]",
    '1::oid',
    'null::int[]',
    'true',
    "''::text",
  ]
  const query = `select ${texts.map((text, index) => `${text} as c${index}`).join(', ')}`
  const [expected] = await rowsOf(await server.newOrg(), query)
  const [found] = await rowsOf(await embedded.newOrg(), query)
  for (const [index, text] of texts.entries()) expect(found?.[`c${index}`], text).toEqual(expected?.[`c${index}`])
  expect(found).toEqual(expected)
})

test('text that is nested too deeply for the embedded database is refused, and later calls are answered', async () => {
  const org = await embedded.newOrg()
  await org.agents.create({ name: 'Ada', username: 'ada' })
  for (const depth of [1_001, 6_000, 8_000, 100_000]) {
    for (const value of [nested(depth), ` ${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`, `{"${nested(depth)}"}`]) {
      await expect(rowsOf(org, sql`select ${value}::jsonb`)).rejects.toThrow(InvalidInputError)
      const inTransaction = org.transaction(async (tx) => {
        await tx.agents.create({ name: 'Eve', username: 'eve' })
        await tx.db.execute(sql`update platform.agents set settings = ${value}`)
      })
      await expect(inTransaction).rejects.toThrow(InvalidInputError)
    }
  }
  await expect(rowsOf(org, `select '${nested(6_000)}'::jsonb`)).rejects.toThrow(InvalidInputError)
  expect(await rowsOf(org, sql`select ${nested(1_000)}::jsonb is null as a`)).toEqual([{ a: false }])
  expect(await rowsOf(org, sql`select ${`x${'['.repeat(5_000)}`} like 'x%' as a`)).toEqual([{ a: true }])
  expect((await org.agents.list()).items.map(({ username }) => username)).toEqual(['ada'])
})
