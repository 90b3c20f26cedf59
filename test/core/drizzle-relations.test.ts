import type { TablesRelationalConfig } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import type { Scope } from '../../src/core/scope.js'
import { Org } from '../../src/org.js'
import { contextOf } from '../support/scope-context.js'

/** What Drizzle has worked out of the schema, as it keeps it in a database of its own. */
function relationsOf(org: Org): TablesRelationalConfig {
  const { _ } = org.db as unknown as { readonly _: { readonly schema: TablesRelationalConfig } }
  return _.schema
}

test('the relations of the tables are worked out once, not for each request', () => {
  const [first, second] = [
    new Org({ context: contextOf(newId()) } as Scope),
    new Org({ context: contextOf(newId()) } as Scope),
  ]
  expect(relationsOf(first)).toHaveProperty('tasks')
  expect(relationsOf(second)).toBe(relationsOf(first))
})
