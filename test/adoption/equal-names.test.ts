// Organizations of rows with equal names, made by writers whose transactions are open at the same time.
import { expect, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, ownerSession, statementsOf } from '../support/adopting.js'

const database = useDatabase()

const teams = { organizations: { table: 'teams', id: 'id', externalIds: 'none' } } as const

/** A schema of teams of which the rows become organizations from now on. */
async function expanded(schema: string) {
  for (const statement of statementsOf(`
create schema ${schema};
create table ${schema}.teams (id int primary key, name text not null, slug text);
create table ${schema}.tasks (id int primary key, team_id int not null references ${schema}.teams)
`))
    await database.admin.query(statement)
  const { session, take } = await adopting(database.adminUrl, schema, teams)
  await take('expand')
  const writer = async () => {
    const one = await ownerSession(database.adminUrl)
    await one.query(`set lock_timeout = '1s'`)
    return one
  }
  return {
    first: await writer(),
    second: await writer(),
    add: (id: number, name: string) => `insert into ${schema}.teams values (${id}, '${name}', '${name.toLowerCase()}')`,
    made: async () =>
      (
        await session.query<{ line: string }>(
          `select t.id || ' ' || regexp_replace(o.name, '[0-9a-f]{8}', '…') || ' ' || regexp_replace(o.slug, '-[0-9a-f]{8}$', '-…') as line
           from ${schema}.teams t left join tenantry_adopt_${schema}.organizations_of k on k.key like '% ' || t.id
           left join platform.organizations o on o.id = k.org_id order by t.id`,
        )
      ).map(({ line }) => line),
  }
}

test('a writer does not wait for another one that makes an organization of the same name', async () => {
  const { first, second, add, made } = await expanded('alike')
  await first.query('begin')
  await first.query(add(1, 'Alike'))
  await second.query(add(2, 'Alike'))
  await first.query('commit')
  expect(await made()).toEqual(['1 Alike alike', '2 Alike (…) alike-…'])
})

test('two writers that make organizations of two names in opposite orders do not deadlock', async () => {
  const { first, second, add, made } = await expanded('opposite')
  await first.query('begin')
  await second.query('begin')
  await first.query(add(1, 'North'))
  await second.query(add(2, 'South'))
  await first.query(add(3, 'South'))
  await second.query(add(4, 'North'))
  await second.query('commit')
  await first.query('commit')
  expect(await made()).toEqual(['1 North north', '2 South south', '3 South (…) south-…', '4 North (…) north-…'])
})

test('a name is free again for whoever comes after a writer that rolls back', async () => {
  const { first, second, add, made } = await expanded('undone')
  await first.query('begin')
  await first.query(add(1, 'Undone'))
  await first.query('rollback')
  await second.query(add(2, 'Undone'))
  expect(await made()).toEqual(['2 Undone undone'])
})

test('a transaction that makes very many organizations does not fill the lock table of the server', async () => {
  const { first, add, made } = await expanded('plenty')
  await first.query('begin')
  // As if it had reserved so many.
  await first.query(`set local tenantry.reserved_names = '999'`)
  await first.query(add(1, 'Plenty'))
  await first.query(add(2, 'Plenty'))
  expect(
    await first.query(`select from pg_locks where pid = pg_backend_pid() and locktype = 'advisory' and objsubid = 1`),
  ).toHaveLength(1)
  await first.query('commit')
  expect(await made()).toEqual(['1 Plenty plenty', '2 Plenty (…) plenty-…'])
})
