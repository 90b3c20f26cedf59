// Organizations that the adoption has not made: which row is theirs, and that they stay as the application has made them.
import { describe, expect, onTestFinished, test } from 'vitest'
import { analyse } from '../../src/adoption/analyse.js'
import type { Decisions } from '../../src/adoption/decisions.js'
import type { StepName } from '../../src/adoption/plan.js'
import { seed } from '../../src/migrations/seed.js'
import { openTenancy } from '../../src/tenancy.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, ownerSession, statementsOf } from '../support/adopting.js'
import { behindChange } from '../support/waiting.js'

const database = useDatabase()

const run = async (script: string) => {
  for (const statement of statementsOf(script)) await database.admin.query(statement)
}

const idOf = (digits: string) => `00000000-0000-7000-8000-${digits.padStart(12, '0')}`

/** An organization that somebody has made before the adoption. */
const organization = (id: string, name: string, more: { externalId?: string; provisionKey?: string } = {}) =>
  database.admin.query(
    `insert into platform.organizations (id, name, slug, external_id, provision_key, temporal_namespace) values ($1::uuid, $2, $2, $3, $4, $1::text)`,
    [id, name, more.externalId, more.provisionKey],
  )

const teams = { organizations: { table: 'teams', id: 'id' } } as const

/** Moves a row behind the back of the triggers. */
async function misplace(table: string, id: number, to: string) {
  const session = await ownerSession(database.adminUrl)
  await session.query('set session_replication_role = replica')
  await session.query(`update ${table} set org_id = $1 where id = $2`, [to, id])
}

describe('a row with a wrong organization is told by prove, enforce and contract, where its own', () => {
  const column = { kind: 'tenant' as const, way: { column: 'team_id' } }
  test.each<[what: string, schema: string, type: string, team: string, decisions: Partial<Decisions>]>([
    [
      'was found by its external id',
      'found_external',
      'int',
      '41',
      { organizations: { table: 'teams', id: 'id', externalIds: 'same' } },
    ],
    [
      'was found by the slug that a decision names',
      'found_slug',
      'int',
      'null',
      {
        organizations: { table: 'teams', id: 'id', externalIds: 'none' },
        tables: { tasks: { ...column, unreached: { constant: 'found-slug' } } },
      },
    ],
    [
      'was found by its id',
      'found_id',
      'uuid',
      `'${idOf('c1')}'`,
      { tables: { tasks: { ...column, unreached: { constant: 'found-other' } } } },
    ],
  ])('%s', async (_, schema, type, team, decisions) => {
    const own = { found_external: idOf('a1'), found_slug: idOf('b1'), found_id: idOf('c1') }[schema] ?? ''
    await organization(own, schema.replace('_', '-'), type === 'int' && team !== 'null' ? { externalId: team } : {})
    await organization(idOf(`${own.at(-2)}9`), `another-${own.at(-2)}`)
    await run(`
create schema ${schema};
create table ${schema}.teams (id ${type} primary key, name text);
create table ${schema}.tasks (id int primary key, team_id ${type});
${team === 'null' ? '' : `insert into ${schema}.teams values (${team}, 'Found');`}
insert into ${schema}.tasks values (1, ${team}), (2, ${team})`)
    const { session, take, fill, undo } = await adopting(database.adminUrl, schema, {
      organizations: { table: 'teams', id: 'id' },
      ...decisions,
    })
    await take('expand')
    await fill()
    const owners = () => session.query(`select id, org_id from ${schema}.tasks order by id`)
    expect(await owners()).toEqual([
      { id: 1, org_id: own },
      { id: 2, org_id: own },
    ])
    const told = '1 rows of tasks have no organization, or another one than their way leads to'
    const refused = async (step: StepName) => {
      await misplace(`${schema}.tasks`, 2, idOf(`${own.at(-2)}9`))
      await expect(take(step)).rejects.toThrow(told)
      await misplace(`${schema}.tasks`, 2, own)
    }
    await refused('prove')
    await take('prove', 'swap', 'observe')
    await refused('enforce')
    await take('enforce')
    await refused('contract')
    await take('contract')
    // What the way back of contract makes again finds the same ones, whatever they are called by now.
    await session.query(
      `update platform.organizations set name = name || '-renamed', slug = slug || '-renamed' where id = $1`,
      [own],
    )
    await organization(idOf(`${own.at(-2)}8`), schema.replace('_', '-'))
    await undo('enforce')
    await refused('contract')
    await undo()
  })
})

