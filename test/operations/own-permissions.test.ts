import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { DefinitionError, ForbiddenError, InvalidInputError, UnsafeRoleError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { OnQuery } from '../../src/core/tracing.js'
import type { OwnTables } from '../../src/declared.js'
import { seed } from '../../src/migrations/seed.js'
import type { Org } from '../../src/org.js'
import { builtInRoles } from '../../src/schema/built-in-roles.js'
import { memoryKeyProvider } from '../../src/encryption/key-providers.js'
import { openSystem, openTenancy, type Tenancy } from '../../src/tenancy.js'
import { openEmbeddedTenancy } from '../../src/testing/embedded-tenancy.js'
import { createUser } from '../../src/testing/fixtures.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { replies, tickets } from '../support/desk-schema.js'
import { deskPermissions, deskWith, upgradeDesk, useCatalogs } from '../support/use-desk.js'

const database = useDatabase()
const newDatabase = useCatalogs()
const keys = `test:${Buffer.alloc(32, 7).toString('base64')}`
const newTicket = z.strictObject({ subject: z.string() })
const Tickets = defineRepository(tickets, { create: newTicket, patch: newTicket.partial() })
const newReply = z.strictObject({ ticketId: z.uuid(), text: z.string() })
const Replies = defineRepository(replies, { create: newReply, patch: newReply.partial() })
const Misnamed = defineRepository(tickets, { create: newTicket, patch: newTicket.partial(), permission: 'tikets' })

let own: OwnTables
let tenancy: Tenancy
const sent: string[] = []
beforeAll(async () => {
  own = await deskWith({ permissions: deskPermissions, roles: { member: ['tickets:read'] } })
  await upgradeDesk(database.admin, own)
  await seed(database.admin)
  const onQuery: OnQuery = ({ statements }) => void sent.push(...statements.map(({ text }) => text))
  tenancy = await openTenancy({ url: database.appUrl, systemUrl: database.systemUrl, keys, own, onQuery })
})
afterAll(() => tenancy.close({ drain: 0 }))

interface Provisioning {
  system: Tenancy['system']
}

async function provisioned({ system }: Provisioning): Promise<{ id: string; email: string }> {
  const key = newId()
  const email = `${key}@example.com`
  const { organization } = await system({ actor: 'test', reason: 'a test' }).organizations.provision({
    key,
    name: key,
    slug: `desk-${key}`,
    plan: 'tier_enterprise',
    owner: { email, emailConfirmed: true },
  })
  return { id: organization.id, email }
}

/** The scopes of an organization: without an actor, and of a new person with each role. */
async function desk() {
  const { id, email } = await provisioned({ system: (operator) => tenancy.system(operator) })
  const trusted = tenancy.forOrg(id)
  const owner = (await trusted.members.list()).items.find((member) => member.email === email)
  return {
    trusted,
    owner: tenancy.forOrg(id, { actor: await trusted.actorFor(owner?.userId ?? '') }),
    as: async (role: string): Promise<Org> => {
      const userId = await createUser(database.admin)
      await trusted.members.add({ userId, email: `${userId}@example.com`, role })
      return tenancy.forOrg(id, { actor: await trusted.actorFor(userId) })
    },
  }
}

const held = async (admin = database.admin, orgId: string): Promise<string[]> =>
  (
    await admin.query<{ held: string }>(
      `select role_key || ' ' || permission as held from platform.role_permissions where org_id = $1 and permission ~ '^tickets' order by 1`,
      [orgId],
    )
  ).map((row) => row.held)

const asDeclared = [
  'admin tickets:read',
  'admin tickets:write',
  'member tickets:read',
  'owner tickets:read',
  'owner tickets:write',
]

test('a new organization gets them, whether or not the process that makes it knows them', async () => {
  const { id } = await provisioned({ system: (operator) => tenancy.system(operator) })
  expect(await held(database.admin, id)).toEqual(asDeclared)
  const [all] = await database.admin.query(
    'select count(*)::int as count from platform.role_permissions where org_id = $1',
    [id],
  )
  expect(all).toEqual({ count: builtInRoles.flatMap(({ permissions }) => permissions).length + asDeclared.length })

  // As `tenantry org create` does. It gets an older config here, as a process has that still runs.
  const older = { ...own, roles: {} }
  const system = await openSystem(
    { url: database.systemUrl },
    { own: older },
    { keyring: undefined, provider: memoryKeyProvider },
  )
  onTestFinished(() => system.close())
  const second = await provisioned(system)
  expect(await held(database.admin, second.id)).toEqual(asDeclared)
})

test('an organization is made also where migrate up has recorded nothing yet', async () => {
  const { admin, systemUrl } = await newDatabase()
  await seed(admin)
  await admin.query('drop view platform_migrations.inventory')
  const system = await openSystem({ url: systemUrl }, {}, { keyring: undefined, provider: memoryKeyProvider })
  onTestFinished(() => system.close())
  const { id } = await provisioned(system)
  expect(await held(admin, id)).toEqual([])
})

test('a table of the host’s own is open to the owner, and to a member as far as the role says', async () => {
  const { owner, as } = await desk()
  const member = await as('member')
  const customer = await as('customer')
  const ticket = await owner.repository(Tickets).create({ subject: 'Dark' })
  expect(await member.repository(Tickets).get(ticket.id)).toMatchObject({ subject: 'Dark' })
  await expect(member.repository(Tickets).create({ subject: 'Too' })).rejects.toMatchObject({
    status: 403,
    message: expect.stringContaining('tickets:write') as string,
  })
  await expect(customer.repository(Tickets).list()).rejects.toThrow(ForbiddenError)
  expect([owner.can('tickets:write'), member.can('tickets:write'), member.can('tickets:read')]).toEqual([
    true,
    false,
    true,
  ])
})

test('a table can declare the permissions of another one', async () => {
  const { owner, as } = await desk()
  const ticket = await owner.repository(Tickets).create({ subject: 'Dark' })
  const reply = await owner.repository(Replies).create({ ticketId: ticket.id, text: 'A lamp' })
  const member = await as('member')
  expect(await member.repository(Replies).get(reply.id)).toMatchObject({ text: 'A lamp' })
  await expect(member.repository(Replies).delete(reply.id)).rejects.toThrow(ForbiddenError)
})

test('a role that an organization makes can hold them, and a key can have them as scopes', async () => {
  const { owner, trusted, as } = await desk()
  await owner.roles.create({ key: 'support', name: 'Support', permissions: ['tickets:read'] })
  expect(await owner.roles.grant('support', 'tickets:write')).toEqual(['tickets:read', 'tickets:write'])
  const support = await as('support')
  const ticket = await support.repository(Tickets).create({ subject: 'Dark' })
  await expect(support.agents.list()).rejects.toThrow(ForbiddenError)
  const unknown = 'contains tickets:print, which is not a permission'
  for (const { roles } of [owner, trusted])
    await expect(roles.grant('support', 'tickets:print')).rejects.toThrow(`permissions: ${unknown}`)
  const misspelt = owner.apiKeys.create({ name: 'misspelt', scopes: ['tickets:print'] })
  await expect(misspelt).rejects.toThrow(`scopes: ${unknown}`)

  const service = await trusted.members.addService({ name: 'ci', role: 'support' })
  const { token } = await trusted.apiKeys.create({ userId: service.userId, name: 'ci', scopes: ['tickets:read'] })
  const { org } = await tenancy.authenticateApiKey(token)
  expect(await org.repository(Tickets).get(ticket.id)).toMatchObject({ subject: 'Dark' })
  await expect(org.repository(Tickets).delete(ticket.id)).rejects.toThrow(ForbiddenError)
})

test('a repository whose permission is in no catalog is at fault, not its caller; trusted code may use it', async () => {
  const { owner, trusted } = await desk()
  sent.length = 0
  const asked = owner.repository(Misnamed).list()
  await expect(asked).rejects.toThrow(DefinitionError)
  await expect(asked).rejects.toThrow(/^tikets:read is not a permission: add it to `permissions`/)
  await expect(owner.repository(Misnamed).create({ subject: 'Dark' })).rejects.toThrow(/^tikets:write is not/)
  expect(sent).toEqual([])
  await expect(trusted.repository(Misnamed).list()).resolves.toMatchObject({ items: [] })
  const job = tenancy.forOrg(trusted.id, { actor: tenancy.job('nightly') })
  await expect(job.repository(Misnamed).count()).resolves.toBe(0)
})

test('a tenancy does not open on a database that lacks its permissions, and names them', async () => {
  const more = { ...deskPermissions, 'tickets:print': 'Print tickets', 'tickets:export': 'Export tickets' }
  for (const [url, systemUrl] of [
    [database.appUrl, undefined],
    [database.appUrl, database.systemUrl],
  ]) {
    const opening = openTenancy({ url, systemUrl, keys, own: { ...own, permissions: more } })
    await expect(opening).rejects.toThrow(UnsafeRoleError)
    await expect(opening).rejects.toMatchObject({
      faults: [
        {
          fault: 'permissions are not in the catalog',
          detail: 'tickets:export, tickets:print',
          mend: 'npx tenantry migrate up',
        },
      ],
    })
  }
  // What lacks more is told that.
  const { admin, appUrl } = await newDatabase()
  await expect(openTenancy({ url: appUrl, keys, own })).rejects.toMatchObject({
    faults: [{ fault: 'migrations are not applied', detail: '0000_desk' }],
  })
  await admin.query('drop table platform.permissions cascade')
  await expect(openTenancy({ url: appUrl, keys, own })).rejects.toThrow(UnsafeRoleError)
})

test('openTenancy refuses permissions that cannot be, before it connects', async () => {
  const url = 'postgres://nobody@127.0.0.1:1/none'
  const opening = (given: Partial<OwnTables>) => openTenancy({ url, keys, own: { ...own, ...given } })
  await expect(opening({ permissions: { 'agents:read': 'See' } })).rejects.toThrow(
    'own.permissions: agents:read is a permission of the library',
  )
  await expect(opening({ roles: { members: [] } })).rejects.toThrow('own.roles: members is not a built-in role')
  await expect(opening({ permissions: ['tickets:read'] as never })).rejects.toThrow(
    new InvalidInputError('own.permissions', 'must be an object'),
  )
  await expect(opening({ roles: { member: 'tickets:read' as never } })).rejects.toThrow(
    new InvalidInputError('own.roles.member', 'must be a list'),
  )
})

test('the embedded database and the test tenancy have them', async () => {
  const embedded = await openEmbeddedTenancy(own)
  try {
    const org = await embedded.newOrg()
    await expect(
      org.roles.create({ key: 'support', name: 'Support', permissions: ['tickets:read'] }),
    ).resolves.toMatchObject({ key: 'support' })
    await expect(org.roles.grant('support', 'tickets:print')).rejects.toThrow(InvalidInputError)
  } finally {
    await embedded.close()
  }
})
