import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { tenantry } from './command-line.js'

const database = useDatabase()
const keys = `test:${Buffer.alloc(32).toString('base64')}`

test('npx tenantry migrate up, npx tenantry seed and npx tenantry login create app_login make what openTenancy serves', async () => {
  const env = { DATABASE_ADMIN_URL: database.adminUrl }
  // Named so that the next run of the tests drops it.
  const url = new URL(database.appUrl)
  url.username = url.username.replace(/_app$/, '_readme')
  expect(await tenantry(['migrate', 'up'], { env })).toMatchObject({ code: 0 })
  expect(await tenantry(['seed'], { env })).toMatchObject({ code: 0 })
  const { code, stdout } = await tenantry(['login', 'create', url.username], { env })
  expect(code).toBe(0)
  const [, printed = ''] = /^DATABASE_URL=(postgres:\/\/\S+)$/m.exec(stdout) ?? []
  expect(new URL(printed)).toMatchObject({ username: url.username, host: url.host, pathname: url.pathname })

  const orgId = await createOrganization(database.adminUrl, { name: 'Alpha' })
  const tenancy = await openTenancy({ url: printed, keys })
  expect(await tenancy.forOrg(orgId).agents.create({ name: 'Ada', username: 'ada' })).toMatchObject({ orgId })
  await tenancy.close()
})

test('npx tenantry login create app_jobs --system and npx tenantry org create acme --owner ada@acme.example make what it serves', async () => {
  const env = { DATABASE_ADMIN_URL: database.adminUrl }
  const name = new URL(database.appUrl).username.replace(/_app$/, '_jobs')
  expect(await tenantry(['seed'], { env })).toMatchObject({ code: 0 })
  const { stdout } = await tenantry(['login', 'create', name, '--system'], { env })
  const [, systemUrl = ''] = /^SYSTEM_DATABASE_URL=(postgres:\/\/\S+)$/m.exec(stdout) ?? []
  const around = { env: { SYSTEM_DATABASE_URL: systemUrl, TENANTRY_KEYS: keys } }
  const made = await tenantry(['org', 'create', 'acme', '--owner', 'ada@acme.example', '--json'], around)
  expect(made).toMatchObject({ code: 0, stderr: '' })
  const { organization } = made.json() as { organization: { id: string } }

  const tenancy = await openTenancy({ url: database.appUrl, keys })
  const org = tenancy.forOrg(organization.id)
  expect((await org.members.list()).items).toMatchObject([{ email: 'ada@acme.example', role: 'owner' }])
  await tenancy.close()
})

test('createOrganization makes one in an embedded database', async () => {
  const embedded = await mkdtemp(join(tmpdir(), 'tenantry-readme-'))
  expect(await tenantry(['migrate', 'up', '--embedded', embedded])).toMatchObject({ code: 0 })
  const orgId = await createOrganization({ embedded })
  const tenancy = await openTenancy({ embedded, keys })
  expect(await tenancy.forOrg(orgId).agents.list()).toMatchObject({ items: [] })
  await tenancy.close()
  await rm(embedded, { recursive: true })
})
