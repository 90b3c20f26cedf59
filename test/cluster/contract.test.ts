import { randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { createOrganization } from '../../src/testing/fixtures.js'
import type { TestDatabase } from '../../src/testing/template.js'
import { isolationCase } from '../../src/testing/isolation-contract.js'
import { tenantry } from '../cli/command-line.js'
import { eachCase, projectsCase } from '../isolation/contract-cases.js'
import { clusterUrl, useCluster, whyWithoutCluster } from '../support/use-cluster.js'

const cluster = useCluster()
const cases = eachCase(isolationCase)
const walls = [
  ['both walls', undefined],
  ['row security alone', 'predicates'],
  ['the predicates alone', 'row security'],
] as const

describe.skipIf(clusterUrl === undefined)(`on a cluster${whyWithoutCluster}`, () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await cluster.newDatabase()
    const ran = await tenantry(['distribute'], { env: { DATABASE_ADMIN_URL: database.adminUrl } })
    expect(ran).toMatchObject({ code: 0 })
    // From now on a statement of the application that asks more than one shard is refused.
    const { username, pathname } = new URL(database.appUrl)
    await database.admin.query(
      `alter role ${username} in database ${pathname.slice(1)} set citus.multi_task_query_log_level = 'error'`,
    )
  })

  const optionsFor = (without: (typeof walls)[number][1]) => ({
    appUrl: database.appUrl,
    admin: database.admin,
    ...(without !== undefined && { without }),
  })

  test('a statement of the application that asks more than one shard is refused', async () => {
    const app = await cluster.session({ adminUrl: database.appUrl })
    await app.query('begin')
    await app.query('select platform.enter_org($1)', [await createOrganization(database.admin)])
    await expect(app.query('select count(*) from platform.agents')).rejects.toThrow('multi-task query')
    await app.query('rollback')
  })

  describe.each(walls)('%s', (_, without) => {
    test.each(cases.map((one) => [one.name, one] as const))('keep organizations apart in %s', async (_, one) => {
      expect(await one.faults(optionsFor(without))).toEqual([])
    })
  })

  test('without either wall a leak is found', async () => {
    const url = new URL(database.appUrl)
    const name = `${url.username}_bare_${randomBytes(4).toString('hex')}`
    url.username = name
    await database.admin.query(
      `create role ${name} login bypassrls in role tenantry_app password '${decodeURIComponent(url.password)}'`,
    )
    const found = await isolationCase(projectsCase).faults({ ...optionsFor('predicates'), appUrl: url.href })
    expect(found).toContain('OrgProjects.list: returned a row of another organization')
    expect(found).toContain('OrgProjects.update: changed the twin of another organization')
  })
})
