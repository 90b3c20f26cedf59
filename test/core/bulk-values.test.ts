import {
  bigint,
  bit,
  boolean,
  char,
  customType,
  date,
  doublePrecision,
  integer,
  jsonb,
  numeric,
  pgTable,
  text,
  uuid,
  varchar,
} from 'drizzle-orm/pg-core'
import { beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { InvalidInputError } from '../../src/core/errors.js'
import type { Query } from '../../src/core/query.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()

const bytea = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })

const samples = pgTable('samples', {
  orgId: uuid('org_id').notNull(),
  id: uuid('id').notNull(),
  label: text('label'),
  labels: text('labels').array(),
  counts: integer('counts').array(),
  pair: text('pair').array(2),
  short: varchar('short', { length: 3 }),
  code: char('code', { length: 3 }),
  codes: varchar('codes', { length: 3 }).array(),
  bits: bit('bits', { dimensions: 3 }),
  bytes: bytea('bytes'),
  exact: numeric('exact', { precision: 30, scale: 6 }),
  large: bigint('large', { mode: 'bigint' }),
  rough: doublePrecision('rough'),
  flag: boolean('flag'),
  day: date('day'),
  json: jsonb('json').$type<unknown>(),
})
declareTable(samples, { kind: 'tenant' })
type Sample = typeof samples.$inferSelect
const anything = z.record(z.string(), z.unknown())

class Samples extends ScopedRepository<Sample> {
  constructor(scope: Scope) {
    super(scope, samples)
  }

  create(values: Partial<Sample>): Query<Sample> {
    return this.insertRow(anything, values)
  }

  update(id: string, values: Partial<Sample>): Query<Sample> {
    return this.updateRow(anything, id, values)
  }

  createMany(values: readonly Partial<Sample>[]): Query<Sample[]> {
    return this.insertRows(anything, values)
  }
}

beforeAll(async () => {
  const { admin } = bench.database
  await admin.query(`create table samples (org_id uuid, id uuid, label text, labels text[], counts integer[], pair text[2], short varchar(3),
    code char(3), codes varchar(3)[], bits bit(3), bytes bytea, exact numeric(30, 6), large bigint, rough double precision, flag boolean, day date,
    json jsonb, primary key (org_id, id))`)
  await admin.query('grant select, insert, update on samples to tenantry_app')
})

test('a bulk insert keeps every kind of value as it is', async () => {
  const labels = ['', 'NULL', 'null', '{}', 'a,b', ' a ', '"', '\\', '\\"', "'", '\n\t', '{"a": 1}', 'ÄÖ \u{1F600}']
  const given = labels.map((label, index) => ({
    label,
    labels: [label, 'second'],
    counts: [index, index + 1],
    pair: [label, ','],
    short: 'a"c',
    code: 'EUR',
    codes: ['abc', 'a,\\'],
    bits: '101',
    bytes: new Uint8Array([0, 34, 92, index]),
    exact: `${index}.123456`,
    large: 9_007_199_254_740_993n + BigInt(index),
    rough: index / 3,
    flag: index % 2 === 0,
    day: '2026-02-28',
    json: [label, { [label]: label }, null, index],
  }))
  const nulls = { ...Object.fromEntries(Object.keys(given[0] ?? {}).map((key) => [key, null])), labels: [] }
  const made = await (await bench.newOrg()).repository(Samples).createMany([...given, nulls])
  const plain = made.map((sample) => ({ ...sample, bytes: sample.bytes && new Uint8Array(sample.bytes) }))
  expect(plain).toMatchObject([...given, nulls])
})

test.each([{ short: 'abcd' }, { code: 'EURO' }, { codes: ['abcd'] }, { bits: '1011' }])(
  'what is longer than its column may be is refused, and not cut: %o',
  async (values) => {
    const samples = (await bench.newOrg()).repository(Samples)
    const { id } = await samples.create({ label: 'short enough' })
    await expect(samples.create(values)).rejects.toThrow(InvalidInputError)
    await expect(samples.update(id, values)).rejects.toThrow(InvalidInputError)
    await expect(samples.createMany([values])).rejects.toThrow(InvalidInputError)
    expect(await samples.count()).toBe(1)
  },
)

test('more than fits into one statement is refused', async () => {
  const samples = (await bench.newOrg()).repository(Samples)
  const row = { label: '\n'.repeat(8_000_000) }
  await expect(samples.createMany(Array.from({ length: 70 }, () => row))).rejects.toThrow(InvalidInputError)
})
