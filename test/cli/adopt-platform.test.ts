import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openSession } from '../../src/database/session.js'
import { migrateDown, platformMigrations } from '../../src/migrations/migrator.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { catalogOf, ownerSession, rowsOf } from '../support/adopting.js'
import { carryingKeys } from '../support/carrying.js'
import { makeEarlierPlatform } from '../support/earlier-platform.js'
import { root, tenantry } from './command-line.js'

const database = useDatabase()

/** A database that has tables of an earlier platform, and none of tenantry. */
async function withEarlierPlatform() {
  const session = await ownerSession(database.adminUrl)
  const migrating = await openSession({ url: database.adminUrl })
  await migrateDown(migrating, [platformMigrations], { all: true })
  await migrating.close()
  await makeEarlierPlatform(session, { schema: 'platform', isLarge: true })
  await session.query(
    `create function public.open_projects() returns bigint language sql as 'select count(*) from platform.projects where status <> ''PAUSED'''`,
  )
  await session.query(
    `create function public.names() returns setof text language plpgsql as 'begin return query select "platform".organizations.name from "platform".organizations; end'`,
  )
  for (const statement of [
    // A word of another meaning, other spellings, a search path, and one that somebody changes afterwards.
    `create function public.site() returns text language sql as 'select ''https://platform.example.com''::text'`,
    `create function public.loud() returns bigint language plpgsql as 'begin return (select count(*) from PLATFORM . Projects); end'`,
    `create function public.searching() returns bigint language plpgsql set search_path = platform, public as 'begin return (select count(*) from projects); end'`,
    `create function public.changed() returns bigint language sql as 'select count(*) from platform.projects'`,
    `create function public.dynamic() returns text language plpgsql as 'begin return format(''%I.projects'', ''platform''); end'`,
  ])
    await session.query(statement)
  return session
}

const run = (...args: string[]) =>
  tenantry(args, {
    env: { DATABASE_ADMIN_URL: database.adminUrl, DATABASE_URL: database.appUrl, TENANTRY_KEYS: carryingKeys },
  })

/** Every command has to end well, and its text stands in the error where it does not. */
async function runs(...args: string[]) {
  const { code, stdout, stderr } = await run(...args)
  expect({ command: args.join(' '), code, stderr }).toEqual({ command: args.join(' '), code: 0, stderr })
  return stdout
}

