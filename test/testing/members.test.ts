import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ConflictError, ForbiddenError, InvalidInputError, PlanLimitError } from '../../src/core/errors.js'
import type { Org } from '../../src/org.js'
import { builtInRoles, permissionCatalog, type PermissionKey } from '../../src/schema/built-in-roles.js'
import { type EmbeddedTenancy, openEmbeddedTenancy } from '../../src/testing/embedded-tenancy.js'
import { factories } from '../../src/testing/factories.js'
import { addMember, asMember, newOrg } from '../../src/testing/members.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()

const allPermissions = Object.keys(permissionCatalog) as PermissionKey[]
const heldBy = (org: Org, project?: string) =>
  allPermissions.filter((permission) => org.can(permission, { project })).sort()
const roles = builtInRoles.map((role) => [role.key, role] as const)

describe.each(['server', 'embedded'] as const)('on the %s', (engine) => {
  let embedded: EmbeddedTenancy | undefined
  beforeAll(async () => {
    if (engine === 'embedded') embedded = await openEmbeddedTenancy()
  })
  afterAll(() => embedded?.close())
  const tenancy = () => embedded?.tenancy ?? teams.tenancy

  test.each(roles)('%s has the permissions of the role and no others', async (key, { permissions }) => {
    const org = await newOrg(tenancy())
    const member = await asMember(tenancy(), org, key)
    expect(heldBy(member)).toEqual([...permissions].sort())
    expect(await org.members.count({ role: key, status: 'active' })).toBe(key === 'owner' ? 2 : 1)
  })

  test('a member is refused what the role does not allow, by the checks of every call', async () => {
    const org = await newOrg(tenancy())
    const viewer = await asMember(tenancy(), org, 'read_only')
    await factories(org).project({ slug: 'docs' })
    expect((await viewer.projects.list()).items).toMatchObject([{ slug: 'docs' }])
    await expect(viewer.projects.create({ name: 'Two', slug: 'two' })).rejects.toThrow(ForbiddenError)
  })
})

test('a role of the organization’s own', async () => {
  const org = await newOrg(teams.tenancy)
  const { key } = await factories(org).role({ permissions: ['agents:read', 'audit:read'] })
  expect(heldBy(await asMember(teams.tenancy, org, key))).toEqual(['agents:read', 'audit:read'])
  await expect(asMember(teams.tenancy, org, 'viewer')).rejects.toThrow(InvalidInputError)
})

test('a member who is there acts with the rights of now, in the project too', async () => {
  const org = await newOrg(teams.tenancy)
  const member = await addMember(teams.tenancy, org, { role: 'customer', displayName: 'Ada' })
  expect(member).toMatchObject({ role: 'customer', displayName: 'Ada', kind: 'person', status: 'active' })
  const { projectId } = await factories(org).projectMember({ userId: member.userId })

  const inProject = await asMember(teams.tenancy, org, member)
  expect(heldBy(inProject, projectId)).toContain('projects:write')
  expect(heldBy(inProject)).not.toContain('projects:write')

  await org.members.deactivate(member.id)
  await expect(asMember(teams.tenancy, org, member)).rejects.toThrow(ForbiddenError)
})

test('whoever adds a member needs the right to', async () => {
  const org = await newOrg(teams.tenancy)
  const manager = await asMember(teams.tenancy, org, 'manager')
  expect(await addMember(teams.tenancy, manager)).toMatchObject({ role: 'member' })
  expect(heldBy(await asMember(teams.tenancy, manager, 'member'))).toContain('agents:write')
  await expect(asMember(teams.tenancy, manager, 'owner')).rejects.toThrow(ForbiddenError)
})

test('members take seats of the plan', async () => {
  const org = await newOrg(teams.tenancy, { plan: 'tier_free' })
  for (let seat = 2; seat <= 5; seat++) await addMember(teams.tenancy, org)
  await expect(asMember(teams.tenancy, org, 'member')).rejects.toThrow(PlanLimitError)
})

test('a member of one organization is none of another, until they are added', async () => {
  const [one, other] = [await newOrg(teams.tenancy), await newOrg(teams.tenancy)]
  const member = await addMember(teams.tenancy, one, { role: 'admin' })
  await factories(one).agent()
  await expect(asMember(teams.tenancy, other, member)).rejects.toThrow(ForbiddenError)

  const { userId, email } = member
  await addMember(teams.tenancy, other, { userId, email, role: 'read_only' })
  const there = await asMember(teams.tenancy, other, member)
  expect(await there.agents.list()).toMatchObject({ items: [] })
  await expect(there.agents.create({ name: 'Ada', username: 'ada' })).rejects.toThrow(ForbiddenError)
})

test('an organization has the slug, the name and the plan that are asked for, and an owner', async () => {
  const org = await newOrg(teams.tenancy, { slug: 'acme', name: 'Acme Inc', plan: 'tier_pro', readOnly: true })
  expect(await org.organization.get()).toMatchObject({ slug: 'acme', name: 'Acme Inc' })
  expect(await org.subscription.get()).toMatchObject({ planId: 'tier_pro' })
  expect((await org.members.list()).items).toMatchObject([{ role: 'owner', status: 'active' }])
  await expect(org.agents.create({ name: 'Ada', username: 'ada' })).rejects.toThrow()
  await expect(newOrg(teams.tenancy, { slug: 'acme' })).rejects.toThrow(ConflictError)
})

test('the scope of a member takes the options of forOrg', async () => {
  const org = await newOrg(teams.tenancy)
  const admin = await asMember(teams.tenancy, org, 'admin', { request: { id: 'r-1' } })
  const { id } = await factories(admin).agent()
  const [entry] = (await org.audit.list({ resourceId: id })).items
  expect(entry).toMatchObject({ actorKind: 'user', requestId: 'r-1' })
})
