import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { ConflictError, IdempotencyMismatchError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { declare } from '../../src/declared.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { seed } from '../../src/migrations/seed.js'
import type { NewProvision } from '../../src/operations/provision.js'
import type { Organizations } from '../../src/operations/organizations.js'
import { agents } from '../../src/schema/agents.js'
import { builtInRoles } from '../../src/schema/built-in-roles.js'
import { openTenancy, Tenancy } from '../../src/tenancy.js'
import { createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'

const database = useDatabase()
let tenancy: Tenancy
let organizations: Organizations

beforeAll(async () => {
  await seed(database.admin)
  tenancy = await openTenancy({
    url: database.appUrl,
    systemUrl: database.systemUrl,
    keys: `test:${Buffer.alloc(32, 7).toString('base64')}`,
  })
  organizations = tenancy.system({ actor: 'ops', reason: 'signed up' }).organizations
})
afterAll(() => tenancy.close({ drain: 0 }))

function values(more: Partial<NewProvision> = {}): NewProvision {
  const id = newId()
  const owner = { email: `${id}@example.com` }
  return { key: id, name: `Acme ${id}`, slug: `acme-${id}`, plan: 'tier_free', owner, ...more }
}

describe('provision', () => {
  test('makes the organization, its roles with their permissions, its owner and its plan', async () => {
    const given = values({ externalId: 'crm-1', settings: { locale: 'de' } })
    const { organization, isNew } = await organizations.provision(given)

    expect(isNew).toBe(true)
    expect(organization).toMatchObject({
      name: given.name,
      slug: given.slug,
      externalId: 'crm-1',
      settings: { locale: 'de' },
      status: 'active',
      temporalNamespace: `org-${organization.id}`,
      allowUserManagement: true,
    })
    const [found] = await database.admin.query(
      `select
         (select count(*)::int from platform.roles where org_id = $1 and built_in) as roles,
         (select count(*)::int from platform.role_permissions where org_id = $1) as permissions,
         (select json_agg(json_build_object('email', m.email, 'role', m.role, 'same', u.email = m.email))
            from platform.organization_members m join platform.users u on u.id = m.user_id where m.org_id = $1) as members,
         (select json_build_object('plan', plan_id, 'status', status, 'ok', current_period_end = current_period_start + interval '1 month')
            from platform.subscriptions where org_id = $1) as plan`,
      [organization.id],
    )
    expect(found).toEqual({
      roles: builtInRoles.length,
      permissions: builtInRoles.flatMap((role) => role.permissions).length,
      members: [{ email: `${given.key}@example.com`, role: 'owner', same: true }],
      plan: { plan: 'tier_free', status: 'active', ok: true },
    })
    await tenancy.forOrg(organization.id).agents.create({ name: 'Ada', username: 'ada' })
  })

  test('the same key with the same values gives the same organization, also after it was renamed', async () => {
    const given = values()
    const { organization } = await organizations.provision(given)
    await database.admin.query("update platform.organizations set name = 'Renamed ' || id where id = $1", [
      organization.id,
    ])

    const again = await organizations.provision({ ...given, owner: { ...given.owner }, billingEmail: null })
    expect(again.isNew).toBe(false)
    expect(again.organization.id).toBe(organization.id)
  })

  test('the same key with other values is refused', async () => {
    const given = values()
    await organizations.provision(given)
    await expect(organizations.provision({ ...given, slug: `${given.slug}-2` })).rejects.toThrow(
      IdempotencyMismatchError,
    )
  })

  test('of 20 callers with one key, on 20 connections, one makes it, and all get it', async () => {
    const { lookup } = await declare(undefined)
    const given = values()
    const executor = openNodePostgres({ pool: { connectionString: database.systemUrl, max: 20 }, lookup })
    const many = new Tenancy(executor, secretsOf(passingKeyring()), {}, executor)
    onTestFinished(() => many.close())
    const all = many.system({ actor: 'ops', reason: 'signed up' }).organizations
    const made = await Promise.all(Array.from({ length: 20 }, () => all.provision(given)))
    expect(new Set(made.map(({ organization }) => organization.id)).size).toBe(1)
    expect(made.filter(({ isNew }) => isNew)).toHaveLength(1)
    const strays = await database.admin.query(
      'select from platform.system_audit_logs l where target_org_id is not null and not exists (select from platform.organizations o where o.id = l.target_org_id)',
    )
    expect(strays).toEqual([])
  })

  test('a key whose organization was deleted makes no second one', async () => {
    const given = values()
    const { organization } = await organizations.provision(given)
    await organizations.delete(organization.id)
    await expect(organizations.provision(given)).rejects.toThrow(ConflictError)
  })

  test('a taken slug is a conflict, and nothing of the second organization is there', async () => {
    const first = values()
    await organizations.provision(first)
    const second = values({ slug: first.slug })
    await expect(organizations.provision(second)).rejects.toThrow('organizations: slug is already taken')
    const [people] = await database.admin.query('select count(*)::int as count from platform.users where email = $1', [
      `${second.key}@example.com`,
    ])
    expect(people).toEqual({ count: 0 })
  })

  test('an unknown plan is refused, and nothing that was made before is there', async () => {
    const given = values({ plan: 'tier_none' })
    const rows = () =>
      database.admin.query(
        `select (select count(*) from platform.organizations) as organizations, (select count(*) from platform.roles) as roles,
           (select count(*) from platform.role_permissions) as permissions, (select count(*) from platform.users) as users,
           (select count(*) from platform.organization_members) as members, (select count(*) from platform.system_audit_logs) as entries`,
      )
    const before = await rows()
    await expect(organizations.provision(given)).rejects.toThrow(InvalidInputError)
    expect(await rows()).toEqual(before)
    await expect(organizations.provision({ ...given, plan: 'tier_free' })).resolves.toMatchObject({ isNew: true })
  })

  test('takes the temporal namespace that is given, which no other organization has', async () => {
    const temporalNamespace = `workflows-${newId()}`
    const { organization } = await organizations.provision(values({ temporalNamespace }))
    expect(organization).toMatchObject({ temporalNamespace })
    await organizations.delete(organization.id)
    await expect(organizations.provision(values({ temporalNamespace }))).rejects.toMatchObject({
      code: 'conflict',
      fields: ['temporalNamespace'],
    })
  })

  test('a person who is there becomes the owner by id, and by address only when it is confirmed', async () => {
    const userId = await createUser(database.admin, { email: `${newId()}@example.com` })
    await organizations.provision(values({ owner: { userId } }))
    const [user] = await database.admin.query<{ email: string }>('select email from platform.users where id = $1', [
      userId,
    ])
    const owner = { email: user?.email ?? '' }

    await expect(organizations.provision(values({ owner }))).rejects.toThrow(/has not confirmed it/)
    await database.admin.query('update platform.users set email_confirmed_at = now() where id = $1', [userId])
    const { organization } = await organizations.provision(values({ owner }))
    const members = await database.admin.query('select user_id from platform.organization_members where org_id = $1', [
      organization.id,
    ])
    expect(members).toEqual([{ user_id: userId }])
  })

  test.each([
    ["status = 'suspended'", /suspended or banned/],
    ["banned_until = now() + interval '1 day'", /suspended or banned/],
    ["kind = 'service'", /a service cannot own/],
  ])('a person with %s cannot become an owner', async (set, reason) => {
    const userId = await createUser(database.admin)
    await database.admin.query(`update platform.users set ${set} where id = $1`, [userId])
    await expect(organizations.provision(values({ owner: { userId } }))).rejects.toThrow(reason)
  })

  test('an owner who does not exist is not found', async () => {
    await expect(organizations.provision(values({ owner: { userId: newId() } }))).rejects.toThrow(NotFoundError)
  })
})

describe('system scope', () => {
  test('each operation is recorded with its actor, its reason and its organization', async () => {
    const { organization } = await organizations.provision(values())
    await organizations.suspend(organization.id, 'unpaid')
    await organizations.find(organization.id)
    const entries = await database.admin.query(
      `select operation, actor, reason, target_org_id from platform.system_audit_logs
       where target_org_id = $1 or (operation = 'organizations.find' and target_org_id is null) order by id`,
      [organization.id],
    )
    const by = { actor: 'ops', reason: 'signed up' }
    expect(entries).toEqual([
      { operation: 'organizations.provision', ...by, target_org_id: organization.id },
      { operation: 'organizations.suspend', ...by, target_org_id: organization.id },
      { operation: 'organizations.find', ...by, target_org_id: null },
    ])
  })

  test('system() throws without systemUrl, and without a reason', async () => {
    const { url, systemUrl } = { url: database.appUrl, systemUrl: database.systemUrl }
    const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`
    const alone = await openTenancy({ url, keys })
    onTestFinished(() => alone.close())
    expect(() => alone.system({ actor: 'ops', reason: 'test' })).toThrow(/SYSTEM_DATABASE_URL/)
    expect(() => tenancy.system({ actor: 'ops', reason: ' ' })).toThrow(InvalidInputError)
    await expect(openTenancy({ url: systemUrl, systemUrl, keys })).rejects.toThrow('is a member of tenantry_system')
    await expect(openTenancy({ url, systemUrl: url, keys })).rejects.toThrow('is a member of tenantry_app')
  })
})

describe('an organization', () => {
  const provisioned = async () => (await organizations.provision(values())).organization

  test('that is suspended refuses its scope, and serves again once it is reactivated', async () => {
    const { id } = await provisioned()
    const org = tenancy.forOrg(id)
    expect(await organizations.suspend(id, 'unpaid')).toMatchObject({ status: 'suspended', suspendedReason: 'unpaid' })
    const agent = { name: 'Ada', username: 'ada' }
    for (const call of [
      () => org.agents.count(),
      () => org.agents.create(agent),
      () => org.batch((inner) => [inner.agents.create(agent)]),
      () => org.transaction((inner) => inner.agents.create(agent)),
      () => org.db.select().from(agents),
      () => org.roles.create({ key: 'support', name: 'Support' }),
    ]) {
      await expect((async () => call())()).rejects.toMatchObject({ code: 'organization_suspended' })
    }
    await expect(organizations.suspend(id, 'again')).rejects.toThrow('cannot suspend while it is suspended')
    expect(await organizations.reactivate(id)).toMatchObject({
      status: 'active',
      suspendedAt: null,
      suspendedReason: null,
    })
    expect(await org.agents.count()).toBe(0)
  })

  test('that is deleted is not found, and is back with everything once it is restored', async () => {
    const { id, slug } = await provisioned()
    const org = tenancy.forOrg(id)
    await org.agents.create({ name: 'Ada', username: 'ada' })
    await organizations.delete(id)
    await expect(org.agents.count()).rejects.toThrow(NotFoundError)
    expect(await organizations.findBySlug(slug)).toBeUndefined()
    await organizations.restore(id)
    expect(await org.agents.count()).toBe(1)
  })

  test('cannot be restored when its slug was taken meanwhile', async () => {
    const { id, slug } = await provisioned()
    await organizations.delete(id)
    await organizations.provision(values({ slug }))
    await expect(organizations.restore(id)).rejects.toThrow(ConflictError)
  })

  test('is found by id, slug and external id, and listed', async () => {
    const externalId = newId()
    const { organization } = await organizations.provision(values({ externalId }))
    expect(await organizations.find(organization.id)).toEqual(organization)
    expect(await organizations.findBySlug(organization.slug)).toEqual(organization)
    expect(await organizations.findByExternalId(externalId)).toEqual(organization)
    const { items } = await organizations.list({ limit: 1 })
    expect(items).toEqual([organization])
    expect(Object.keys(organization)).not.toContain('provisionHash')
  })

  test('that does not exist is not found', async () => {
    await expect(organizations.suspend(newId(), 'unpaid')).rejects.toThrow(NotFoundError)
    await expect(organizations.delete(newId())).rejects.toThrow(NotFoundError)
    expect(await organizations.find(newId())).toBeUndefined()
  })
})