test('an organization that the application has provisioned for a row keeps its key, and provisioning is repeatable', async () => {
  await seed(database.admin)
  const tenancy = await openTenancy({
    url: database.appUrl,
    systemUrl: database.systemUrl,
    keys: `test:${Buffer.alloc(32, 7).toString('base64')}`,
  })
  onTestFinished(() => tenancy.close({ drain: 0 }))
  const { organizations } = tenancy.system({ actor: 'sign-up', reason: 'a new team' })
  const provision = (team: number) =>
    organizations.provision({
      key: `team-${team}`,
      externalId: `${team}`,
      name: `Team ${team}`,
      slug: `team-${team}`,
      plan: 'tier_free',
      owner: { email: `${team}@acme.example` },
    })
  await run(`
create schema claimed;
create table claimed.teams (id int primary key, name text);
create table claimed.tasks (id int primary key, team_id int references claimed.teams);
insert into claimed.teams values (501, 'Claimed');
insert into claimed.tasks values (1, 501)`)
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'claimed', teams)
  await take('expand')
  // Before the team is there, and after contract.
  const early = await provision(502)
  await run(`insert into claimed.teams values (502, 'Team 502');\ninsert into claimed.tasks values (2, 502)`)
  await fill()
  const { found } = await analyse(session, 'claimed', { version: 1, schema: 'claimed', tables: {}, ...teams })
  expect(found.findings.filter(({ kind }) => kind === 'external ids')).toEqual([])
  await take('prove', 'swap', 'observe', 'enforce', 'contract')
  const late = await provision(503)
  await run(`insert into claimed.teams values (503, 'Team 503')`)
  await session.query(`insert into claimed.tasks (id, team_id, org_id) values (3, 503, $1)`, [late.organization.id])
  await undo('enforce')
  await run(`insert into claimed.tasks (id, team_id) values (4, 503)`)
  for (const [team, { organization }] of [
    [502, early],
    [503, late],
  ] as const) {
    expect(await session.query('select distinct org_id from claimed.tasks where team_id = $1', [team])).toEqual([
      { org_id: organization.id },
    ])
    expect(await provision(team)).toMatchObject({ isNew: false, organization: { id: organization.id } })
  }
  await take('contract')
  await undo()
})

describe('an organization that was found', () => {
  const desks = (schema: string) => `
create schema ${schema};
create table ${schema}.teams (id int primary key, name text);
create table ${schema}.users (id int primary key, name text);
create table ${schema}.tasks (id int primary key, team_id int references ${schema}.teams, user_id int references ${schema}.users)`
  const people: Partial<Decisions> = {
    ...teams,
    tables: {
      users: { kind: 'people' },
      tasks: { kind: 'tenant', way: { column: 'team_id' }, unreached: { personal: 'user_id' } },
    },
  }

  test('for a row of one schema is not taken for a row of another one', async () => {
    for (const schema of ['left_desk', 'right_desk']) await run(desks(schema))
    const left = await adopting(database.adminUrl, 'left_desk', people)
    const right = await adopting(database.adminUrl, 'right_desk', people)
    for (const { take } of [left, right]) await take('expand')
    await organization(idOf('d1'), 'left-601', { externalId: '601', provisionKey: 'left-601' })
    await run(`insert into left_desk.teams values (601, 'Left');\ninsert into left_desk.teams values (602, 'Left too')`)
    const owners = `select k.org_id from tenantry_adopt_left_desk.organizations_of k where k.key like '% 601'`
    expect(await left.session.query(owners)).toEqual([{ org_id: idOf('d1') }])
    // The second one was made by the adoption of the left schema.
    for (const team of [601, 602])
      await expect(run(`insert into right_desk.teams values (${team}, 'Right')`)).rejects.toThrow(
        `the organization with the external id ${team} belongs to another adoption: undo the steps with tenantry adopt down --all, and plan again with "externalIds": "none"`,
      )
    await left.undo()
    await expect(run(`insert into right_desk.teams values (602, 'Right')`)).rejects.toThrow(
      'belongs to another adoption',
    )
    await right.undo()
  })

  test('and is gone since is made anew', async () => {
    await run(`${desks('gone_desk')};
insert into gone_desk.teams values (611, 'Gone'), (612, 'Stays');
insert into gone_desk.tasks values (1, 611, null), (2, 612, null)`)
    const same = { organizations: { table: 'teams', id: 'id', externalIds: 'same' } } as const
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'gone_desk', { ...people, ...same })
    await organization(idOf('d2'), 'gone-611', { externalId: '611' })
    await take('expand')
    await fill()
    await run(`delete from platform.organizations where id = '${idOf('d2')}'`)
    await expect(take('prove')).rejects.toThrow('1 rows of tasks have no organization, or another one')
    await fill({ again: true })
    await take('prove', 'swap')
    expect(
      await session.query(
        'select t.id, o.external_id from gone_desk.tasks t join platform.organizations o on o.id = t.org_id order by 1',
      ),
    ).toEqual([
      { id: 1, external_id: '611' },
      { id: 2, external_id: '612' },
    ])
    await undo()
  })

  test('by two writers at once is one', async () => {
    await run(`${desks('busy_desk')};
insert into busy_desk.users select n, 'Busy ' || n from generate_series(1, 3) n`)
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'busy_desk', people)
    await take('expand')
    await organization(idOf('d3'), 'busy-1', { externalId: 'busy_desk.users:1', provisionKey: 'busy-1' })
    const insert = (id: number, user: number) =>
      `insert into busy_desk.tasks (id, user_id) values (${id}, ${user}) returning org_id`
    for (const user of [1, 2]) {
      const [first, second] = [user * 10, user * 10 + 1]
      const [late] = await behindChange(
        database.admin,
        () => database.admin.query(insert(first, user)),
        () => session.query(insert(second, user)),
      )
      expect(await session.query('select org_id from busy_desk.tasks where id = $1', [first])).toEqual([late])
    }
    // Whoever does not see what another has found is told to repeat.
    await session.query('begin isolation level repeatable read')
    await session.query('select from busy_desk.tasks')
    await expect(
      behindChange(
        database.admin,
        () => database.admin.query(insert(30, 3)),
        () => session.query(insert(31, 3)),
      ),
    ).rejects.toMatchObject({ code: '40001' })
    await session.query('rollback')
    await fill()
    await take('prove')
    await undo()
  })

  test('for a person is known after the way back of contract too', async () => {
    await run(`${desks('back_desk')};
insert into back_desk.users values (1, 'Back 1'), (2, 'Back 2'), (3, 'Back 3');
insert into back_desk.tasks values (1, null, 1), (2, null, 2)`)
    const { session, take, fill, undo } = await adopting(database.adminUrl, 'back_desk', people)
    await take('expand')
    await fill()
    await take('prove', 'swap', 'observe', 'enforce', 'contract')
    await organization(idOf('d4'), 'back-3', { externalId: 'back_desk.users:3', provisionKey: 'back-3' })
    await session.query('insert into back_desk.tasks (id, user_id, org_id) values (3, 3, $1)', [idOf('d4')])
    await run(`update platform.organizations set deleted_at = now() where external_id = 'back_desk.users:1'`)
    await undo('enforce')
    await misplace('back_desk.tasks', 2, idOf('d4'))
    await expect(take('contract')).rejects.toThrow('1 rows of tasks have no organization, or another one')
    await run('update back_desk.tasks set user_id = 3 where id = 2')
    await expect(take('contract')).rejects.toThrow(
      '1 rows of tasks belong to organizations that are deleted in tenantry: restore these, or delete the rows',
    )
    await run(`update platform.organizations set deleted_at = null where external_id = 'back_desk.users:1'`)
    await take('contract')
    await undo()
  })
})

