import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TimeoutError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { moveProgress } from '../../src/migrations/move-tenant.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createOrganization, insertOrganization } from '../../src/testing/fixtures.js'
import type { TestDatabase } from '../../src/testing/template.js'
import { containing, copyOfExample, tenantry } from '../cli/command-line.js'
import { clusterUrl, useCluster, whyWithoutCluster } from '../support/use-cluster.js'
import { keys } from '../support/use-teams.js'

const cluster = useCluster()

interface Tenant {
  readonly id: string
  readonly slug: string
  readonly bytes: number | null
  readonly node: string
}

interface Report {
  readonly tenant: Tenant
  readonly done: readonly string[]
  readonly remaining: readonly string[]
}

describe.skipIf(clusterUrl === undefined)(`tenantry tenant${whyWithoutCluster}`, () => {
  let database: TestDatabase
  let tenancy: Tenancy
  beforeAll(async () => {
    database = await cluster.newDatabase()
    await ran('distribute')
    tenancy = await open()
  })
  afterAll(() => tenancy.close())

  const open = () => openTenancy({ url: database.appUrl, systemUrl: database.systemUrl, pool: { max: 6 }, keys })
  const tenant = (...args: string[]) =>
    tenantry(['tenant', ...args], { env: { DATABASE_ADMIN_URL: database.adminUrl } })
  const ran = async (...args: string[]) => {
    const found = await tenantry([...args, '--json'], { env: { DATABASE_ADMIN_URL: database.adminUrl } })
    expect(found, found.stderr).toMatchObject({ code: 0 })
    return found.json()
  }
  const changed = async (...args: string[]) => (await ran('tenant', ...args)) as Report
  const list = async () => ((await ran('tenant', 'list', '--limit', '1000')) as { tenants: Tenant[] }).tenants
  const listed = async (id: string) => (await list()).find((one) => one.id === id)
  const nodes = async () =>
    (
      await database.admin.query<{ node: string }>(
        `select nodename || ':' || nodeport as node from pg_dist_node where shouldhaveshards order by 1`,
      )
    ).map(({ node }) => node)
  const elsewhere = async (id: string) => {
    const { node } = (await listed(id)) ?? {}
    return (await nodes()).find((one) => one !== node) ?? ''
  }
  const shards = () => database.admin.query('select shardid from pg_dist_shard order by shardid')
  const contents = (table: string, id: string) =>
    database.admin.query(`select to_jsonb(t) as row from platform.${table} t where org_id = $1 order by id`, [id])

  async function newOrg(agents = 0) {
    const id = await createOrganization(database.admin)
    for (let n = 0; n < agents; n++) await tenancy.forOrg(id).agents.create({ name: `A${n}`, username: `a${n}` })
    return { id, slug: `org-${id}` }
  }

  test('list shows the organizations with the most rows first, with their nodes', async () => {
    const [small, large] = [await newOrg(1), await newOrg(3)]
    const found = await list()
    // Each agent has its audit entry.
    expect(found.find(({ id }) => id === large.id)).toMatchObject({ slug: large.slug, rows: 6, bytes: null })
    expect(found.find(({ id }) => id === small.id)).toMatchObject({ rows: 2 })
    const at = (wanted: string) => found.findIndex(({ id }) => id === wanted)
    expect(at(large.id)).toBeLessThan(at(small.id))
    expect(await nodes()).toContain(found[0]?.node)
    expect(await ran('tenant', 'list', '--limit', '1')).toMatchObject({ tenants: [found[0]], hasMore: true })
    const { stdout } = await tenant('list', '--limit', '1000')
    expect(stdout).toContain(`${large.slug}  ${large.id}  6 rows  ${found[at(large.id)]?.node}`)
  })

  test('is refused before the tables are distributed, for an unknown organization, and for an unknown node', async () => {
    const other = await cluster.newDatabase()
    const refused = await tenantry(['tenant', 'list'], { env: { DATABASE_ADMIN_URL: other.adminUrl } })
    expect(refused).toMatchObject({ code: 1, stderr: containing('run tenantry distribute') })
    expect(await tenant('isolate', 'Nobody')).toMatchObject({
      code: 1,
      stderr: containing('no organization has the slug or the id Nobody: see `tenantry tenant list`'),
    })
    expect(await tenant('isolate')).toMatchObject({ code: 2, stderr: containing('Name the organization') })
    const { slug } = await newOrg()
    expect(await tenant('move', slug, '--to', '10.0.0.9:5432', '--yes')).toMatchObject({
      code: 2,
      stderr: containing(`must be a node that takes shards: ${(await nodes()).join(' or ')}`),
    })
    expect(await tenant('list', '--limit', '0')).toMatchObject({ code: 2 })
  })

  test('an id is that of its organization, also where another one has it as its slug', async () => {
    const id = newId()
    const other = await createOrganization(database.admin)
    await database.admin.query('update platform.organizations set slug = $2 where id = $1', [other, id])
    await insertOrganization(database.admin, { id })
    const planned = await changed('isolate', id, '--dry-run')
    expect(planned.tenant).toMatchObject({ id, slug: `org-${id}` })
  })

  test('isolate gives an organization shards of its own, once; new tables are placed beside them', async () => {
    const [one, other] = [await newOrg(2), await newOrg(2)]
    const before = [await contents('agents', one.id), await contents('agents', other.id)]
    const all = await shards()
    const planned = await changed('isolate', one.slug, '--dry-run')
    expect(planned.done).toHaveLength(1)
    expect(await shards()).toEqual(all)

    const isolated = await changed('isolate', one.slug)
    expect(isolated).toMatchObject({ done: planned.done, remaining: [], tenant: { id: one.id } })
    expect(isolated.tenant.bytes).toBeGreaterThan(0)
    expect(await listed(one.id)).toMatchObject({ ...isolated.tenant, rows: 4 })
    expect(await tenant('isolate', one.id)).toMatchObject({
      code: 0,
      stdout: `${one.slug} has shards of its own already.\n`,
    })
    expect([await contents('agents', one.id), await contents('agents', other.id)]).toEqual(before)
    expect(await tenancy.forOrg(one.id).agents.count()).toBe(2)
    expect(await tenancy.forOrg(other.id).agents.count()).toBe(2)

    const cwd = copyOfExample()
    const env = { DATABASE_ADMIN_URL: database.adminUrl }
    expect(await tenantry(['migrate', 'up'], { env, cwd })).toMatchObject({ code: 0 })
    expect(await listed(one.id)).toMatchObject({ rows: 4 })
    expect(await tenantry(['migrate', 'down', '--set', 'own', '--all', '--yes'], { env, cwd })).toMatchObject({
      code: 0,
    })
    // The proof of the library alone refuses the records of other migrations.
    await database.admin.query('drop schema app_migrations cascade')
  })

  test('what the role may not do is printed, for somebody who may', async () => {
    const { slug } = await newOrg()
    const env = { DATABASE_ADMIN_URL: database.systemUrl }
    const isolate = (...args: string[]) => tenantry(['tenant', 'isolate', slug, ...args], { env })
    expect(await isolate()).toMatchObject({ code: 1, stderr: containing('must be owner of table') })
    const signature = 'isolate_tenant_to_new_shard(regclass, "any", text, citus.shard_transfer_mode)'
    await database.admin.query(`revoke execute on function ${signature} from public`)
    const denied = await isolate('--json')
    const { stdout } = await isolate()
    await database.admin.query(`grant execute on function ${signature} to public`)
    expect(denied.code).toBe(3)
    const { remaining, done } = denied.json() as Report
    expect(done).toEqual([])
    expect(stdout).toContain(`Run them as a role that may:\n  ${remaining[0]};`)
    await database.admin.query(remaining[0] ?? '')
    expect(await tenant('isolate', slug)).toMatchObject({ code: 0, stdout: containing('already') })
  })

  test('move asks before it isolates, and moves an organization once', async () => {
    const { id, slug } = await newOrg(2)
    const to = await elsewhere(id)
    const all = await shards()
    expect(await tenant('move', slug, '--to', to)).toMatchObject({
      code: 1,
      stderr: containing(
        'the writers of all organizations in these shards wait. Nothing was done: repeat it with --yes',
      ),
    })
    expect((await changed('move', slug, '--to', to, '--dry-run')).done).toHaveLength(2)
    expect(await shards()).toEqual(all)
    const there = (await listed(id))?.node ?? ''
    expect(await tenant('move', slug, '--to', there)).toMatchObject({
      code: 0,
      stdout: `${slug} is on ${there} already.\n`,
    })

    const moved = await changed('move', slug, '--to', to, '--yes')
    expect(moved.done).toHaveLength(2)
    expect(moved.tenant).toMatchObject({ id, node: to })
    expect(await changed('move', slug, '--to', to)).toMatchObject({ done: [], remaining: [] })
    // It has shards of its own, so there is nothing to ask.
    expect((await changed('move', slug, '--to', there)).done).toHaveLength(1)
    expect(await listed(id)).toMatchObject({ node: there })
  })

  test('the commands of docs/scaling.md do what they say', async () => {
    const { id } = await newOrg()
    await database.admin.query(`update platform.organizations set slug = 'acme' where id = $1`, [id])
    const to = await elsewhere(id)
    const [, block = ''] =
      /^```sh\n(npx tenantry tenant .*?)^```/ms.exec(await readFile('docs/scaling.md', 'utf8')) ?? []
    const commands = block.trim().split('\n')
    expect(commands).toHaveLength(3)
    for (const command of commands) {
      const args = command
        .replace(/^npx tenantry tenant /, '')
        .replace('10.0.0.3:5432', to)
        .split(' ')
      expect(await tenant(...args)).toMatchObject({ code: 0 })
    }
    expect(await listed(id)).toMatchObject({ slug: 'acme', node: to })
  })

  test('a move loses no write that was acknowledged meanwhile, and changes no other organization', async () => {
    const [one, other] = [await newOrg(1), await newOrg(5)]
    const tables = ['agents', 'audit_logs']
    const others = () => Promise.all(tables.map((table) => contents(table, other.id)))
    const [before, to, watcher] = [await others(), await elsewhere(one.id), await cluster.session(database)]
    const org = tenancy.forOrg(one.id)
    const located = { id: one.id, table: 'platform.agents' }
    let isMoving = true
    const [acknowledged, refused, progress] = [new Array<string>(), new Array<unknown>(), new Array<number>()]
    const writer = async () => {
      while (isMoving) {
        await org.agents.create({ name: 'Ada', username: newId() }).then(
          ({ id }) => acknowledged.push(id),
          (error: unknown) => refused.push(error),
        )
      }
    }
    const watch = async () => {
      while (isMoving) {
        const far = await moveProgress(watcher, located)
        if (far !== undefined) progress.push(far.done / far.total)
      }
    }
    const moving = changed('move', one.slug, '--to', to, '--yes').finally(() => (isMoving = false))
    const [moved] = await Promise.all([moving, watch(), writer(), writer(), writer(), writer()])
    expect(moved.tenant.node).toBe(to)
    expect(acknowledged.length).toBeGreaterThan(100)
    // While the organization is isolated they wait, on a busy machine until their time is over. What is refused then is not found below.
    expect(refused.filter((error) => !(error instanceof TimeoutError))).toEqual([])

    const found = (await contents('agents', one.id)) as { row: { id: string } }[]
    expect(new Set(found.map(({ row }) => row.id))).toEqual(new Set([...acknowledged, found[0]?.row.id]))
    expect(await org.agents.count()).toBe(acknowledged.length + 1)
    const entries = await database.admin.query(
      `select from platform.audit_logs where org_id = $1 and resource_id = any($2::text[])`,
      [one.id, acknowledged],
    )
    expect(entries).toHaveLength(acknowledged.length)
    expect(await others()).toEqual(before)
    expect(progress).not.toEqual([])
    expect(Math.max(...progress)).toBeLessThanOrEqual(1)

    // The walls stand on the new shards too, and the proof passes.
    const again = await open()
    const late = await again.forOrg(one.id).agents.create({ name: 'Late', username: 'late' })
    expect(await again.forOrg(one.id).agents.find(late.id)).toMatchObject({ name: 'Late' })
    expect(await again.forOrg(other.id).agents.find(acknowledged[0] ?? '')).toBeUndefined()
    expect(await Promise.resolve(again.forOrg(other.id).db.execute('select id from platform.agents'))).toHaveLength(5)
    await again.close()
  })
})
