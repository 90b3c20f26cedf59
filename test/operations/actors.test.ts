import { describe, expect, test, vi } from 'vitest'
import { ForbiddenError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { builtInRoles, permissionCatalog } from '../../src/schema/built-in-roles.js'
import { refusalsOf } from '../support/contenders.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()

const permissionsOf = (role: string) => builtInRoles.find(({ key }) => key === role)?.permissions ?? []

describe('an actor', () => {
  test('has the permissions of its role', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('developer')
    const actor = await team.org.actorFor(userId)
    expect(actor).toMatchObject({ kind: 'user', id: userId, orgId: team.id, label: undefined, epoch: 0 })
    expect([...actor.permissions].sort()).toEqual([...permissionsOf('developer')].sort())
  })

  test('is checked before each call, and nothing is sent for what it may not do', async () => {
    const team = await teams.newTeam()
    const asReader = await team.as((await team.join('read_only')).userId)
    const agent = await team.org.agents.create({ name: 'Ada', username: 'ada' })

    expect(await asReader.agents.get(agent.id)).toEqual(agent)
    const refusals = [
      asReader.agents.create({ name: 'Eve', username: 'eve' }),
      asReader.agents.update(agent.id, { name: 'Eve' }),
      asReader.agents.delete(agent.id),
      asReader.agents.duplicate(agent.id, { username: 'copy' }),
      asReader.agents.setTools(agent.id, []),
      asReader.transaction((tx) => tx.agents.pause(agent.id)),
      asReader.batch((org) => [org.agents.activate(agent.id)]),
    ]
    for (const refused of await refusalsOf(refusals)) {
      expect(() => {
        throw refused as Error
      }).toThrow(new ForbiddenError('agents:write'))
    }
    expect(await team.org.agents.list()).toMatchObject({ items: [agent] })
  })

  test('is asked in memory with org.can', async () => {
    const team = await teams.newTeam()
    const org = await team.as((await team.join('customer')).userId)
    expect([org.can('tasks:write'), org.can('agents:write')]).toEqual([true, false])
    expect(team.org.can('agents:write')).toBe(true)
  })

  test('of another organization is refused, and nothing is sent', async () => {
    const [one, other] = [await teams.newTeam(), await teams.newTeam()]
    const actor = await one.org.actorFor(one.owner.userId)
    expect(() => teams.tenancy.forOrg(other.id, { actor })).toThrow(ForbiddenError)
  })

  test('is made by the library alone', async () => {
    const team = await teams.newTeam()
    const actor = await team.org.actorFor(team.owner.userId)
    for (const copy of [
      Object.assign({}, actor),
      JSON.parse(JSON.stringify(actor)) as object,
      Object.create(actor) as object,
    ]) {
      expect(() => teams.tenancy.forOrg(team.id, { actor: copy as never })).toThrow('actor: must be an actor')
    }
  })

  test('cannot be changed after it was made, nor constructed', async () => {
    const team = await teams.newTeam()
    const actor = await team.org.actorFor((await team.join('read_only')).userId)
    expect(() => Object.assign(actor, { isTrusted: true })).toThrow(TypeError)
    ;(actor.permissions as Set<string>).add('agents:write')
    expect(actor.can('agents:write')).toBe(false)
    const Class = actor.constructor as new (facts: object) => typeof actor
    const constructed = new Class({ kind: 'system', permissions: [], isTrusted: true })
    expect(() => teams.tenancy.forOrg(team.id, { actor: constructed })).toThrow('actor: must be an actor')
  })

  test('gets nothing from Object.prototype', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('read_only')
    const { memberId } = await team.join('member')
    const inherited = {
      isTrusted: true,
      permissions: ['agents:write'],
      projects: {},
      project: memberId,
      userId: memberId,
    }
    for (const [name, value] of Object.entries(inherited)) {
      Object.defineProperty(Object.prototype, name, { value, configurable: true, writable: true })
    }
    try {
      const actor = await team.org.actorFor(userId)
      expect([actor.isTrusted, actor.can('agents:write'), actor.can('agents:read')]).toEqual([false, false, true])
      await team.org.roles.create({ key: 'empty', name: 'Empty' })
      await expect(team.org.apiKeys.create({ name: 'ci' })).rejects.toThrow(InvalidInputError)
    } finally {
      for (const name of Object.keys(inherited)) Reflect.deleteProperty(Object.prototype, name)
    }
    expect(await team.org.roles.permissionsOf('empty')).toEqual([])
  })

  test('cannot make another actor; a job can', async () => {
    const team = await teams.newTeam()
    const org = await team.as(team.owner.userId)
    await expect(org.actorFor(team.owner.userId)).rejects.toThrow('an actor cannot make another one')
    const job = teams.tenancy.forOrg(team.id, { actor: teams.tenancy.job('worker') })
    expect(await job.actorFor(team.owner.userId)).toMatchObject({ id: team.owner.userId })
  })

  test.each([
    [
      'a deactivated member',
      (id: string) => `update platform.organization_members set status = 'inactive' where user_id = '${id}'`,
    ],
    [
      'a removed member',
      (id: string) => `update platform.organization_members set deleted_at = now() where user_id = '${id}'`,
    ],
    ['a suspended person', (id: string) => `update platform.users set status = 'suspended' where id = '${id}'`],
    [
      'a banned person',
      (id: string) => `update platform.users set banned_until = now() + interval '1 h' where id = '${id}'`,
    ],
    ['a deleted person', (id: string) => `update platform.users set deleted_at = now() where id = '${id}'`],
  ])('is not made for %s', async (_, change) => {
    const team = await teams.newTeam()
    const { userId } = await team.join('member')
    await teams.database.admin.query(change(userId))
    await expect(team.org.actorFor(userId)).rejects.toThrow('this person is not an active member of the organization')
  })

  test('is made again once a ban is over', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('member')
    await teams.database.admin.query(`update platform.users set banned_until = now() - interval '1 s' where id = $1`, [
      userId,
    ])
    expect(await team.org.actorFor(userId)).toMatchObject({ id: userId })
  })

  test('is not made for a member of another organization, nor for an unknown id', async () => {
    const [one, other] = [await teams.newTeam(), await teams.newTeam()]
    await expect(one.org.actorFor(other.owner.userId)).rejects.toThrow(ForbiddenError)
    await expect(one.org.actorFor(newId())).rejects.toThrow(ForbiddenError)
    await expect(one.org.actorFor('nobody')).rejects.toThrow(InvalidInputError)
  })

  test('of a job may do everything in every organization', async () => {
    const [one, other] = [await teams.newTeam(), await teams.newTeam()]
    const actor = teams.tenancy.job('nightly report')
    expect(actor).toMatchObject({ kind: 'system', label: 'nightly report', id: undefined, orgId: undefined })
    for (const { id } of [one, other]) {
      expect(await teams.tenancy.forOrg(id, { actor }).agents.count()).toBe(0)
    }
    expect(() => teams.tenancy.job(' ')).toThrow(InvalidInputError)
  })
})

