import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { seed } from '../../src/migrations/seed.js'
import type { Org } from '../../src/org.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createUser } from '../../src/testing/fixtures.js'
import type { TestDatabase } from '../../src/testing/template.js'
import { tenantry } from '../cli/command-line.js'
import { addOlderKeys, killedRotation } from '../support/killed-rotation.js'
import { clusterUrl, useCluster, whyWithoutCluster } from '../support/use-cluster.js'
import { deskPermissions, deskWith, upgradeDesk } from '../support/use-desk.js'
import { keys } from '../support/use-teams.js'

const cluster = useCluster()
const fail = (): never => {
  throw new Error('there is no such row')
}
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
    const { username } = new URL(database.appUrl)
    await database.admin.query(`alter role ${username} set citus.multi_task_query_log_level = 'error'`)
    tenancy = await open(keys)
  })
  afterAll(() => tenancy.close())

  const open = (masterKeys: string) =>
    openTenancy({ url: database.appUrl, systemUrl: database.systemUrl, pool: { max: 4 }, keys: masterKeys })
  const systemOf = (opened: Tenancy) => opened.system({ actor: 'test', reason: 'a test' })

  const provision = async (key: string, by = tenancy) => {
    const asked = {
      key,
      name: key,
      slug: `org-${key}`,
      plan: 'tier_enterprise',
      owner: { email: `${key}@example.com` },
    }
    return (await systemOf(by).organizations.provision(asked)).organization
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

  const atOnce = <T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> =>
    Promise.all(Array.from({ length: count }, (_, index) => work(index)))

  /** Further processes: one has few connections of the system. */
  async function others(): Promise<Tenancy[]> {
    const opened = await atOnce(4, () => open(keys))
    onTestFinished(async () => {
      await Promise.all(opened.map((one) => one.close()))
    })
    return opened
  }

  test('twenty organizations are made at once, and one of twenty callers with one key', async () => {
    const processes = await others()
    const made = await atOnce(20, (index) => provision(newId(), processes[index % 4]))
    expect(new Set(made.map(({ id }) => id)).size).toBe(20)
    const key = newId()
    const same = await atOnce(20, (index) => provision(key, processes[index % 4]))
    expect(new Set(same.map(({ id }) => id)).size).toBe(1)
    // While other tables that are on every node change too.
    const [first] = made
    const org = tenancy.forOrg(first?.id ?? '')
    await atOnce(40, async (index): Promise<unknown> => {
      if (index % 4 === 0) return provision(newId(), processes[index % 3])
      if (index % 4 === 1) return org.subscription.update({ spendCapEnabled: index % 8 === 1 })
      if (index % 4 === 2) return org.roles.update('member', { name: `Member ${index}` })
      return tenancy.users.register({ email: `${newId()}@example.com` })
    })
  })

  test('two passes of maintenance, and two calls that fire the due schedules, share the work', async () => {
    const processes = await others()
    const organizations = await atOnce(6, () => provision(newId()))
    for (const { id } of organizations) {
      const org = tenancy.forOrg(id)
      const workflow = await org.workflows.create({ name: 'Report', slug: 'report' })
      await org.schedules.create({ workflowId: workflow.id, name: 'Hourly', cron: '0 * * * *', timezone: 'UTC' })
      await database.admin.query(
        `update platform.subscriptions set current_period_start = now() - interval '40 days', current_period_end = now() - interval '10 days' where org_id = $1`,
        [id],
      )
      await database.admin.query(
        `update platform.schedules set next_run_at = date_trunc('hour', now()) - interval '1 hour' where org_id = $1`,
        [id],
      )
      await database.admin.query(
        `insert into platform.idempotency_keys (org_id, id, key, actor, request_hash, expires_at)
         select $1, gen_random_uuid(), i::text, '', 'x', now() - interval '1 hour' from generate_series(1, 700) i returning 1`,
        [id],
      )
    }
    const swept = await atOnce(4, (index) => systemOf(processes[index] ?? fail()).maintenance.run())
    expect(swept.reduce((sum, { rows }) => sum + rows.subscriptions, 0)).toBe(6)
    expect(swept.reduce((sum, { rows }) => sum + rows.idempotencyKeys, 0)).toBe(4200)
    const passes = await atOnce(4, (index) => systemOf(processes[index] ?? fail()).schedules.fireDue())
    expect(passes.flatMap(({ failed }) => failed)).toEqual([])
    expect(passes.flatMap(({ fired }) => fired.map(({ orgId }) => orgId)).sort()).toEqual(
      organizations.map(({ id }) => id).sort(),
    )
  })

  test('rows of several organizations are locked at once by what seals, what has a limit and what manages', async () => {
    const organizations = await atOnce(5, () => provision(newId()))
    const orgs = organizations.map(({ id }) => tenancy.forOrg(id))
    const each = <T>(work: (org: Org, index: number) => PromiseLike<T>): Promise<T[]> =>
      atOnce(20, async (index) => work(orgs[index % orgs.length] ?? fail(), index))
    const projects = await each((org, index) => org.projects.create({ name: 'One', slug: `one-${index}` }))
    await atOnce(20, async (index) => {
      const { orgId, id } = projects[index] ?? fail()
      await tenancy.forOrg(orgId).projects.credentials.setDatabasePassword(id, 'x')
    })
    await each((org, index) => org.roles.create({ key: `role_${index}`, name: 'One', permissions: ['agents:read'] }))
    await each((org) => org.invitations.create({ email: `${newId()}@example.com`, role: 'member' }))
    await each((org, index) => org.members.addService({ name: `Bot ${index}`, role: 'member' }))
    for (const org of orgs) expect(await org.members.count({ kind: 'service' })).toBe(4)
  })

  test('a key changes members, until its person may not', async () => {
    const { id } = await provision(newId())
    const org = tenancy.forOrg(id)
    const [owner] = (await org.members.list({ role: 'owner' })).items
    const { permissions } = await org.actorFor(owner?.userId ?? '')
    const service = await org.members.addService({ name: 'Bot', role: 'admin' })
    const scopes = [...permissions]
    const { token } = await org.apiKeys.create({ userId: service.userId, name: 'ci', scopes })
    const { org: acting } = await tenancy.authenticateApiKey(token)
    const other = await org.members.addService({ name: 'Other', role: 'member' })
    expect(await acting.members.update(other.id, { displayName: 'Changed' })).toMatchObject({ displayName: 'Changed' })
    await org.members.deactivate(service.id)
    await expect(acting.members.update(other.id, { displayName: 'Again' })).rejects.toThrow('may no longer act')
  })

  test('a refresh token that is used again ends its session, with an entry', async () => {
    const userId = await createUser(database.admin)
    let { refreshToken } = await tenancy.forUser(userId).sessions.start()
    // More often than Postgres plans a prepared statement for its values.
    for (let times = 0; times < 8; times++) ({ refreshToken } = await tenancy.refreshSession(refreshToken))
    const next = await tenancy.refreshSession(refreshToken)
    await expect(tenancy.refreshSession(refreshToken)).rejects.toThrow('not accepted')
    await expect(tenancy.authenticateSession(next.token)).rejects.toThrow('not accepted')
    expect(
      await database.admin.query(
        'select event_type from platform.user_audit_logs where user_id = $1 order by created_at',
        [userId],
      ),
    ).toEqual([{ event_type: 'session.started' }, { event_type: 'session.refresh_reused' }])
  })

  test('a master key is retired with the keys, sessions and invitations of several organizations', async () => {
    const organizations = await atOnce(3, () => provision(newId()))
    for (const { id } of organizations) {
      const org = tenancy.forOrg(id)
      const service = await org.members.addService({ name: 'Bot', role: 'member' })
      await org.apiKeys.create({ userId: service.userId, name: 'ci', scopes: ['agents:read'] })
      await org.invitations.create({ email: `${newId()}@example.com`, role: 'member' })
      for (const table of ['api_keys', 'organization_invitations'])
        await database.admin.query(`update platform.${table} set pepper_id = 'old' where org_id = $1`, [id])
    }
    for (const userId of [await createUser(database.admin), await createUser(database.admin)]) {
      await tenancy.forUser(userId).sessions.start()
      await database.admin.query(`update platform.user_sessions set pepper_id = 'old' where user_id = $1`, [userId])
    }
    const retired = await systemOf(tenancy).keys.retire('old', { dropKeys: true })
    expect(retired).toMatchObject({ sessions: 2, invitations: 3 })
    expect(retired.apiKeys.map(({ orgId }) => orgId).sort()).toEqual(organizations.map(({ id }) => id).sort())
    const entries = await database.admin.query<{ events: string[] }>(
      `select array_agg(event_type order by event_type) as events from platform.audit_logs
       where event_type in ('api_keys.revoke', 'organization_invitations.revoke') and org_id = any($1) group by org_id`,
      [organizations.map(({ id }) => id)],
    )
    expect(entries).toEqual(
      organizations.map(() => ({ events: ['api_keys.revoke', 'organization_invitations.revoke'] })),
    )
  })

  test('tenantry key create makes a service with a key', async () => {
    const { slug } = await provision(newId())
    const env = { DATABASE_URL: database.appUrl, TENANTRY_KEYS: keys }
    const create = ['key', 'create', '--org', slug, '--name', 'ci', '--role', 'developer', '--scopes', 'agents:read']
    const ran = await tenantry(create, { env })
    expect(ran, ran.stderr).toMatchObject({ code: 0 })
    const { org } = await tenancy.authenticateApiKey(ran.stdout.split('\n')[0] ?? '')
    expect(await org.agents.count()).toBe(0)
  })

  test('a tenancy does not open while the database lacks permissions of its own', async () => {
    const own = await deskWith({ permissions: deskPermissions })
    await upgradeDesk(database.admin, own)
    const { appUrl: url } = database
    await (await openTenancy({ url, keys, own })).close()
    const more = { ...own, permissions: { ...deskPermissions, 'tickets:print': 'Print tickets' } }
    await expect(openTenancy({ url, keys, own: more })).rejects.toMatchObject({
      faults: [{ fault: 'permissions are not in the catalog', detail: 'tickets:print' }],
    })
  })
})
