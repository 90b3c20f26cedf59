import type { TablesRelationalConfig } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { DefinitionError, InvalidInputError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Scope } from '../../src/core/scope.js'
import { Org } from '../../src/org.js'
import { projects } from '../../src/schema/projects.js'
import { openTenancy } from '../../src/tenancy.js'
import * as desk from '../support/desk-schema.js'
import { contextOf } from '../support/scope-context.js'

const newOrg = () => new Org({ context: contextOf(newId()) } as Scope)

/** What Drizzle has worked out of the schema, as it keeps it in a database of its own. */
function relationsOf(database: object): TablesRelationalConfig {
  const { _ } = database as unknown as { readonly _: { readonly schema: TablesRelationalConfig } }
  return _.schema
}

test('the relations of the tables are worked out once, not for each request', () => {
  const [first, second] = [newOrg(), newOrg()]
  expect(relationsOf(first.db)).toHaveProperty('tasks')
  expect(relationsOf(second.db)).toBe(relationsOf(first.db))
  expect(relationsOf(first.database(desk))).toHaveProperty('replies')
  expect(relationsOf(second.database(desk))).toBe(relationsOf(first.database(desk)))
})

test('the tables of a host that the library has under the same name are refused, by that name', () => {
  const org = newOrg()
  expect(() => org.database({ projects: desk.tickets })).toThrow(DefinitionError)
  expect(() => org.database({ projects: desk.tickets })).toThrow(
    'schema: projects is the name of an export of tenantry/schema; pass yours under another name',
  )
  expect(relationsOf(org.database({ ...desk, projects }))).toHaveProperty('tickets')
})

test('own tables under the name of an export of the library are refused when the tenancy is opened', async () => {
  const own = { schema: { ...desk, projects: desk.tickets }, migrations: import.meta.dirname }
  const opened = openTenancy({
    url: 'postgres://127.0.0.1:1/none',
    keys: `test:${Buffer.alloc(32).toString('base64')}`,
    own,
  })
  await expect(opened).rejects.toThrow(DefinitionError)
  await expect(opened).rejects.toThrow('own.schema: tenantry/schema has exports named projects too')
})

test.each([
  [{}, 'schema: has no table and no relations'],
  [{ tickets: 'tickets' }, 'schema: has no table and no relations'],
  [undefined, 'schema: must be an object'],
  [desk.tickets, 'schema: must be a plain object'],
])('%o is no schema', (given, reason) => {
  const org = newOrg()
  expect(() => org.database(given as never)).toThrow(InvalidInputError)
  expect(() => org.database(given as never)).toThrow(reason)
})
