import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { UnsafeRoleError } from '../../src/core/errors.js'
import { openTenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import type { TestDatabase } from '../../src/testing/template.js'
import { dumpCatalog } from '../../scripts/catalog/fingerprint.js'
import { containing, tenantry } from '../cli/command-line.js'
import { keys } from '../support/use-teams.js'
import { clusterUrl, useCluster, whyWithoutCluster } from '../support/use-cluster.js'

const cluster = useCluster()

interface Report {
  readonly tables: readonly { readonly name: string; readonly placement: string; readonly statement: string }[]
  readonly before: number
  readonly local: readonly { readonly name: string }[]
  readonly done: readonly string[]
  readonly remaining: readonly string[]
  readonly advised: readonly string[]
}

describe.skipIf(clusterUrl === undefined)(`tenantry distribute${whyWithoutCluster}`, () => {
  let database: TestDatabase
  let env: Record<string, string>
  let orgId: string
  beforeAll(async () => {
    database = await cluster.newDatabase()
    env = { DATABASE_ADMIN_URL: database.adminUrl }
    orgId = await createOrganization(database.admin)
    await database.admin.query(
      `insert into platform.agents (org_id, id, name, username) values ($1, gen_random_uuid(), 'Ada', 'ada')`,
      [orgId],
    )
  })

  const distribute = async (...args: string[]) => {
    const ran = await tenantry(['distribute', '--json', ...args], { env })
    expect(ran).toMatchObject({ code: 0, stderr: '' })
    return ran.json() as Report
  }
  const distributed = () => database.admin.query('select from pg_dist_partition')
  const open = () => openTenancy({ url: database.appUrl, systemUrl: database.systemUrl, pool: { max: 2 }, keys })

  test('prints the statements with --dry-run, and changes nothing', async () => {
    const planned = await distribute('--dry-run')
    expect(planned.tables).toHaveLength(48)
    expect(planned.done).toContainEqual(containing("set citus.propagate_set_commands = 'local'"))
    expect(await distributed()).toEqual([])
    const { stdout } = await tenantry(['distribute', '--dry-run'], { env })
    expect(stdout).toContain("select pg_catalog.create_distributed_table('platform.agents', 'org_id'")
  })

  test('before it, a database with the extension works as that of one server', async () => {
    const tenancy = await open()
    expect(await tenancy.forOrg(orgId).agents.count()).toBe(1)
    await tenancy.close()
  })

  test('is refused where a table is distributed in another way, and converts nothing', async () => {
    await database.admin.query('begin')
    await database.admin.query(`select create_reference_table('platform.audit_seals')`)
    const ran = await tenantry(['distribute'], { env, session: database.admin })
    await database.admin.query('rollback')
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain('- platform.audit_seals is a reference table, and should be sharded by org_id')
    expect(await distributed()).toEqual([])
  })

  test('is refused on a worker', async () => {
    const [worker] = await database.admin.query<{ host: string; port: number }>(
      'select nodename as host, nodeport as port from pg_dist_node where groupid <> 0 limit 1',
    )
    const url = new URL(database.adminUrl)
    url.hostname = worker?.host ?? ''
    url.port = String(worker?.port)
    const ran = await tenantry(['distribute'], { env: { DATABASE_ADMIN_URL: url.href } })
    expect(ran).toMatchObject({ code: 1, stderr: containing('this is a worker of the cluster') })
  })

  test('is refused as a role that row security binds', async () => {
    const ran = await tenantry(['distribute'], { env: { DATABASE_ADMIN_URL: database.appUrl } })
    expect(ran.code).toBe(1)
    expect(ran.stderr).toContain('row security binds this role in platform.')
  })

  test('distributes each table by its kind, and the rows that are there; a second run changes nothing', async () => {
    const first = await distribute()
    const kinds = new Map(first.tables.map(({ name, placement }) => [name, placement]))
    expect(kinds.size).toBe(48)
    expect(Object.fromEntries(kinds)).toMatchObject({
      'platform.agents': 'org_id',
      'platform.audit_logs': 'org_id',
      'platform.user_sessions': 'user_id',
      'platform.organizations': 'reference',
      'platform.subscriptions': 'reference',
      'platform.billing_plans': 'reference',
      'platform.users': 'reference',
    })
    expect(first).toMatchObject({ before: 0, remaining: [], advised: [] })
    expect(first.local.map(({ name }) => name)).toContain('platform.system_audit_logs')
    const groups = await database.admin.query(
      `select distinct colocationid from pg_dist_partition where partmethod = 'h' and column_to_column_name(logicalrelid, partkey) = 'org_id'`,
    )
    expect(groups).toHaveLength(1)
    expect(await distribute()).toMatchObject({ tables: [], before: 48, done: [], remaining: [], advised: [] })
  })

  test('leaves no copy of the rows on the coordinator', async () => {
    expect(await database.admin.query('select from platform.agents')).toHaveLength(1)
    const [size] = await database.admin.query(
      `select sum(pg_relation_size(logicalrelid))::int as bytes from pg_dist_partition where partmethod = 'h'`,
    )
    expect(size).toEqual({ bytes: 0 })
  })

  test('revokes on every node what would move a binding or run SQL elsewhere', async () => {
    const nodes = await database.admin.query<{ result: string }>(
      `select result from run_command_on_workers($$
         select count(*) from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
         where a.grantee = 0 and (p.proname in ('set_config', 'master_run_on_worker') or p.proname like 'run\\_command\\_on\\_%')$$)`,
    )
    expect(nodes.map(({ result }) => result)).toEqual(nodes.map(() => '0'))
    const app = await cluster.session({ adminUrl: database.appUrl })
    await expect(app.query("select run_command_on_workers('select 1')")).rejects.toThrow(
      'permission denied for function',
    )
  })

  test('a later run closes a node where they are open, such as one that was added', async () => {
    const { admin } = database
    await admin.query(
      `select run_command_on_workers('grant execute on function pg_catalog.set_config(text, text, boolean) to public')`,
    )
    expect((await distribute()).done).toEqual([containing('revoke execute on function pg_catalog.set_config')])
    expect(await distribute()).toMatchObject({ done: [], advised: [] })
  })

  test.each([
    'citus_run_local_command($1)',
    'worker_apply_shard_ddl_command(1, $1)',
    `worker_apply_shard_ddl_command(1, 'public', $1)`,
    `worker_apply_inter_shard_ddl_command(1, 'public', 2, 'public', $1)`,
    'alter_role_if_exists(session_user::text, $1)',
  ])('SQL text does not move the binding by %s, on the coordinator and on the workers', async (call) => {
    const other = await createOrganization(database.admin)
    const app = await cluster.session({ adminUrl: database.appUrl })
    for (const from of ['', `from platform.agents where org_id = '${orgId}'`]) {
      await app.query('begin')
      await app.query('select platform.enter_org($1)', [orgId])
      await expect(app.query(`select ${call} ${from}`, [`set local tenantry.org_id = '${other}'`])).rejects.toThrow(
        'permission denied for function',
      )
      await app.query('rollback')
    }
  })

  test('an owner who is no superuser changes tables on the nodes, and logins', async () => {
    const { username: member, password } = new URL(database.appUrl)
    const owner = `${member}_owner`
    await database.admin.query(`create role ${owner} login createrole password '${password}'`)
    await distribute()
    await database.admin.query('create table public.owned (org_id uuid, id uuid, primary key (org_id, id))')
    await database.admin.query(`select create_distributed_table('public.owned', 'org_id', colocate_with => 'none')`)
    await database.admin.query(`alter table public.owned owner to ${owner}`)
    const url = new URL(database.adminUrl)
    Object.assign(url, { username: owner, password })
    const session = await cluster.session({ adminUrl: url.href })
    await session.query('alter table public.owned add column name text')
    await session.query(`alter role ${owner} password '${password}'`)
    await database.admin.query('drop table public.owned')
    await database.admin.query(`drop owned by ${owner}`)
    await database.admin.query(`drop role ${owner}`)
  })

  test('afterwards organizations are kept apart, and writes and their audit entries reach the workers', async () => {
    const tenancy = await open()
    const [one, other] = [tenancy.forOrg(orgId), tenancy.forOrg(await createOrganization(database.admin))]
    const agent = await one.agents.create({ name: 'Eve', username: 'eve' })
    expect(await one.agents.find(agent.id)).toMatchObject({ name: 'Eve' })
    expect(await other.agents.find(agent.id)).toBeUndefined()
    expect(await Promise.resolve(other.db.execute('select * from platform.agents'))).toEqual([])
    await expect(
      other.transaction(async (inner) => inner.agents.update(agent.id, { name: 'Mallory' })),
    ).rejects.toThrow('not found')
    const entries = await database.admin.query(
      'select from platform.audit_logs where org_id = $1 and resource_id = $2',
      [orgId, agent.id],
    )
    expect(entries).toHaveLength(1)
    await tenancy.close()
  })

  test('the application is refused while a table is distributed in another way, or a setting is missing', async () => {
    const { admin } = database
    // The only one that can be brought back alone: it has no foreign keys.
    await admin.query(`select undistribute_table('platform.audit_seals')`)
    const refused = await open().catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(UnsafeRoleError)
    expect(String(refused)).toContain(
      'platform.audit_seals is on the coordinator alone, and should be sharded by org_id',
    )
    expect((await distribute()).tables.map(({ name }) => name)).toEqual(['platform.audit_seals'])

    const name = new URL(database.adminUrl).pathname.slice(1)
    await admin.query(`alter database ${name} reset citus.propagate_set_commands`)
    await admin.query(`alter database ${name} reset citus.multi_shard_modify_mode`)
    await expect(open()).rejects.toThrow(
      'citus.multi_shard_modify_mode = parallel; citus.propagate_set_commands = none',
    )
    expect((await distribute()).done).toHaveLength(2)
    await (await open()).close()
  })

  test('the commands of docs/scaling.md do what they say', { timeout: 300_000 }, async () => {
    const fresh = await cluster.newDatabase()
    const [, block = ''] = /^```sh\n(.*?)^```/ms.exec(await readFile('docs/scaling.md', 'utf8')) ?? []
    const commands = block.trim().split('\n')
    expect(commands).toHaveLength(3)
    for (const command of commands) {
      const args = command.replace(/^npx tenantry /, '').split(' ')
      expect(await tenantry(args, { env: { DATABASE_ADMIN_URL: fresh.adminUrl } })).toMatchObject({ code: 0 })
    }
    expect(
      await fresh.admin.query(`select from pg_dist_partition where logicalrelid = 'platform.agents'::regclass`),
    ).toHaveLength(1)
  })

  test('down to nothing, up again and distributed again, the catalog is the same', { timeout: 300_000 }, async () => {
    const before = await dumpCatalog(database.admin, { schemas: ['platform'] })
    expect(await tenantry(['migrate', 'down', '--all', '--yes'], { env })).toMatchObject({ code: 0 })
    expect(await tenantry(['migrate', 'up'], { env })).toMatchObject({ code: 0 })
    expect((await distribute()).tables).toHaveLength(48)
    expect(await dumpCatalog(database.admin, { schemas: ['platform'] })).toBe(before)
  })
})
