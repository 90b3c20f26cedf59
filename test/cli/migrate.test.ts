import { beforeAll, describe, expect, test } from 'vitest'
import { useDatabase } from '../../src/testing/vitest.js'
import { useEmptyDatabases } from '../migrations/empty-database.js'
import { containing, example, tenantry } from './command-line.js'

const emptyDatabase = useEmptyDatabases()
const database = useDatabase()

let env: Record<string, string>
beforeAll(() => {
  env = { DATABASE_ADMIN_URL: database.adminUrl }
})

const migrate = (...args: string[]) => tenantry(['migrate', ...args], { cwd: example, env })

describe('on an empty database', () => {
  test('up makes all of it, and again nothing; status and verify tell before and after', async () => {
    const { url, session } = await emptyDatabase()
    const here = (...args: string[]) =>
      tenantry(['migrate', ...args], {
        cwd: example,
        env: { DATABASE_ADMIN_URL: url, DATABASE_URL: 'postgres://no.where/x' },
      })

    expect(await here('status')).toMatchObject({
      code: 0,
      stdout: containing('own: 0 applied, 1 pending'),
    })
    expect(await here('verify')).toMatchObject({
      code: 3,
      stdout: expect.stringMatching(
        /^tenantry: none of the \d+ migrations is applied: run npx tenantry migrate up\nown: .*0000_tickets.sql is not applied: run npx tenantry migrate up\n$/,
      ) as string,
    })
    expect(await tenantry(['seed'], { env: { DATABASE_ADMIN_URL: url } })).toMatchObject({
      code: 1,
      stderr: containing('run npx tenantry migrate up first'),
    })

    const up = await here('up')
    expect(up).toMatchObject({ code: 0, stderr: '' })
    const lines = up.stdout.split('\n')
    expect(lines.indexOf('tenantry 0000_isolation applied')).toBe(0)
    expect(lines.indexOf('own 0000_tickets applied')).toBeGreaterThan(lines.indexOf('tenantry 0007_audit applied'))
    const [rights] = await session.query(
      `select has_table_privilege('tenantry_app', 'helpdesk.tickets', 'insert') as app,
         has_table_privilege('tenantry_system', 'helpdesk.tickets', 'delete') as system,
         (select count(*)::int from platform.permissions) > 40 as permissions`,
    )
    expect(rights).toEqual({ app: true, system: true, permissions: true })

    expect((await here('up', '--json')).json()).toEqual({
      applied: [],
      bootstrap: { done: [], remaining: [], advised: [], extensions: [] },
      permissions: [],
      placed: [],
      formerPermissions: [],
      removedPermissions: [],
      rolesThatLost: [],
    })
    expect(await here('verify')).toMatchObject({ code: 0 })
    expect((await here('status', '--json')).json()).toMatchObject({
      sets: [
        { set: 'tenantry', faults: [] },
        { set: 'own', migrations: [{ tag: '0000_tickets', state: 'applied' }] },
      ],
    })
  })
})

describe('down', () => {
  test('does nothing without a terminal and without --yes, and says what it would do', async () => {
    await migrate('up')
    const refused = await migrate('down', '--all')
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toContain('own 0000_tickets, tenantry 00')
    expect(refused.stderr).toContain('--yes')
    expect((await migrate('down', '--json')).json()).toEqual({
      error: { code: 'migration', message: containing('own 0000_tickets and drops what they created') },
    })
    expect(await migrate('verify')).toMatchObject({ code: 0 })
  })

  test('takes back the last one, of the own tables before those of the library; up brings it again', async () => {
    await migrate('up')
    expect((await migrate('down', '--yes', '--json')).json()).toEqual({
      undone: [{ set: 'own', tag: '0000_tickets' }],
      removedPermissions: ['tickets:read', 'tickets:write'],
      rolesThatLost: [],
    })
    const { undone } = (await migrate('down', '--yes', '--json')).json() as {
      undone: { set: string; tag: string }[]
    }
    expect(undone).toEqual([{ set: 'tenantry', tag: expect.stringMatching(/^\d{4}_/) as string }])
    const tag = undone[0]?.tag ?? ''
    const { stdout } = await migrate('up')
    expect(stdout).toContain(`tenantry ${tag} applied\nown 0000_tickets applied\n`)
    expect(await migrate('verify')).toMatchObject({ code: 0 })
  })

  test('goes to a migration of one set, by its name or its number', async () => {
    await migrate('up')
    expect(await migrate('down', '--set', 'own', '--to', '0000_tickets', '--yes')).toMatchObject({
      code: 0,
      stdout: 'There was nothing to undo.\n',
    })
  })

  test('a target that does not exist is refused, and no question lists what would be undone', async () => {
    await migrate('up')
    for (const further of [['--yes'], []]) {
      expect(await migrate('down', '--set', 'own', '--to', '7', ...further)).toMatchObject({
        code: 1,
        stderr: 'there is no migration 7\n',
      })
    }
  })
})

describe('which migrations', () => {
  test('a target belongs to one set, which must be named', async () => {
    expect(await migrate('up', '--to', '3')).toMatchObject({
      code: 2,
      stderr: containing('tenantry or own'),
    })
    expect(await migrate('up', '--set', 'nobody')).toMatchObject({
      code: 2,
      stderr: containing('tenantry or own'),
    })
    expect(await migrate('down', '--all', '--to', '3')).toMatchObject({ code: 2 })
    expect(await migrate('up', '--set', 'tenantry', '--to', '0001_people')).toMatchObject({ code: 0 })
  })

  test('a file that was edited after it was applied stops everything', async () => {
    await migrate('up')
    const hash = 'app_migrations.migrations set hash = reverse(hash)'
    await database.admin.query(`update ${hash}`)
    for (const args of [['status'], ['verify']]) {
      expect(await migrate(...args)).toMatchObject({
        code: 3,
        stdout: containing('0000_tickets.sql was edited'),
      })
    }
    expect(await migrate('up')).toMatchObject({
      code: 1,
      stderr: containing('0000_tickets.sql was edited'),
    })
    await database.admin.query(`update ${hash}`)
  })
})

test('an owner who is no superuser does what it may, and prints the rest', async () => {
  const url = new URL(database.appUrl)
  const owner = url.username.replace(/_app$/, '_cliowner')
  await database.admin.query(`create role ${owner} login password '${url.password}'`)
  const { url: adminUrl, session } = await emptyDatabase()
  const name = new URL(adminUrl).pathname.slice(1)
  await session.query(`alter database ${name} owner to ${owner}`)
  url.username = owner
  url.pathname = `/${name}`
  const { code, stdout } = await tenantry(['migrate', 'up', '--set', 'tenantry'], { env: { DATABASE_URL: url.href } })
  expect(code).toBe(0)
  expect(stdout).toContain('Only a superuser may run it')
  expect(stdout).toContain('  revoke execute on function pg_catalog.set_config(text, text, boolean) from public;')
})