describe('a role in a project', () => {
  test('admits to that project alone', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('customer')
    const mine = await team.org.projects.create({ name: 'Mine', slug: 'mine' })
    const other = await team.org.projects.create({ name: 'Other', slug: 'other' })
    await team.org.projects.members.add(mine.id, { userId, role: 'developer' })
    const org = await team.as(userId)

    expect(org.can('projects:read')).toBe(false)
    expect([org.can('projects:write', { project: mine.id }), org.can('projects:write', { project: other.id })]).toEqual(
      [true, false],
    )
    expect((await org.projects.list()).items).toEqual([mine])
    expect((await org.projects.list({ and: [{ slug: 'other' }] })).items).toEqual([])
    expect((await org.projects.list({ or: [{ slug: 'other' }, { slug: 'mine' }] })).items).toEqual([mine])
    expect(await org.projects.count()).toBe(1)
    expect(await org.projects.exists({ slug: 'other' })).toBe(false)
    expect(await org.projects.find(mine.id)).toEqual(mine)
    expect(await org.projects.find(other.id)).toBeUndefined()
    expect(await org.projects.findBySlug('other')).toBeUndefined()
    expect(await org.projects.findMany([other.id, mine.id])).toEqual([mine])
    await expect(org.projects.get(other.id)).rejects.toThrow(NotFoundError)
    await expect(org.projects.getMany([other.id, mine.id])).rejects.toThrow(NotFoundError)
    const streamed = []
    for await (const project of org.projects.stream()) streamed.push(project)
    expect(streamed).toEqual([mine])

    expect(await org.projects.update(mine.id, { name: 'Ours' })).toMatchObject({ name: 'Ours' })
    await expect(org.projects.update(other.id, { name: 'Ours' })).rejects.toThrow(ForbiddenError)
    await expect(org.projects.create({ name: 'New', slug: 'new' })).rejects.toThrow(ForbiddenError)
    // Agents follow the role in the organization, in whatever project they are.
    await expect(org.agents.create({ name: 'Ada', username: 'ada', projectId: mine.id })).rejects.toThrow(
      ForbiddenError,
    )
  })

  test('ends at the next request after the member was removed from the project', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('customer')
    const project = await team.org.projects.create({ name: 'Mine', slug: 'mine' })
    await team.org.projects.members.add(project.id, { userId, role: 'developer' })
    await team.org.projects.members.remove(project.id, userId)
    expect(await (await team.as(userId)).projects.find(project.id)).toBeUndefined()
  })

  test('lets its members manage the members of that project, up to their own rights', async () => {
    const team = await teams.newTeam()
    const [lead, guest] = [await team.join('customer'), await team.join('customer')]
    const mine = await team.org.projects.create({ name: 'Mine', slug: 'mine' })
    const other = await team.org.projects.create({ name: 'Other', slug: 'other' })
    await team.org.projects.members.add(mine.id, { userId: lead.userId, role: 'developer' })
    await team.org.projects.members.add(other.id, { userId: guest.userId, role: 'read_only' })
    const { members } = (await team.as(lead.userId)).projects

    const added = await members.add(mine.id, { userId: guest.userId, role: 'developer' })
    expect(added).toMatchObject({ projectId: mine.id, userId: guest.userId, role: 'developer', addedBy: lead.userId })
    await expect(members.changeRole(mine.id, guest.userId, 'admin')).rejects.toThrow(/has permissions that you lack/)
    expect((await members.list(mine.id)).items).toHaveLength(2)
    for (const refused of await refusalsOf([
      members.list(other.id),
      members.find(other.id, guest.userId),
      members.add(other.id, { userId: lead.userId, role: 'developer' }),
      members.remove(other.id, guest.userId),
    ])) {
      expect(() => {
        throw refused as Error
      }).toThrow(ForbiddenError)
    }
  })

  test('that exceeds the own one in that project is neither given, changed nor taken', async () => {
    const team = await teams.newTeam()
    const [lead, chief, guest] = [await team.join('customer'), await team.join('customer'), await team.join('customer')]
    const { id } = await team.org.projects.create({ name: 'Mine', slug: 'mine' })
    await team.org.projects.members.add(id, { userId: lead.userId, role: 'developer' })
    await team.org.projects.members.add(id, { userId: chief.userId, role: 'owner' })
    const { members } = (await team.as(lead.userId)).projects
    for (const refused of await refusalsOf([
      members.add(id, { userId: guest.userId, role: 'owner' }),
      members.changeRole(id, chief.userId, 'read_only'),
      members.remove(id, chief.userId),
    ])) {
      expect(() => {
        throw refused as Error
      }).toThrow(/^the role owner has permissions that you lack/)
    }
    expect(await team.org.projects.members.find(id, chief.userId)).toMatchObject({ role: 'owner' })
  })

  test('must be one that applies to projects, and its holder a member of the organization', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('member')
    const { id } = await team.org.projects.create({ name: 'Mine', slug: 'mine' })
    const { members } = team.org.projects
    await expect(members.add(id, { userId, role: 'manager' })).rejects.toThrow('role: applies to the organization only')
    await expect(members.add(id, { userId, role: 'unknown' })).rejects.toThrow(InvalidInputError)
    const stranger = await teams.newUser()
    await expect(members.add(id, { userId: stranger, role: 'developer' })).rejects.toMatchObject({
      code: 'broken_reference',
    })
    await members.add(id, { userId, role: 'developer' })
    await expect(members.add(id, { userId, role: 'developer' })).rejects.toMatchObject({ code: 'conflict' })
    await expect(members.remove(id, stranger)).rejects.toThrow(NotFoundError)
  })
})

