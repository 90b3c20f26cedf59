import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import type { Session } from '../../src/database/session.js'
import { useCatalogs } from '../support/use-desk.js'
import { keys } from '../support/use-teams.js'
import { containing, copyOfExample, tenantry } from './command-line.js'

const newDatabase = useCatalogs()
let project: string
beforeEach(() => {
  project = copyOfExample()
})

const edit = (from: string, to: string) => {
  const file = join(project, 'src/permissions.ts')
  const before = readFileSync(file, 'utf8')
  expect(before).toContain(from)
  writeFileSync(file, before.replace(from, to))
}

const holders = async (admin: Session, slug: string): Promise<string[]> =>
  (
    await admin.query<{ held: string }>(
      `select role_key || ' ' || permission as held
       from platform.role_permissions p join platform.organizations o on o.id = p.org_id
       where o.slug = $1 and permission ~ '^tickets' order by 1`,
      [slug],
    )
  ).map(({ held }) => held)

test('up brings the permissions of the config, org create gives them, and what is dropped is told', async () => {
  const { admin, adminUrl, systemUrl } = await newDatabase()
  const env = { DATABASE_ADMIN_URL: adminUrl, SYSTEM_DATABASE_URL: systemUrl, TENANTRY_KEYS: keys }
  const run = (...args: string[]) => tenantry(args, { cwd: project, env })

  expect(await run('migrate', 'up')).toMatchObject({
    code: 0,
    stdout: containing('New permissions: tickets:read, tickets:write.\n'),
  })
  await run('seed')
  expect(await run('org', 'create', 'acme', '--owner', 'ada@acme.example')).toMatchObject({ code: 0 })
  expect(await holders(admin, 'acme')).toEqual([
    'admin tickets:read',
    'admin tickets:write',
    'member tickets:read',
    'owner tickets:read',
    'owner tickets:write',
  ])

  expect(await run('migrate', 'verify')).toMatchObject({ code: 0 })
  edit("member: ['tickets:read']", "customer: ['tickets:read']")
  expect(await run('migrate', 'verify')).toMatchObject({
    code: 3,
    stdout:
      'permission tickets:read: in the database it belongs to admin, member, owner, and in the config to admin, customer, owner; ' +
      'run `npx tenantry migrate up`\n',
  })
  expect(await run('migrate', 'up')).toMatchObject({
    code: 0,
    stdout: containing('Permissions of built-in roles: 1 given, 1 taken, in all organizations.\n'),
  })

  edit(", 'tickets:write': 'Change tickets'", '')
  await admin.query(
    `with made as (
       insert into platform.roles (org_id, id, key, name) select id, gen_random_uuid(), 'support', 'Support' from platform.organizations
       returning org_id
     )
     insert into platform.role_permissions (org_id, role_key, permission) select org_id, 'support', 'tickets:write' from made`,
  )
  expect(await run('migrate', 'up')).toMatchObject({
    code: 0,
    stdout: containing(
      'Kept, but not in your config any more: tickets:write. To remove them, run migrate up --drop-permissions.\n',
    ),
  })
  expect(await holders(admin, 'acme')).toContain('owner tickets:write')
  expect(await run('migrate', 'up', '--drop-permissions')).toMatchObject({
    code: 0,
    stdout: containing(
      "Permissions removed: tickets:write.\nRoles of the organizations' own that lost them: 1\n  support of acme: tickets:write\n",
    ),
  })
  expect(await holders(admin, 'acme')).toEqual(['admin tickets:read', 'customer tickets:read', 'owner tickets:read'])

  expect(await run('migrate', 'down')).toMatchObject({
    code: 1,
    stderr: containing('This removes the permissions tickets:read from every role.'),
  })
  expect(await run('migrate', 'down', '--yes')).toMatchObject({
    code: 0,
    stdout: containing('Migrations undone: 1.\nPermissions removed: tickets:read.\n'),
  })
  expect(await holders(admin, 'acme')).toEqual([])
  expect(await run('migrate', 'verify')).toMatchObject({ code: 3 })
})

test('migrate up by the login of the application says whose url is needed', async () => {
  const { appUrl } = await newDatabase()
  expect(await tenantry(['migrate', 'up'], { cwd: project, env: { DATABASE_URL: appUrl } })).toMatchObject({
    code: 1,
    stderr: containing('the role that owns the tables: its url belongs in DATABASE_ADMIN_URL'),
  })
})

test.for([
  ["'tickets:read': 'See tickets'", "'Tickets': 'See tickets'", 'permissions: Tickets must be two words'],
  ["'tickets:read': 'See tickets'", "'agents:read': 'See'", 'permissions: agents:read is a permission of the library'],
  ['member:', 'members:', 'roles: members is not a built-in role: there are developer, manager'],
  ["member: ['tickets:read']", "member: ['tickets:raed']", 'roles.member: tickets:raed is not in permissions'],
  ["member: ['tickets:read']", "member: 'tickets:read'", 'roles.member'],
] as const)('every command refuses a config with %s as %s', async ([from, to, message]) => {
  edit(from, to)
  for (const command of [['check'], ['migrate', 'status']]) {
    const { code, stderr } = await tenantry(command, { cwd: project })
    expect(code).not.toBe(0)
    expect(stderr).toContain(`${join(project, 'tenantry.config.ts')} ${message}`)
  }
})

test('check finds a table whose permissions are in no catalog, which openTenancy would refuse', async () => {
  edit("'tickets:read': 'See tickets', 'tickets:write': 'Change tickets'", "'offers:read': 'See offers'")
  edit("member: ['tickets:read']", '')
  expect(await tenantry(['check'], { cwd: project })).toMatchObject({
    code: 3,
    stdout: containing(
      'permission: a repository over helpdesk.tickets asks for tickets:read and tickets:write, and neither is a permission',
    ),
  })
})

test('proof finds permissions that no migrate up has brought, and org refuses to work without them', async () => {
  const { adminUrl, appUrl, systemUrl } = await newDatabase()
  const env = { DATABASE_ADMIN_URL: adminUrl, DATABASE_URL: appUrl, SYSTEM_DATABASE_URL: systemUrl }
  const run = (...args: string[]) => tenantry(args, { cwd: project, env })
  await run('migrate', 'up')
  expect(await run('proof')).toMatchObject({ code: 0 })
  edit("'tickets:write': 'Change tickets'", "'tickets:write': 'Change tickets', 'tickets:print': 'Print tickets'")
  expect(await run('proof')).toMatchObject({
    code: 3,
    stdout: containing('- permissions are not in the catalog: tickets:print\n  mend: npx tenantry migrate up\n'),
  })
  expect(await run('org', 'list')).toMatchObject({
    code: 1,
    stderr: containing('permissions are not in the catalog: tickets:print'),
  })
})
