import { beforeAll, describe, expect, test } from 'vitest'
import { openTenancy } from '../../src/tenancy.js'
import type { TestDatabase } from '../../src/testing/template.js'
import { containing, tenantry } from '../cli/command-line.js'
import { keys } from '../support/use-teams.js'
import { clusterUrl, useCluster, whyWithoutCluster } from '../support/use-cluster.js'

const cluster = useCluster()

describe.skipIf(clusterUrl === undefined)(`a table apart from the others${whyWithoutCluster}`, () => {
  let database: TestDatabase
  let env: Record<string, string>
  beforeAll(async () => {
    database = await cluster.newDatabase()
    env = { DATABASE_ADMIN_URL: database.adminUrl }
    expect(await tenantry(['distribute'], { env })).toMatchObject({ code: 0 })
  })
  const open = () => openTenancy({ url: database.appUrl, systemUrl: database.systemUrl, keys })

  test('is refused by the proof and by distribute, until it is brought back', async () => {
    await (await open()).close()
    const apart = 'platform.audit_seals'
    await database.admin.query(`select undistribute_table('${apart}')`)
    await database.admin.query(`select create_distributed_table('${apart}', 'org_id', colocate_with => 'none')`)
    await expect(open()).rejects.toThrow(`${apart} is sharded by org_id, and not in one group with the other tables`)
    const refused = await tenantry(['distribute'], { env })
    expect(refused).toMatchObject({ code: 1, stderr: containing(`- ${apart}, sharded by org_id`) })
    await database.admin.query(`select undistribute_table('${apart}')`)
    expect(await tenantry(['distribute'], { env })).toMatchObject({ code: 0 })
    await (await open()).close()
  })
})