/** The commands of the document, in their order. */
const documented = [
  ...readFileSync(join(root, 'docs', 'earlier-platform.md'), 'utf8').matchAll(/^npx tenantry ([^#\n]+)/gm),
].map(([, words = '']) => words.trim())

test('a schema with the name of ours makes room, is carried, and gets its name back', async () => {
  const session = await withEarlierPlatform()
  const before = { rows: await rowsOf(session, 'platform'), catalog: await catalogOf(session, 'platform') }
  const functions = () =>
    session.query(`select p.oid::regprocedure::text as name, pg_get_functiondef(p.oid) as text from pg_proc p
      where p.pronamespace in (select oid from pg_namespace where nspname in ('public', 'platform')) and p.prokind = 'f'
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') order by 1`)
  const textsBefore = await functions()

  const migrated = await run('migrate', 'up')
  expect(migrated.code).toBe(1)
  expect(migrated.stderr).toContain('run tenantry adopt platform analyse')
  expect((await run('adopt', 'analyse', '--schema', 'platform')).stderr).toContain('tenantry adopt platform analyse')

  const analysed = await runs('adopt', 'platform', 'analyse')
  expect(analysed).toContain(
    'credentials  12 rows to platform.credentials; sealed: anon_key, service_role_key, jwt_secret',
  )
  expect(analysed).toContain('move changes platform.available_credits(uuid), which names the schema')
  for (const name of ['site()', 'dynamic()'])
    expect(analysed).toContain(`${name} has the word platform in a form that move leaves as it is`)
  expect((await run('adopt', 'platform', 'expand')).stderr).toContain('run tenantry adopt platform move first')
  expect(await runs('adopt', 'platform', 'move', '--dry-run')).toContain(
    'alter schema "platform" rename to "platform_before"',
  )
  await runs('adopt', 'platform', 'move')
  expect(await rowsOf(session, 'platform_before')).toEqual(before.rows)
  await session.query(`create or replace function public.changed() returns bigint language sql as 'select 7::bigint'`)
  const open = `select public.open_projects() as open, (select count(*)::int from public.names()) as names, platform_before.available_credits(id) is not null as credits
    from platform_before.organizations limit 1`
  expect(await session.query(open)).toEqual([{ open: '8', names: 2, credits: true }])
  expect(
    await session.query('select public.site() as site, public.loud() as loud, public.searching() as searching'),
  ).toEqual([{ site: 'https://platform.example.com', loud: '12', searching: '12' }])

  expect((await run('adopt', 'platform', 'expand')).stderr).toContain('run tenantry migrate up first')
  const way = documented.slice(documented.indexOf('migrate up'), documented.indexOf('adopt platform status'))
  expect(documented.slice(0, 2)).toEqual(['adopt platform analyse', 'adopt platform move'])
  expect(way).toHaveLength(7)
  for (const command of way) {
    await runs(...command.split(' '))
    expect(await session.query(open)).toEqual([{ open: '8', names: 2, credits: true }])
  }
  const { json } = await run('adopt', 'platform', 'status', '--json')
  expect(json()).toMatchObject({
    schema: 'platform_before',
    steps: Array.from({ length: 6 }, () => ({ state: 'taken' })),
    waiting: 0,
  })
  await runs('proof')

  expect((await run('adopt', 'platform', 'down')).stderr).toContain('repeat it with --yes')
  expect(await runs('adopt', 'platform', 'down', '--dry-run')).toBe('The last step is contract.\n')
  const [leaving, down, remove, last] = documented.slice(-4).map((command) => command.split(' '))
  expect(leaving).toContain('--leave')
  expect(await runs(...(down ?? []))).toBe('Undone: contract.\n')
  await session.query(`update platform.projects set name = name || '!'`)
  expect(await run('adopt', 'platform', 'down', '--dry-run', '--json')).toMatchObject({ code: 3 })
  expect((await run('adopt', 'platform', 'down', '--dry-run')).stdout).toMatch(
    /^The last step is swap\.\nIt is refused, because these rows of tenantry would be lost or are changed:\n- projects: \d+ changed\n$/,
  )
  await session.query(
    'update platform.projects p set name = s.name, updated_at = s.updated_at from platform_before.projects s where s.id = p.id',
  )
  expect(await runs('adopt', 'platform', 'down', '--dry-run')).toBe('The last step is swap.\n')
  for (const step of ['swap', 'prove', 'backfill', 'expand'])
    expect(await runs(...(down ?? []))).toBe(`Undone: ${step}.\n`)
  expect((await run(...(down ?? []))).stderr).toContain('run tenantry migrate down --all first')
  await runs(...(remove ?? []))
  expect(await runs(...(last ?? []))).toBe('Undone: move.\n')
  expect({ rows: await rowsOf(session, 'platform'), catalog: await catalogOf(session, 'platform') }).toEqual(before)
  expect(await functions()).toEqual(
    textsBefore.map((one) =>
      one.name === 'changed()' ? { ...one, text: expect.stringContaining('select 7::bigint') as unknown } : one,
    ),
  )
  expect(await runs('adopt', 'platform', 'down', '--yes')).toBe('There was nothing to undo.\n')
})

test('analyse ends with 3 while rows have no place, unless their table is named', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'unplaced', isLarge: false })
  await session.query(`update unplaced.projects set ref = 'x1' where ref = 'ref00000001'`)
  const { code, stdout } = await run('adopt', 'platform', 'analyse', '--schema', 'unplaced')
  expect(code).toBe(3)
  expect(stdout).toContain('To mend in the earlier tables, or to leave there with --leave:')
  expect((await run('adopt', 'platform', 'analyse', '--schema', 'unplaced', '--leave', 'projects')).code).toBe(0)
})
