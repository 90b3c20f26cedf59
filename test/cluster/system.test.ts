import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { seed } from '../../src/migrations/seed.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import type { TestDatabase } from '../../src/testing/template.js'
import { tenantry } from '../cli/command-line.js'
import { addOlderKeys, killedRotation } from '../support/killed-rotation.js'
import { clusterUrl, useCluster, whyWithoutCluster } from '../support/use-cluster.js'
import { keys } from '../support/use-teams.js'

const cluster = useCluster()
const both = `new:${Buffer.alloc(32, 9).toString('base64')},${keys}`

describe.skipIf(clusterUrl === undefined)(`operations of the system on a cluster${whyWithoutCluster}`, () => {
  let database: TestDatabase
  let tenancy: Tenancy
  beforeAll(async () => {
    database = await cluster.newDatabase()
    expect(await tenantry(['distribute'], { env: { DATABASE_ADMIN_URL: database.adminUrl } })).toMatchObject({
      code: 0,
    })
    await seed(database.admin)
    tenancy = await open(keys)
  })
  afterAll(() => tenancy.close())

  const open = (masterKeys: string) =>
    openTenancy({ url: database.appUrl, systemUrl: database.systemUrl, pool: { max: 4 }, keys: masterKeys })
  const systemOf = (opened: Tenancy) => opened.system({ actor: 'test', reason: 'a test' })

  const provision = async (key: string) => {
    const asked = {
      key,
      name: key,
      slug: `org-${key}`,
      plan: 'tier_enterprise',
      owner: { email: `${key}@example.com` },
    }
    return (await systemOf(tenancy).organizations.provision(asked)).organization
  }

  // A process of its own is started and killed.
  test('the master key is replaced by the next run where one was killed between two batches', async () => {
    const organizations = [await provision(newId()), await provision(newId()), await provision(newId())]
    const secrets = new Map<string, string>()
    for (const { id: orgId } of organizations) {
      const org = tenancy.forOrg(orgId)
      const project = await org.projects.create({ name: 'One', slug: 'one' })
      await org.projects.credentials.setDatabasePassword(project.id, orgId)
      secrets.set(orgId, project.id)
      await addOlderKeys(database, { keys, orgId, count: 40 })
    }
    await killedRotation(database, { keys: both, what: 'master', moment: 0 })
    const env = { DATABASE_URL: database.appUrl, SYSTEM_DATABASE_URL: database.systemUrl, TENANTRY_KEYS: both }
    const statusOf = async () => {
      const ran = await tenantry(['keys', 'status', '--json'], { env })
      expect(ran, ran.stderr).toMatchObject({ code: 0 })
      return (ran.json() as { keys: unknown[] }).keys
    }
    expect(await statusOf()).toMatchObject([
      { id: 'new', dataKeys: 100, isActive: true, isRight: true },
      { id: 'test', dataKeys: 23, isActive: false, isRight: true },
    ])
    const ran = await tenantry(['keys', 'rotate', '--master', '--json'], { env })
    expect(ran, ran.stderr).toMatchObject({ code: 0 })
    expect(ran.json()).toMatchObject({ keys: 23, left: 0, isComplete: true })
    expect(await statusOf()).toMatchObject([
      { id: 'new', dataKeys: 123 },
      { id: 'test', dataKeys: 0 },
    ])
    const next = await open(both)
    for (const [orgId, projectId] of secrets) {
      const revealed = await next.forOrg(orgId).projects.credentials.revealDatabasePassword(projectId)
      expect(revealed?.reveal()).toBe(orgId)
    }
    // One for each organization of a batch: the keys of the last one are in both.
    const entries = await database.admin.query<{ count: number }>(
      `select count(*)::int as count from platform.audit_logs where event_type = 'org_keys.rewrap' group by org_id`,
    )
    expect(entries.map(({ count }) => count).sort()).toEqual([1, 1, 2])
    await next.close()
  })
})
