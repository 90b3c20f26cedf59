import { expect, test } from 'vitest'
import { bootstrap } from '../../src/access/bootstrap.js'
import { proveStartup } from '../../src/access/startup-proof.js'
import { openSession, type Session } from '../../src/database/session.js'
import { declarationsOf } from '../../src/migrations/declarations.js'
import { platformMigrations } from '../../src/migrations/migrator.js'
import { platformTables } from '../../src/schema/tables.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, tenantry } from '../cli/command-line.js'

const database = useDatabase()

const isAvailable = async (name: string) =>
  (await database.admin.query('select from pg_available_extensions where name = $1', [name])).length > 0

async function asApplication<T>(work: (session: Session) => Promise<T>): Promise<T> {
  const session = await openSession({ url: database.appUrl })
  try {
    return await work(session)
  } finally {
    await session.close()
  }
}

test('bootstrap tells which extensions the application cannot use, and the grants that it prints are enough', async ({
  skip,
}) => {
  if (!(await isAvailable('citext'))) skip()
  const { admin } = database
  const declarations = await declarationsOf(platformTables, [platformMigrations])
  expect((await bootstrap(admin, declarations)).extensions).toEqual([])

  await admin.query('create schema tools')
  await admin.query('create extension citext schema tools')
  const compare = () => asApplication((session) => session.query(`select 'A'::tools.citext = 'a' as same`))
  await expect(compare()).rejects.toThrow('permission denied')
  const { extensions, done, remaining, advised } = await bootstrap(admin, declarations)
  expect({ done, remaining, advised }).toEqual({ done: [], remaining: [], advised: [] })
  expect(extensions).toEqual([
    {
      extension: 'citext',
      grants: [
        'grant usage on schema tools to tenantry_app, tenantry_system',
        containing(' to tenantry_app, tenantry_system'),
      ],
    },
  ])
  const { code, stdout } = await tenantry(['bootstrap'], { env: { DATABASE_ADMIN_URL: database.adminUrl } })
  expect(code).toBe(0)
  expect(stdout).toContain(
    'The application may not execute the functions of citext. If it calls them, run as their owner:',
  )

  for (const statement of extensions.flatMap(({ grants }) => grants)) {
    expect(stdout).toContain(`  ${statement};`)
    await admin.query(statement)
  }
  const same = () =>
    asApplication((session) =>
      session.query(
        `select 'A'::tools.citext operator(tools.=) 'a'::tools.citext as same, tools.regexp_match('A', 'a')`,
      ),
    )
  expect(await same()).toEqual([{ same: true, regexp_match: ['A'] }])
  expect((await bootstrap(admin, declarations)).extensions).toEqual([])
  expect(await asApplication((session) => proveStartup(session, declarations, { role: 'tenantry_app' }))).toEqual({
    faults: [],
    notes: [],
  })
  await admin.query('drop schema tools cascade')
})

test('no grant is suggested for functions that the extension itself restricts', async ({ skip }) => {
  if (!(await isAvailable('dblink'))) skip()
  const { admin } = database
  await admin.query('create extension dblink')
  const { extensions } = await bootstrap(admin, await declarationsOf(platformTables, [platformMigrations]))
  const offered = extensions.flatMap(({ grants }) => grants).join('\n')
  expect(offered).toContain('dblink(text)')
  expect(offered).not.toContain('dblink_connect_u')
  await admin.query('drop extension dblink')
})
