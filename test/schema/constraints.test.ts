import { sql } from 'drizzle-orm'
import { pgTable, text, uniqueIndex } from 'drizzle-orm/pg-core'
import { expect, test } from 'vitest'
import { factsLookup } from '../../src/schema/constraints.js'
import { organizations } from '../../src/schema/index.js'

const names = pgTable(
  'names',
  {
    firstName: text('first_name').notNull(),
    last: text('last').notNull(),
    full: text('full').generatedAlwaysAs(() => sql`lower(first_name || ' last ' || "last")`),
    fixed: text('fixed').generatedAlwaysAs(sql`'last'`),
  },
  (t) => [uniqueIndex('names_full_key').on(t.full), uniqueIndex('names_fixed_key').on(t.fixed, t.firstName)],
)

const lookup = factsLookup([organizations, names])
const about = (schema: string, table: string, constraint: string) =>
  lookup({ schema, table, constraint, column: undefined })

test('a conflict in a generated column is about the properties that the column is computed from', () => {
  const name = { resource: 'organizations', fields: ['name'], refersTo: undefined }
  expect(about('platform', 'organizations', 'organizations_name_key')).toEqual(name)
  expect(about('public', 'names', 'names_full_key')?.fields).toEqual(['firstName', 'last'])
})

test('a generated column that is computed from no column is named itself', () => {
  expect(about('public', 'names', 'names_fixed_key')?.fields).toEqual(['fixed', 'firstName'])
})
