import { beforeAll, describe, expect, test } from 'vitest'
import { proveStartup } from '../../src/access/startup-proof.js'
import type { Declarations } from '../../src/access/rights.js'
import { defineRepository } from '../../src/core/define-repository.js'
import { openSession, type Session } from '../../src/database/session.js'
import { declarationsOf } from '../../src/migrations/declarations.js'
import { migrateDown } from '../../src/migrations/migrator.js'
import { strayedSets } from '../../src/migrations/strayed-sets.js'
import { upgrade } from '../../src/migrations/upgrade.js'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { undone } from '../support/nested-session.js'
import { type Build, notes, twoBuilds } from '../support/two-builds.js'
import { z } from 'zod'
import { useEmptyDatabases } from './empty-database.js'

const database = useDatabase()
const emptyDatabase = useEmptyDatabases()
const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`
const newNote = z.strictObject({ text: z.string() })
const Notes = defineRepository(notes, { create: newNote, patch: newNote.partial() })

let older: Build
let newer: Build
beforeAll(async () => {
  ;({ older, newer } = await twoBuilds())
})

/** The application's login on another database of the server. */
function asApp(adminUrl: string): string {
  const url = new URL(database.appUrl)
  url.pathname = new URL(adminUrl).pathname
  return url.href
}

const open = (adminUrl: string) =>
  openTenancy({ url: asApp(adminUrl), keys, own: { schema: { notes }, migrations: older.sets[1]?.folder ?? '' } })

/** One process of the older build, from its start to its end. */
async function serve(adminUrl: string, session: Session): Promise<void> {
  const tenancy = await open(adminUrl)
  try {
    const org = tenancy.forOrg(await createOrganization(session))
    const note = await org.repository(Notes).create({ text: 'one' })
    await expect(org.repository(Notes).find(note.id)).resolves.toMatchObject({ text: 'one' })
    await expect(org.agents.create({ name: 'Ada', username: 'ada' })).resolves.toMatchObject({ name: 'Ada' })
  } finally {
    await tenancy.close({ drain: 0 })
  }
}

test('a build that is one migration behind serves on, restarts, and serves again', async () => {
  const { session, url } = await emptyDatabase()
  await upgrade(session, older)
  const before = await open(url)
  await upgrade(session, newer)

  const org = before.forOrg(await createOrganization(session))
  await expect(org.repository(Notes).create({ text: 'one' })).resolves.toMatchObject({ text: 'one' })
  await before.close({ drain: 0 })
  await serve(url, session)
})

test('after the newer build has taken its migrations back, the older one is alone again', async () => {
  const { session, url } = await emptyDatabase()
  await upgrade(session, older)
  await upgrade(session, newer)
  for (const set of newer.sets) await migrateDown(session, [set])

  const recorded = await session.query<{ name: string; facts: string }>(
    'select name, facts::text as facts from platform_migrations.inventory',
  )
  expect(recorded.map(({ name }) => name)).not.toContain('host.comments')
  expect(recorded.map(({ name }) => name)).not.toContain('platform.my_reviews()')
  expect(recorded.find(({ name }) => name === 'host.notes')?.facts).toMatch(/^(?!.*pinned).*"text"/)
  await serve(url, session)
  expect((await upgrade(session, older)).steps).toEqual([])
  // What was brought and taken back is nobody's any more.
  await upgrade(session, newer)
  await migrateDown(session, newer.sets.slice(0, 1))
  await session.query('create table platform.reviews (org_id uuid)')
  await session.query('grant select on platform.reviews to tenantry_app')
  await expect(open(url)).rejects.toThrow('has rights on an undeclared relation')
})

test('an older build does not migrate, and keeps the record of a newer one', async () => {
  const { session, url } = await emptyDatabase()
  await upgrade(session, newer)
  await expect(upgrade(session, older)).rejects.toThrow('use that build to migrate')
  await expect(upgrade(session, older, { only: older.sets.slice(0, 1) })).rejects.toThrow('use that build to migrate')
  await serve(url, session)
})

test('a database that was migrated before anything was recorded is served, and recorded by the next run', async () => {
  const { session, url } = await emptyDatabase()
  await upgrade(session, older)
  const recorded = async () =>
    (await session.query<{ name: string }>('select name from platform_migrations.inventory')).map(({ name }) => name)
  const all = await recorded()
  expect(all).toContain('host.notes')
  await session.query('drop view platform_migrations.inventory')
  await serve(url, session)

  expect((await upgrade(session, older)).steps).toEqual([])
  expect(await recorded()).toEqual(all)
  await serve(url, session)
})

test('the record belongs to the owner of the tables, whoever migrates', async () => {
  const { session, url } = await emptyDatabase()
  const address = new URL(database.appUrl)
  const owner = address.username.replace(/_app$/, '_newerowner')
  const name = new URL(url).pathname.slice(1)
  await session.query(`create role ${owner} login createrole password '${address.password}'`)
  await session.query(`alter database ${name} owner to ${owner}`)
  address.username = owner
  address.pathname = `/${name}`
  const asOwner = await openSession({ url: address.href })
  await upgrade(asOwner, older)
  await asOwner.query('drop view platform_migrations.inventory')
  await asOwner.close()

  await upgrade(session, older)
  const [row] = await session.query<{ owner: string }>(
    `select relowner::regrole::text as owner from pg_class where oid = 'platform_migrations.inventory'::regclass`,
  )
  expect(row?.owner).toBe(owner)
  await serve(url, session)
})

test('the embedded database is recorded and proved alike', async () => {
  const session = await openSession({ embedded: true })
  await upgrade(session, older)
  await upgrade(session, newer)
  expect(await strayedSets(session, older.sets)).toEqual([])
  expect(await strayedSets(session, older.sets.slice(0, 1))).toEqual([
    { name: 'own', table: 'app_migrations.migrations' },
  ])
  const declared = await declarationsOf(older.tables, older.sets)
  const proved = async () => {
    await session.query('set session authorization tenantry_app')
    const { faults } = await proveStartup(session, declared, { role: 'tenantry_app' })
    await session.query('set session authorization postgres')
    return faults.map(({ detail }) => detail)
  }
  expect(await proved()).toEqual([])
  await session.query('alter policy org_isolation on host.comments using (true)')
  expect(await proved()).toEqual(['host.comments: org_isolation'])
  await expect(upgrade(session, older)).rejects.toThrow('use that build to migrate')
  await session.close()
})

describe('beside a newer build', () => {
  let session: Session
  let declared: Declarations
  beforeAll(async () => {
    ;({ session } = await emptyDatabase())
    await upgrade(session, newer)
    declared = await declarationsOf(older.tables, older.sets)
  })

  /** What the proof of the older build finds after some statements of the owner, which are taken back. */
  const found = (role: 'tenantry_app' | 'tenantry_system', ...statements: string[]): Promise<string[]> =>
    undone(session, async (nested) => {
      for (const sql of statements) await nested.query(sql)
      const login = new URL(role === 'tenantry_app' ? database.appUrl : database.systemUrl).username
      await nested.query(`set local session authorization ${login}`)
      const { faults } = await proveStartup(nested, declared, { role })
      return faults.map(({ fault, detail }) => `${fault}: ${detail}`)
    })

  test.for(['tenantry_app', 'tenantry_system'] as const)('nothing is found by %s', async (role) => {
    expect(await found(role)).toEqual([])
  })

  const reviews = 'platform.reviews'
  const comments = 'host.comments'
  const alike = (table: string): [string, string][] => [
    [`alter table ${table} disable row level security`, `row security is not enabled: ${table}`],
    [`alter policy org_isolation on ${table} using (true)`, `policies differ: ${table}: org_isolation`],
    [`alter policy org_isolation on ${table} with check (true)`, `policies differ: ${table}: org_isolation`],
    [`alter policy org_isolation on ${table} to public`, `policies differ: ${table}: org_isolation`],
    [`create policy more on ${table} using (true)`, `policies differ: ${table}: more`],
    [`drop policy org_isolation on ${table}`, `policies differ: ${table}: org_isolation`],
    [`grant truncate on ${table} to tenantry_app`, `a right is not declared: truncate on ${table} to tenantry_app`],
    [
      `grant update (org_id) on ${table} to tenantry_app`,
      `a right is not declared: update (org_id) on ${table} to tenantry_app`,
    ],
    [`grant update on ${table} to tenantry_app`, `a right is not declared: update on ${table} to tenantry_app`],
    [`grant select on ${table} to public`, `a right is not declared: select on ${table} to public`],
    [
      `grant select on ${table} to tenantry_app with grant option`,
      `a right is not declared: select with grant option on ${table} to tenantry_app`,
    ],
  ]
  test.for([...alike(reviews), ...alike(comments)])('refused: %s', async ([sql, fault]) => {
    expect(await found('tenantry_app', sql)).toEqual([fault])
  })

  test.for([
    [
      'grant insert on host.countries to tenantry_app',
      'a right is not declared: insert on host.countries to tenantry_app',
    ],
    ['grant update (text) on host.notes to public', 'a right is not declared: update (text) on host.notes to public'],
    ['alter table host.notes disable row level security', 'row security is not enabled: host.notes'],
    [
      'grant update (pinned) on host.notes to public',
      'a right is not declared: update (pinned) on host.notes to public',
    ],
  ] as const)('refused: %s', async ([sql, fault]) => {
    expect(await found('tenantry_app', sql)).toEqual([fault])
  })

  test('refused: a table, a column and a function that are recorded nowhere', async () => {
    const made = (name: string) => [`create table ${name} (org_id uuid)`, `grant select on ${name} to tenantry_app`]
    expect(await found('tenantry_app', ...made('platform.planted'), ...made('host.planted'))).toEqual([
      'has rights on an undeclared relation: select on table host.planted to tenantry_app',
      'has rights on an undeclared relation: select on table platform.planted to tenantry_app',
    ])
    expect(
      await found(
        'tenantry_app',
        'alter table platform.agents add planted text',
        'grant update (planted) on platform.agents to tenantry_app',
      ),
    ).toEqual(['a right is not declared: update (planted) on platform.agents to tenantry_app'])
    expect(
      await found(
        'tenantry_app',
        'create function platform.planted() returns int security definer return 1',
        'grant execute on function platform.planted() to tenantry_app',
      ),
    ).toEqual(['may execute an undeclared definer function: platform.planted() by tenantry_app'])
  })

  test("refused: a function that is neither this build's nor the recorded one", async () => {
    const replaced = (signature: string, as: string) => `create or replace function platform.${signature} ${as}`
    const empty = 'language plpgsql stable parallel safe as $$ begin return null; end $$'
    for (const [signature, sql] of [
      ['current_org()', replaced('current_org() returns uuid', empty)],
      [
        'enter_org(uuid)',
        replaced(
          'enter_org(org uuid) returns void',
          'language plpgsql security definer set search_path = pg_catalog, pg_temp as $$ begin end $$',
        ),
      ],
      ['enter_org(uuid)', 'alter function platform.enter_org(uuid) reset search_path'],
      ['my_reviews()', 'alter function platform.my_reviews() volatile'],
    ] as const) {
      expect(await found('tenantry_app', sql), sql).toEqual([`a function differs: platform.${signature}`])
    }
    expect(await found('tenantry_app', 'grant execute on function platform.my_reviews() to public')).toEqual([
      'a right is not declared: execute on platform.my_reviews() to public',
    ])
  })
})
