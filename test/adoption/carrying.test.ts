import { beforeAll, expect, test } from 'vitest'
import { analysePlatform } from '../../src/adoption/carrying/analyse-platform.js'
import { platformStatus } from '../../src/adoption/carrying/platform-status.js'
import { openTenancy } from '../../src/tenancy.js'
import { builtInRoles } from '../../src/schema/built-in-roles.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { catalogOf, ownerSession, rowsOf } from '../support/adopting.js'
import { addFreePlan, carrying, carryingKeys } from '../support/carrying.js'
import { makeEarlierPlatform } from '../support/earlier-platform.js'

const database = useDatabase()

beforeAll(() => addFreePlan(database.admin))

const countOf = async (table: string): Promise<number> => {
  const [row] = await database.admin.query<{ count: number }>(`select count(*)::int as count from ${table}`)
  return row?.count ?? 0
}

test.for([
  { form: 'thirteen tables', schema: 'small', isLarge: false },
  { form: 'twenty-eight tables', schema: 'large', isLarge: true },
])('$form go the whole way and back, every row and every object as before', async ({ schema, isLarge }) => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema, isLarge })
  const before = { rows: await rowsOf(session, schema), catalog: await catalogOf(session, schema) }
  const organizations = await countOf('platform.organizations')
  const people = await countOf('platform.users')
  const { expand, backfill, prove, swap, contract, downAll } = carrying(session, schema)

  await expand()
  expect((await backfill()).isComplete).toBe(true)
  expect(await prove()).toMatchObject({ isProved: true, unplaced: [] })
  expect(await rowsOf(session, schema)).toEqual(before.rows)
  expect(await swap()).toMatchObject({ isProved: true, unplaced: [] })
  expect(await contract()).toMatchObject({
    tables: expect.arrayContaining([{ table: 'credentials', emptied: 12, inClear: 0 }]) as unknown,
  })
  expect((await platformStatus(session, schema)).steps.filter(({ state }) => state === 'taken')).toHaveLength(5)
  expect(await countOf('platform.organizations')).toBe(organizations + 2)

  await downAll()
  expect({ rows: await rowsOf(session, schema), catalog: await catalogOf(session, schema) }).toEqual(before)
  expect(await countOf('platform.organizations')).toBe(organizations)
  expect(await countOf('platform.users')).toBe(people)
})

test('the repositories read what was carried, and reveal the secrets', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'read', isLarge: true })
  const { expand, backfill, prove, swap } = carrying(session, 'read')
  await expand()
  await backfill()
  expect(await prove()).toMatchObject({ isProved: true })
  await swap()

  const tenancy = await openTenancy({ url: database.appUrl, keys: carryingKeys })
  try {
    const rows = await session.query<Record<string, string>>(
      `select p.organization_id, p.id, p.database_password, c.jwt_secret, d.id as database_id, d.connection_string
       from read.projects p join read.credentials c on c.project_id = p.id join read.databases d on d.project_id = p.id order by p.ref`,
    )
    for (const row of rows) {
      const org = tenancy.forOrg(row.organization_id ?? '')
      const { jwtSecret } = await org.projects.credentials.reveal(row.id ?? '')
      expect(jwtSecret?.reveal()).toBe(row.jwt_secret)
      const revealed = await org.projects.databases.reveal(row.id ?? '', row.database_id ?? '')
      expect(revealed?.reveal()).toBe(row.connection_string)
    }
    const org = tenancy.forOrg(rows[0]?.organization_id ?? '')
    const { items: projects } = await org.projects.list()
    expect(projects.map(({ status }) => status)).toEqual(expect.arrayContaining(['paused', 'unhealthy']))
    expect(projects[0]?.metadata).toMatchObject({ postgres_meta_url: 'http://meta' })
    const { items: members } = await org.members.list()
    expect(members.every(({ email }) => /^person\d+@/.test(email))).toBe(true)
    expect(await org.members.count()).toBe(3)
    const { items: roles } = await org.roles.list()
    expect(roles).toHaveLength(builtInRoles.length)
    const other = tenancy.forOrg(rows[1]?.organization_id ?? '')
    expect(await other.projects.find(rows[0]?.id ?? '')).toBeUndefined()
  } finally {
    await tenancy.close()
  }
})