test('an organization that gets an id of a row as its external id after the plan is told by expand', async () => {
  await run(`
create schema late_id;
create table late_id.teams (id int primary key, name text);
create table late_id.tasks (id int primary key, team_id int references late_id.teams);
insert into late_id.teams values (901, 'Late');
insert into late_id.tasks values (1, 901)`)
  const { take, undo } = await adopting(database.adminUrl, 'late_id', teams)
  await organization(idOf('f1'), 'late-id', { externalId: '901' })
  await expect(take('expand')).rejects.toThrow(
    'since the plan, organizations have got an id of teams as their external id: run tenantry adopt plan again',
  )
  await undo()
  const none = { organizations: { table: 'teams', id: 'id', externalIds: 'none' } } as const
  const again = await adopting(database.adminUrl, 'late_id', none)
  await again.take('expand')
  await again.undo()
})

test('the way back is closed while migrations of the host declare the tables', async () => {
  await run(`
create schema declared_desk;
create table declared_desk.teams (id int primary key, name text);
create table declared_desk.tasks (id int primary key, team_id int references declared_desk.teams);
insert into declared_desk.teams values (902, 'Declared');
insert into declared_desk.tasks values (1, 902)`)
  const { session, take, fill, undo } = await adopting(database.adminUrl, 'declared_desk', teams)
  await take('expand')
  await fill()
  await take('prove', 'swap', 'observe', 'enforce')
  const [view] = await session.query<{ text: string }>(
    `select pg_get_viewdef('platform_migrations.inventory'::regclass) as text`,
  )
  const text = (view?.text ?? '').trim().replace(/;$/, '')
  await session.query(
    `create or replace view platform_migrations.inventory with (security_invoker = true) as ${text}
     union all select 'app_migrations.migrations'::text, 'table'::text, 'declared_desk.tasks'::text, '{}'::jsonb`,
  )
  await expect(undo()).rejects.toThrow(
    'declared_desk.tasks are declared by applied migrations of your own, which give the application rights on them: undo these first with tenantry migrate down',
  )
  await session.query(`create or replace view platform_migrations.inventory with (security_invoker = true) as ${text}`)
  await undo()
})

test('an organization that gets the slug of a constant after the plan is told by expand', async () => {
  await run(`
create schema late_slug;
create table late_slug.tasks (id int primary key);
insert into late_slug.tasks values (1)`)
  const constant = { organizations: { constant: { name: 'Late', slug: 'late-slug' } } } as const
  const { take, undo } = await adopting(database.adminUrl, 'late_slug', constant)
  await organization(idOf('e1'), 'late-slug')
  await expect(take('expand')).rejects.toThrow(
    'since the plan another organization has got the slug late-slug: undo this step with tenantry adopt down, and run tenantry adopt plan',
  )
  await undo()
  const again = await adopting(database.adminUrl, 'late_slug', constant)
  await again.take('expand', 'prove')
  expect(await again.session.query('select org_id from late_slug.tasks')).toEqual([{ org_id: idOf('e1') }])
  await again.undo()
})
