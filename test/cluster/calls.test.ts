import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import { seed } from '../../src/migrations/seed.js'
import type { Org } from '../../src/org.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { createUser } from '../../src/testing/fixtures.js'
import type { TestDatabase } from '../../src/testing/template.js'
import { tenantry } from '../cli/command-line.js'
import { clusterUrl, useCluster, whyWithoutCluster } from '../support/use-cluster.js'
import { keys } from '../support/use-teams.js'

const cluster = useCluster()

describe.skipIf(clusterUrl === undefined)(`calls on a cluster${whyWithoutCluster}`, () => {
  let database: TestDatabase
  let env: Record<string, string>
  let tenancy: Tenancy
  beforeAll(async () => {
    database = await cluster.newDatabase()
    env = { DATABASE_ADMIN_URL: database.adminUrl }
    expect(await tenantry(['distribute'], { env })).toMatchObject({ code: 0 })
    await seed(database.admin)
    tenancy = await openTenancy({ url: database.appUrl, systemUrl: database.systemUrl, pool: { max: 4 }, keys })
  })
  afterAll(() => tenancy.close())

  const system = () => tenancy.system({ actor: 'test', reason: 'a test' })
  const count = async (table: string, where: string, values: unknown[]): Promise<number> => {
    const [row] = await database.admin.query<{ count: number }>(
      `select count(*)::int as count from platform.${table} where ${where}`,
      values,
    )
    return row?.count ?? -1
  }
  const entries = (org: Org, event: string) => count('audit_logs', 'org_id = $1 and event_type = $2', [org.id, event])

  async function newOrg(): Promise<{ org: Org; owner: string }> {
    const [key, owner] = [newId(), await createUser(database.admin)]
    const asked = { key, name: key, slug: `org-${key}`, plan: 'tier_enterprise', owner: { userId: owner } }
    const { organization } = await system().organizations.provision(asked)
    return { org: tenancy.forOrg(organization.id), owner }
  }

  test('roles are made, changed, deleted and made again, each with its entry', async () => {
    const { org } = await newOrg()
    const before = await entries(org, 'roles.create')
    const made = await org.roles.create({ key: 'support', name: 'Support', permissions: ['agents:read'] })
    expect(made).toMatchObject({ key: 'support', isBuiltIn: false })
    expect(await org.roles.grant('support', 'agents:write')).toEqual(['agents:read', 'agents:write'])
    await org.roles.update('member', { name: 'Renamed' })
    await org.roles.delete('support')
    expect(await org.roles.create({ key: 'support', name: 'Again' })).toMatchObject({ id: made.id, name: 'Again' })
    expect((await entries(org, 'roles.create')) - before).toBe(2)
    expect(await org.roles.count({ isBuiltIn: true })).toBeGreaterThan(5)
    await expect(org.roles.delete('member')).rejects.toThrow('a built-in role cannot be deleted')
  })

  test('the application makes no built-in role', async () => {
    const { org } = await newOrg()
    const forged = org.db.execute(
      `insert into platform.roles (org_id, id, key, name, built_in) values ('${org.id}', gen_random_uuid(), 'forged', 'Forged', true)`,
    )
    await expect(Promise.resolve(forged)).rejects.toThrow('the database refused the statement')
    expect(await count('roles', `org_id = $1 and key = 'forged'`, [org.id])).toBe(0)
  })

  test('a service is added with its entry, and has keys', async () => {
    const { org } = await newOrg()
    const service = await org.members.addService({ name: 'Bot', role: 'member' })
    expect(service).toMatchObject({ kind: 'service', displayName: 'Bot', orgId: org.id })
    expect(await entries(org, 'organization_members.addService')).toBe(1)
    expect(await count('users', `id = $1 and kind = 'service'`, [service.userId])).toBe(1)
    const { token } = await org.apiKeys.create({ userId: service.userId, name: 'ci', scopes: ['agents:read'] })
    const { actor } = await tenancy.authenticateApiKey(token)
    expect(actor).toMatchObject({ kind: 'api_key' })
  })

  test('nothing is left of a service where the transaction fails', async () => {
    const { org } = await newOrg()
    const failed = org.transaction(async (inner) => {
      await inner.members.addService({ name: 'Bot', role: 'member' })
      throw new Error('after all')
    })
    await expect(failed).rejects.toThrow('after all')
    expect(await org.members.count({ kind: 'service' })).toBe(0)
  })

  test('the subscription changes in every way', async () => {
    const { org } = await newOrg()
    expect(await org.subscription.changePlan('tier_free')).toMatchObject({ planId: 'tier_free' })
    await expect(org.subscription.changePlan('no_plan')).rejects.toThrow('is not an active plan of the catalog')
    expect(await org.subscription.cancel()).toMatchObject({ cancelAtPeriodEnd: true })
    expect(await org.subscription.resume()).toMatchObject({ cancelAtPeriodEnd: false })
    expect(await org.subscription.update({ spendCapEnabled: false })).toMatchObject({ spendCapEnabled: false })
  })

  test('invoices are numbered without gaps by callers at once, and paid in parts', async () => {
    const { org } = await newOrg()
    const lines = [{ description: 'seats', quantity: '1', unitAmount: '2' }]
    const drafts = await Promise.all([1, 2, 3].map(() => org.invoices.create({ currency: 'USD', lines })))
    const opened = await Promise.all(drafts.map(({ id }) => org.invoices.finalize(id)))
    expect(opened.map(({ number }) => number).sort()).toEqual([1, 2, 3])
    const id = opened[0]?.id ?? ''
    expect(await org.invoices.pay(id, { amount: '0.5' })).toMatchObject({
      status: 'open',
      paidAt: null,
      amountDue: '1.50',
    })
    const paid = await org.invoices.pay(id)
    expect(paid).toMatchObject({ status: 'paid', amountDue: '0.00', paidAt: expect.any(Date) as Date })
  })

  test('credits are granted, spent and written off', async () => {
    const { org } = await newOrg()
    const credit = await org.credits.grant({ amount: '50', currency: 'EUR' })
    const spends = await Promise.allSettled([1, 2, 3].map(() => org.credits.spend({ amount: '20', currency: 'EUR' })))
    expect(spends.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
    expect(await org.credits.balance()).toEqual([{ currency: 'EUR', amount: '10.00' }])
    expect(await org.credits.void(credit.id)).toMatchObject({ remaining: '0.00' })
    expect(await entries(org, 'credits.grant')).toBe(1)
  })

  test('a session acts in an organization of its person, and in no other', async () => {
    const { org, owner } = await newOrg()
    const { org: other } = await newOrg()
    const me = tenancy.forUser(owner)
    const { session, token } = await me.sessions.start({ activeOrg: org.id })
    // More often than Postgres plans a prepared statement for its values.
    for (let times = 0; times < 8; times++) await me.sessions.activate(session.id, org.id)
    const { actor } = await tenancy.authenticateSession(token)
    expect(actor?.can('agents:write')).toBe(true)
    await expect(me.sessions.activate(session.id, other.id)).rejects.toThrow('is not an active member of it')
    await expect(me.sessions.start({ activeOrg: other.id })).rejects.toThrow('is not an active member of it')
    expect(await count('user_sessions', 'user_id = $1', [owner])).toBe(1)
  })

  test('maintenance removes what is past, and waits for nobody', async () => {
    const [one, other] = [await newOrg(), await newOrg()]
    for (const { org, owner } of [one, other]) {
      await database.admin.query(
        `insert into platform.idempotency_keys (org_id, id, key, actor, request_hash, expires_at)
         select $1, gen_random_uuid(), i::text, '', 'x', now() + (i - 20) * interval '1 day' - interval '1 hour' from generate_series(1, 30) i`,
        [org.id],
      )
      await tenancy.forUser(owner).sessions.start()
      await org.invitations.create({ email: `${newId()}@example.com`, role: 'member' })
    }
    const past = `created_at = now() - interval '99 days', expires_at = now() - interval '90 days'`
    await database.admin.query(`update platform.user_sessions set ${past} where user_id = $1`, [one.owner])
    await database.admin.query(`update platform.organization_invitations set ${past} where org_id = $1`, [one.org.id])
    const held = await cluster.session(database)
    await held.query('begin')
    await held.query(`select from platform.idempotency_keys where org_id = $1 and key = '1' for update`, [other.org.id])
    const { rows, isComplete } = await system().maintenance.run()
    await held.query('rollback')
    expect(rows).toMatchObject({ idempotencyKeys: 39, sessions: 1, invitations: 1 })
    expect(isComplete).toBe(true)
    expect((await system().maintenance.run()).rows).toMatchObject({ idempotencyKeys: 1, sessions: 0, invitations: 0 })
    const left = (where: string, id: string) => count('idempotency_keys', where, [id])
    expect(await left('org_id = $1 and expires_at > now()', one.org.id)).toBe(10)
    expect(await left('org_id = $1 and expires_at <= now()', one.org.id)).toBe(0)
  })

  test('rows are moved out of a default partition into the month that they belong to', async () => {
    const { org } = await newOrg()
    const at = new Date()
    const [year, month] = [
      at.getUTCFullYear() + Math.floor((at.getUTCMonth() + 9) / 12),
      ((at.getUTCMonth() + 9) % 12) + 1,
    ]
    const name = `${year}_${String(month).padStart(2, '0')}`
    const late = [newId(), newId()].sort()
    await database.admin.query(
      `insert into platform.audit_logs (org_id, id, event_type, created_at) select $1, id, 'late', $2 from unnest($3::uuid[]) id`,
      [org.id, `${name.replace('_', '-')}-15T00:00:00Z`, late],
    )
    const ran = await tenantry(['partitions', 'ensure', '--months', '12', '--json'], { env })
    expect(ran).toMatchObject({ code: 0, stderr: '' })
    expect((ran.json() as { made: unknown[] }).made).toContainEqual({
      table: 'audit_logs',
      partition: `audit_logs_${name}`,
      moved: 2,
    })
    const found = await database.admin.query(
      `select id from platform.audit_logs_${name} where org_id = $1 order by id`,
      [org.id],
    )
    expect(found).toEqual(late.map((id) => ({ id })))
    const { org: other } = await newOrg()
    expect(
      await Promise.resolve(other.db.execute(`select from platform.audit_logs where org_id = '${org.id}'`)),
    ).toEqual([])
    const direct = org.db.execute(`select from platform.audit_logs_${name} where org_id = '${org.id}'`)
    await expect(Promise.resolve(direct)).rejects.toThrow('the database refused the statement')
  })
})
