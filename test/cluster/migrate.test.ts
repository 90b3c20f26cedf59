import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { dumpCatalog } from '../../scripts/catalog/fingerprint.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import type { TestDatabase } from '../../src/testing/template.js'
import { copyOfExample, tenantry } from '../cli/command-line.js'
import { clusterUrl, useCluster, whyWithoutCluster } from '../support/use-cluster.js'

const cluster = useCluster()

interface Report {
  readonly applied: readonly { readonly tag: string }[]
  readonly placed: readonly { readonly name: string; readonly placement: string }[]
}

describe.skipIf(clusterUrl === undefined)(`tenantry migrate up on a cluster${whyWithoutCluster}`, () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await cluster.newDatabase()
    await run(['distribute'])
  })

  const tenantryOn = (args: string[], cwd?: string, { adminUrl }: Pick<TestDatabase, 'adminUrl'> = database) =>
    tenantry(args, { env: { DATABASE_ADMIN_URL: adminUrl }, ...(cwd !== undefined && { cwd }) })
  const run = async (args: string[], cwd?: string, on?: Pick<TestDatabase, 'adminUrl'>) => {
    const ran = await tenantryOn([...args, '--json'], cwd, on)
    expect(ran, ran.stderr).toMatchObject({ code: 0 })
    return ran.json()
  }
  const up = async (cwd?: string, on?: TestDatabase) => (await run(['migrate', 'up'], cwd, on)) as Report
  const undoOwn = (cwd: string) => run(['migrate', 'down', '--set', 'own', '--all', '--yes'], cwd)
  const catalog = (schema: string, on = database) => dumpCatalog(on.admin, { schemas: [schema] })
  const placementOf = (table: string) =>
    database.admin.query(
      `select column_to_column_name(logicalrelid, partkey) as by from pg_dist_partition where logicalrelid = $1::text::regclass`,
      [table],
    )

  test('places nothing before the first distribute, and new tables afterwards as distribute would', async () => {
    const [cwd, other] = [copyOfExample(), await cluster.newDatabase()]
    expect(await up(cwd, other)).toMatchObject({ applied: [{ tag: '0000_tickets' }], placed: [] })
    expect(await other.admin.query('select from pg_dist_partition')).toEqual([])
    expect(await run(['distribute'], cwd, other)).toMatchObject({ before: 0 })

    expect(await up(cwd)).toMatchObject({
      applied: [{ tag: '0000_tickets' }],
      placed: [{ name: 'helpdesk.tickets', placement: 'org_id' }],
    })
    expect(await placementOf('helpdesk.tickets')).toEqual([{ by: 'org_id' }])
    expect(await catalog('helpdesk')).toBe(await catalog('helpdesk', other))
    expect(await run(['distribute'], cwd)).toMatchObject({ tables: [], before: 49 })
    await undoOwn(cwd)
    const { stdout } = await tenantryOn(['migrate', 'up'], cwd)
    expect(stdout).toContain('Tables placed on the nodes of the cluster: 1.\n  helpdesk.tickets (sharded by org_id)')
    await undoOwn(cwd)
  })

  test.each(['', '-- no-transaction\n'])(
    'a table without foreign keys is placed with its rows at the end: %j',
    async (first) => {
      const cwd = copyOfExample()
      const orgId = await createOrganization(database.admin)
      const statements = [
        'create schema helpdesk',
        `create table helpdesk.tickets (org_id uuid not null, id uuid default gen_random_uuid(), subject text, primary key (org_id, id))`,
        `insert into helpdesk.tickets (org_id, subject) select id, 'kept' from platform.organizations`,
      ]
      writeFileSync(join(cwd, 'drizzle', '0000_tickets.sql'), first + statements.join(';\n--> statement-breakpoint\n'))
      expect((await up(cwd)).placed.map(({ name }) => name)).toEqual(['helpdesk.tickets'])
      expect(await placementOf('helpdesk.tickets')).toEqual([{ by: 'org_id' }])
      expect(await database.admin.query('select subject from helpdesk.tickets where org_id = $1', [orgId])).toEqual([
        { subject: 'kept' },
      ])
      await undoOwn(cwd)
    },
  )

  test('after a partial down, up places again what it recreates', { timeout: 300_000 }, async () => {
    const before = await catalog('platform')
    await run(['migrate', 'down', '--to', '2', '--yes'])
    expect(await placementOf('platform.organizations')).toHaveLength(1)
    const { placed } = await up()
    expect(placed.map(({ name }) => name)).toContain('platform.agents')
    expect(await run(['distribute'])).toMatchObject({ tables: [], before: 48 })
    expect(await catalog('platform')).toBe(before)
  })
})