test('what is written meanwhile is carried too: new rows, changed ones, deleted ones, and an address with its member', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'busy', isLarge: true })
  const { expand, backfill, prove, swap } = carrying(session, 'busy')
  await expand()
  const write = async (turn: number) => {
    for (const statement of [
      `insert into busy.organizations (name, slug) values ('New ${turn}', 'new-${turn}')`,
      `insert into busy.projects (organization_id, name, slug, ref, database_host, database_name, database_user, database_password, postgres_meta_url, supabase_url)
       select id, 'New', 'new', 'newref${turn}', 'h', 'd', 'u', 'new password', 'm', 's' from busy.organizations where slug = 'new-${turn}'`,
      `insert into busy.credentials (project_id, anon_key, service_role_key, jwt_secret) select id, 'a', 'b', 'c' from busy.projects where ref = 'newref${turn}'`,
      `update busy.credentials set jwt_secret = 'rotated ${turn}' where id in (select id from busy.credentials order by id limit 3)`,
      `update busy.users set email = 'Moved${turn}' || email where id in (select id from busy.users order by id limit 2)`,
      `delete from busy.invoices where id in (select id from busy.invoices order by id limit 5)`,
      `delete from busy.projects where id in (select id from busy.projects where ref like 'ref%' order by ref limit 1)`,
      `update busy.projects set slug = 'renamed-${turn}' where id in (select id from busy.projects where ref like 'ref%' order by ref limit 1)`,
    ])
      await session.query(statement)
  }
  await write(1)
  await backfill()
  await write(2)
  expect((await platformStatus(session, 'busy')).waiting).toBeGreaterThan(0)
  expect(await prove()).toMatchObject({ isProved: true })
  await write(3)
  expect(await swap()).toMatchObject({ isProved: true })
  const [moved] = await session.query<{ members: number }>(
    `select count(*)::int as members from platform.organization_members where email like 'moved3%'`,
  )
  expect(moved?.members).toBe(2)
})

test('a project that moves to another organization takes its rows along, once all rows are gone over again', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'moving', isLarge: false })
  const { expand, backfill, prove } = carrying(session, 'moving')
  await expand()
  await backfill()
  await session.query(
    `update moving.projects p set organization_id = (select o.id from moving.organizations o where o.id <> p.organization_id limit 1), slug = 'moved'
     where p.id = (select id from moving.projects order by ref limit 1)`,
  )
  const { isProved, tables } = await prove()
  expect(isProved).toBe(false)
  expect(tables.find(({ name }) => name === 'credentials')).toMatchObject({ missing: 1 })
  await backfill({ again: true })
  expect(await prove()).toMatchObject({ isProved: true })
})

