import { expect, test } from 'vitest'
import { openTenancy } from '../../src/tenancy.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { tenantry } from './command-line.js'

const database = useDatabase()

test('npx tenantry migrate up, npx tenantry seed and npx tenantry login create app_login make what openTenancy serves', async () => {
  const env = { DATABASE_ADMIN_URL: database.adminUrl }
  // Named so that the next run of the tests drops it.
  const url = new URL(database.appUrl)
  url.username = url.username.replace(/_app$/, '_readme')
  expect(await tenantry(['migrate', 'up'], { env })).toMatchObject({ code: 0 })
  expect(await tenantry(['seed'], { env })).toMatchObject({ code: 0 })
  const { code, stdout } = await tenantry(['login', 'create', url.username], { env })
  expect(code).toBe(0)
  url.password = /^password: (\S+)$/m.exec(stdout)?.[1] ?? ''

  const tenancy = await openTenancy({ url: url.href, keys: `test:${Buffer.alloc(32).toString('base64')}` })
  await tenancy.ping()
  await tenancy.close()
})
