import { beforeAll, expect, test } from 'vitest'
import { seed } from '../../src/migrations/seed.js'
import { openTenancy } from '../../src/tenancy.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, tenantry } from './command-line.js'

const database = useDatabase()
const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`
let env: Record<string, string>
beforeAll(async () => {
  await seed(database.admin)
  env = { SYSTEM_DATABASE_URL: database.systemUrl, TENANTRY_KEYS: keys }
})

test('an organization is created once, listed, suspended and served again', async () => {
  expect(await tenantry(['org', 'list'], { env })).toMatchObject({
    code: 0,
    stdout: containing('There are no organizations'),
  })
  const create = ['org', 'create', 'acme', '--owner', 'ada@acme.example', '--name', 'Acme Inc']
  expect(await tenantry(create, { env })).toMatchObject({ code: 0, stdout: containing('Created acme  '), stderr: '' })
  expect(await tenantry(create, { env })).toMatchObject({ code: 0, stdout: containing('There is already acme  ') })
  expect(await tenantry([...create, '--external-id', 'c-1'], { env })).toMatchObject({
    code: 2,
    stderr: containing('the organization acme exists with other values: see tenantry org list, or give another slug'),
  })

  const listed = (await tenantry(['org', 'list', '--json'], { env })).json()
  expect(listed).toMatchObject({
    organizations: [{ slug: 'acme', name: 'Acme Inc', status: 'active' }],
    hasMore: false,
  })

  const suspended = await tenantry(['org', 'suspend', 'acme', '--reason', 'unpaid'], { env })
  expect(suspended).toMatchObject({ code: 0, stdout: containing('suspended (unpaid)') })
  expect(await tenantry(['org', 'reactivate', 'acme'], { env })).toMatchObject({
    code: 0,
    stdout: containing('active'),
  })

  const entries = await database.admin.query('select operation, reason from platform.system_audit_logs order by id')
  expect(entries.map(({ operation }) => operation)).toEqual([
    'organizations.list',
    'organizations.provision',
    'organizations.provision',
    'organizations.list',
    'organizations.findBySlug',
    'organizations.suspend',
    'organizations.findBySlug',
    'organizations.reactivate',
  ])
  expect(entries[5]).toEqual({ operation: 'organizations.suspend', reason: 'unpaid' })
})

test('wrong usage is told before anything is opened', async () => {
  expect(await tenantry(['org', 'create', 'acme'], { env })).toMatchObject({
    code: 2,
    stderr: containing('Pass either --owner <address> or --owner-id <id of a person>'),
  })
  expect(await tenantry(['org', 'create'], { env })).toMatchObject({
    code: 2,
    stderr: containing('Name the organization'),
  })
  expect(await tenantry(['org', 'suspend', 'acme'], { env })).toMatchObject({ code: 2, stderr: containing('reason') })
  expect(await tenantry(['org', 'list'])).toMatchObject({
    code: 2,
    stderr: containing('SYSTEM_DATABASE_URL: is not set'),
  })
})

test('what is wrong with the values or the login is said', async () => {
  const owner = ['--owner', 'eve@acme.example']
  expect(await tenantry(['org', 'create', 'No Slug', ...owner], { env })).toMatchObject({
    code: 2,
    stderr: containing('slug'),
  })
  expect(await tenantry(['org', 'create', 'fine', '--plan', 'none', ...owner], { env })).toMatchObject({
    code: 2,
    stderr: containing('plan: is not an active plan'),
  })
  expect(await tenantry(['org', 'suspend', 'nobody', '--reason', 'x'], { env })).toMatchObject({
    code: 1,
    stderr: containing('not found'),
  })
  expect(await tenantry(['org', 'list', '--url', database.appUrl])).toMatchObject({
    code: 1,
    stderr: containing('is not safe to serve organizations with'),
  })
})

test('a key is created for a service or a member, and opens the organization', async () => {
  const around = { env: { ...env, DATABASE_URL: database.appUrl } }
  await tenantry(['org', 'create', 'keyed', '--owner', 'keyed@acme.example'], around)
  const create = ['key', 'create', '--org', 'keyed', '--scopes', 'agents:read,agents:write']
  const made = await tenantry([...create, '--name', 'ci', '--role', 'developer'], around)
  expect(made).toMatchObject({ code: 0, stderr: '' })
  const [token = ''] = made.stdout.split('\n')

  const tenancy = await openTenancy({ url: database.appUrl, keys })
  const { org, actor } = await tenancy.authenticateApiKey(token)
  expect([...actor.permissions].sort()).toEqual(['agents:read', 'agents:write'])
  expect(await org.agents.count()).toBe(0)
  await tenancy.close()

  const beyond = ['key', 'create', '--org', 'keyed', '--scopes', 'agents:read,invoices:write', '--name', 'beyond']
  expect((await tenantry([...beyond, '--role', 'developer'], around)).stdout).toContain(
    'The key cannot use invoices:write: the role of its member does not have them.',
  )
  const nothing = ['key', 'create', '--org', 'keyed', '--scopes', 'invoices:write', '--name', 'nothing']
  expect(await tenantry([...nothing, '--role', 'developer'], around)).toMatchObject({
    code: 2,
    stderr: containing('--scopes: has none of the permissions that the role of the member has'),
  })
  // Nor is the service left that was made for it.
  const services = await database.admin.query(
    `select display_name from platform.organization_members where kind = 'service' and deleted_at is null order by 1`,
  )
  expect(services).toEqual([{ display_name: 'beyond' }, { display_name: 'ci' }])

  const owners = await tenantry(
    [...create, '--name', 'own', '--member', 'Keyed@acme.example', '--json', '--rate', '10'],
    around,
  )
  expect(owners.json()).toMatchObject({ apiKey: { name: 'own', rateLimitPerHour: 10 } })
  expect(await tenantry([...create, '--name', 'x'], around)).toMatchObject({
    code: 2,
    stderr: containing('Pass either --member <address of a member> or --role <role of a new service>'),
  })
  expect(await tenantry([...create, '--name', 'x', '--member', 'no@acme.example'], around)).toMatchObject({
    code: 2,
    stderr: containing('is not the address of a member'),
  })
  const elsewhere = [
    'key',
    'create',
    '--org',
    'nowhere',
    '--scopes',
    'agents:read',
    '--name',
    'x',
    '--role',
    'developer',
  ]
  expect(await tenantry(elsewhere, around)).toMatchObject({ code: 1, stderr: containing('organizations: not found') })
})