describe('acting in a person’s name', () => {
  const until = new Date(Date.now() + 600_000)

  test('leaves out secrets, keys, members and payments', async () => {
    const team = await teams.newTeam()
    const support = await teams.newUser()
    const actor = await team.org.actorFor(team.owner.userId, { by: support, reason: 'ticket 12', until })
    expect(actor).toMatchObject({ id: team.owner.userId, impersonation: { by: support, reason: 'ticket 12', until } })
    const org = teams.tenancy.forOrg(team.id, { actor })
    expect([org.can('agents:write'), org.can('members:read')]).toEqual([true, true])
    const members = ['api_keys', 'members', 'roles', 'invitations']
    const payments = ['subscriptions', 'payment_methods', 'tax_ids', 'customer_profiles', 'credits', 'billing_events']
    const refused = [...members, ...payments, 'invoices', 'organization'].map((name) => `${name}:write`)
    const missing = Object.keys(permissionCatalog).filter((permission) => !actor.can(permission))
    const secrets = Object.keys(permissionCatalog).filter((permission) => permission.endsWith(':reveal'))
    expect(secrets).toContain('credentials:reveal')
    expect(missing.sort()).toEqual([...refused, ...secrets].sort())
  })

  test('leaves out the secrets of projects too', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('customer')
    const { id: project } = await team.org.projects.create({ name: 'One', slug: 'one' })
    await team.org.projects.members.add(project, { userId, role: 'owner' })
    const permissions = ['projects:write', 'credentials:reveal', 'payment_methods:write'] as const
    const allowed = async (as?: { by: string; reason: string; until: Date }) => {
      const org = teams.tenancy.forOrg(team.id, { actor: await team.org.actorFor(userId, as) })
      return permissions.map((permission) => org.can(permission, { project }))
    }
    expect(await allowed()).toEqual([true, true, true])
    expect(await allowed({ by: await teams.newUser(), reason: 'ticket 12', until })).toEqual([true, false, false])
  })

  test('changes no members of projects either, and ends at its time', async () => {
    const team = await teams.newTeam()
    const by = await teams.newUser()
    const { id } = await team.org.projects.create({ name: 'One', slug: 'one' })
    const { userId } = await team.join('member')
    const soon = new Date(Date.now() + 60_000)
    const actor = await team.org.actorFor(team.owner.userId, { by, reason: 'ticket 12', until: soon })
    actor.impersonation?.until.setTime(Date.now() + 1e9)
    const org = teams.tenancy.forOrg(team.id, { actor })
    await expect(org.projects.members.add(id, { userId, role: 'developer' })).rejects.toThrow(/in the name of another/)
    await expect(org.organization.update({ billingEmail: 'eve@example.com' })).rejects.toThrow(ForbiddenError)
    expect(org.can('agents:read')).toBe(true)

    vi.useFakeTimers({ now: soon, toFake: ['Date'] })
    try {
      expect(org.can('agents:read')).toBe(false)
      await expect(org.agents.list()).rejects.toThrow('`until` has passed')
      await expect(org.projects.list()).rejects.toThrow('`until` has passed')
    } finally {
      vi.useRealTimers()
    }
  })

  test('cannot be chained, and must end in the future', async () => {
    const team = await teams.newTeam()
    const by = await teams.newUser()
    const reason = 'ticket 12'
    const actor = await team.org.actorFor(team.owner.userId, { by, reason, until })
    const org = teams.tenancy.forOrg(team.id, { actor })
    await expect(org.actorFor(team.owner.userId, { by, reason, until })).rejects.toThrow(ForbiddenError)
    const past = new Date(Date.now() - 60_000)
    await expect(team.org.actorFor(team.owner.userId, { by, reason, until: past })).rejects.toThrow(
      'until: is in the past',
    )
    await expect(team.org.actorFor(team.owner.userId, { by, reason: ' ', until })).rejects.toThrow(InvalidInputError)
  })
})
