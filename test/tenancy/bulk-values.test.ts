import {
  bigint,
  boolean,
  customType,
  date,
  doublePrecision,
  integer,
  jsonb,
  numeric,
  pgTable,
  text,
  uuid,
} from 'drizzle-orm/pg-core'
import { expect, test } from 'vitest'
import { z } from 'zod'
import type { Query } from '../../src/core/query.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import { useTenancy } from '../support/use-tenancy.js'

const bench = useTenancy()

const bytea = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })

const samples = pgTable('samples', {
  orgId: uuid('org_id').notNull(),
  id: uuid('id').notNull(),
  label: text('label'),
  labels: text('labels').array(),
  counts: integer('counts').array(),
  bytes: bytea('bytes'),
  exact: numeric('exact', { precision: 30, scale: 6 }),
  large: bigint('large', { mode: 'bigint' }),
  rough: doublePrecision('rough'),
  flag: boolean('flag'),
  day: date('day'),
  json: jsonb('json').$type<unknown>(),
})
type Sample = typeof samples.$inferSelect
const anything = z.record(z.string(), z.unknown())

class Samples extends ScopedRepository<Sample> {
  constructor(scope: Scope) {
    super(scope, samples)
  }

  createMany(values: readonly Partial<Sample>[]): Query<Sample[]> {
    return this.insertMany(anything, values)
  }
}

test('a bulk insert keeps every kind of value as it is', async () => {
  const { admin } = bench.database
  await admin.query(`create table samples (org_id uuid, id uuid, label text, labels text[], counts integer[], bytes bytea, exact numeric(30, 6),
    large bigint, rough double precision, flag boolean, day date, json jsonb, primary key (org_id, id))`)
  await admin.query('grant select, insert on samples to tenantry_app')
  const labels = ['', 'NULL', 'null', '{}', 'a,b', ' a ', '"', '\\', '\\"', "'", '\n\t', '{"a": 1}', 'ÄÖ \u{1F600}']
  const given = labels.map((label, index) => ({
    label,
    labels: [label, 'second'],
    counts: [index, index + 1],
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
