import { expect, test } from 'vitest'
import { definitionsModule } from '../../src/adoption/definitions.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { ownerSession, statementsOf } from '../support/adopting.js'

const database = useDatabase()

test('a column with a sequence that may be empty is no serial one in the definitions, which would be not null', async () => {
  const session = await ownerSession(database.adminUrl)
  for (const statement of statementsOf(`
create schema loose;
create table loose.tasks (org_id uuid not null, id serial, place serial, primary key (org_id, id));
alter table loose.tasks alter place drop not null`))
    await session.query(statement)
  const { text } = await definitionsModule(session, {
    schema: 'loose',
    tenants: ['tasks'],
    shared: [],
    droppedIndexes: [],
  })
  expect(text).toContain(`id: serial('id').notNull(),`)
  expect(text).toContain(`place: integer('place').default(literal("nextval('loose.tasks_place_seq'::regclass)")),`)
})