test('rows that have no place are told before anything is done, and stay where their table is named', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'unfit', isLarge: true })
  for (const statement of [
    `update unfit.projects set ref = 'x1' where ref = 'ref00000001'`,
    `update unfit.organizations set name = 'ORGANIZATION 1 OF UNFIT' where slug = 'unfit-2'`,
    `update unfit.invoices set status = 'lost' where stripe_invoice_id in ('in_1', 'in_2')`,
    `update unfit.organization_members set role = 'guest' where id = (select id from unfit.organization_members limit 1)`,
    `alter table unfit.project_members drop constraint project_members_user_id_fkey`,
    `insert into unfit.project_members (project_id, user_id, role) select id, gen_random_uuid(), 'developer' from unfit.projects limit 1`,
  ])
    await session.query(statement)
  const { findings } = await analysePlatform(session, 'unfit')
  expect(
    findings.filter(({ needs }) => needs === 'mend').map(({ table, message, rows }) => [table, message, rows?.count]),
  ).toEqual([
    [
      'organizations',
      'organizations has rows with the same name_key, which is to be unique (organizations_name_key)',
      2,
    ],
    [
      'organization_members',
      expect.stringMatching(
        /^organization_members has rows with a role that tenantry does not have, which has owner, /,
      ),
      1,
    ],
    ['projects', `projects has rows that the check projects_ref_check refuses: ref ~ '^[a-z0-9][a-z0-9-]{2,39}$'`, 1],
    [
      'project_members',
      'project_members has rows that refer to no row of organization_members (project_members_user_fkey)',
      1,
    ],
    ['invoices', expect.stringMatching(/that the check invoices_status_check refuses/), 2],
  ])
  const { expand, backfill, prove, swap, down } = carrying(session, 'unfit')
  await expect(expand()).rejects.toThrow('These rows have no place in tenantry')
  await expect(expand('nothing')).rejects.toThrow('--leave nothing: there is no such table')
  // Children of a row that stays have no place either, which is found when they are carried.
  await expand('organizations', 'projects', 'invoices', 'organization_members', 'project_members')
  const { tables } = await backfill()
  const leftOf = (name: string) => tables.find((table) => table.name === name)?.left
  expect(leftOf('invoices')).toEqual(
    expect.arrayContaining([{ reason: 'are refused by invoices_status_check', rows: 1 }]),
  )
  // Rows that belong to one that stays, stay too.
  expect(leftOf('credentials')).toEqual([
    {
      reason: expect.stringMatching(/^refer to a row that is not carried/) as unknown,
      rows: expect.any(Number) as number,
    },
  ])
  expect(await prove()).toMatchObject({ isProved: true, unplaced: [] })
  // Of a table that nobody named.
  await session.query(
    `update unfit.disk_config set size_gb = -1 where id = (select s.id from unfit.disk_config s join platform.disk_config t on t.id = s.id order by s.id limit 1)`,
  )
  expect(await prove()).toMatchObject({
    isProved: false,
    unplaced: [expect.stringMatching(/^disk_config has rows that are refused by disk_config_\w+: 1$/)],
  })
  await expect(swap()).rejects.toThrow('prove comes first')
  await expand('disk_config')
  expect(await prove()).toMatchObject({ isProved: true, unplaced: [] })
  await session.query(`update unfit.disk_config set size_gb = 8 where size_gb = -1`)

  for (const statement of [
    `update unfit.organizations set name = 'Organization 2' where slug = 'unfit-2'`,
    `update unfit.projects set ref = 'ref00000001' where ref = 'x1'`,
  ])
    await session.query(statement)
  await backfill({ again: true })
  expect(await prove()).toMatchObject({ isProved: true, unplaced: [] })
  const mended = await rowsOf(session, 'unfit')
  while ((await down()) !== undefined);
  expect(await rowsOf(session, 'unfit')).toEqual(mended)
})

test('after the swap the earlier tables are read and not written, and the way back is refused where it would lose rows', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'closed', isLarge: false })
  const { expand, backfill, prove, swap, down } = carrying(session, 'closed')
  await expand()
  await expect(session.query('truncate closed.invoices')).rejects.toThrow(
    'cannot be truncated while its rows are carried',
  )
  await backfill()
  await expect(swap()).rejects.toThrow('prove comes first')
  await prove()
  await swap()
  await expect(session.query(`update closed.invoices set amount_paid = 1`)).rejects.toMatchObject({ code: '55000' })
  await expect(session.query('truncate closed.invoices')).rejects.toMatchObject({ code: '55000' })
  await expect(backfill()).rejects.toThrow('swap is taken already')

  const [first] = await session.query<{ id: string }>('select id from closed.organizations order by slug limit 1')
  const tenancy = await openTenancy({ url: database.appUrl, keys: carryingKeys })
  try {
    const org = tenancy.forOrg(first?.id ?? '')
    const agent = await org.agents.create({ name: 'Ada', username: 'ada' })
    await session.query(
      `insert into platform.tax_ids (org_id, id, type, value, country) values ($1, gen_random_uuid(), 'eu_vat', 'NEW', 'DE')`,
      [first?.id],
    )
    await org.projects.update((await org.projects.list()).items.at(-1)?.id ?? '', { name: 'Renamed' })
    await expect(down()).rejects.toThrow(/projects: 1 changed[^]*tax_ids: 1 new[^]*agents: 1 new[^]*Nothing was done/)
    await org.agents.purge(agent.id)
    await session.query(`delete from platform.tax_ids where value = 'NEW'`)
  } finally {
    await tenancy.close()
  }
  await session.query(
    `update platform.projects p set name = s.name, updated_at = s.updated_at from closed.projects s where s.id = p.id`,
  )
  await session.query(`delete from platform.audit_logs where org_id = $1`, [first?.id])
  expect(await down()).toBe('swap')
  await session.query(`update closed.invoices set amount_paid = 1 where stripe_invoice_id = 'in_1'`)
})
