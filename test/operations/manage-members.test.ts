import { describe, expect, test } from 'vitest'
import { ConflictError, ForbiddenError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { contend, refusalsOf, race } from '../support/contenders.js'
import { endedPeople } from '../support/ended-people.js'
import type { Org } from '../../src/org.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const lastOwner = 'organization_members: this is the last active owner; make somebody else an owner first'

async function keysOf(userId: string) {
  const rows = await teams.database.admin.query<{ status: string }>(
    'select status from platform.api_keys where user_id = $1 order by id',
    [userId],
  )
  return rows.map(({ status }) => status)
}

describe('members', () => {
  test('are added with a role, and found by person and by address', async () => {
    const team = await teams.newTeam()
    const userId = await teams.newUser()
    const member = await team.org.members.add({
      userId,
      email: ' Ada@Example.com ',
      displayName: 'Ada',
      role: 'member',
    })
    expect(member).toMatchObject({
      userId,
      email: 'ada@example.com',
      role: 'member',
      kind: 'person',
      status: 'active',
      authEpoch: 0,
    })
    expect(await team.org.members.findByUser(userId)).toEqual(member)
    expect(await team.org.members.findByEmail('ada@example.com')).toEqual(member)
    expect(await team.org.members.count()).toBe(2)
  })

  test('are refused with a role that is not there, or applies to projects only', async () => {
    const team = await teams.newTeam()
    const userId = await teams.newUser()
    const values = { userId, email: 'ada@example.com' }
    await expect(team.org.members.add({ ...values, role: 'unknown' })).rejects.toThrow(InvalidInputError)
    await team.org.roles.create({ key: 'guest', name: 'Guest', appliesTo: 'project' })
    await expect(team.org.members.add({ ...values, role: 'guest' })).rejects.toThrow('role: applies to projects only')
  })

  test('cannot be added twice, and nobody with an address that a member has', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('member')
    const again = { userId, email: 'other@example.com', role: 'member' }
    await expect(team.org.members.add(again)).rejects.toThrow('this person is a member already')
    await team.org.members.deactivate(memberId)
    await expect(team.org.members.add(again)).rejects.toThrow('this person is an inactive member; reactivate them')
    const same = { userId: await teams.newUser(), email: `${userId}@example.com`, role: 'member' }
    await expect(team.org.members.add(same)).rejects.toMatchObject({ code: 'conflict', fields: ['email'] })
    await expect(team.org.members.add({ ...same, userId: newId(), email: 'no@example.com' })).rejects.toMatchObject({
      code: 'broken_reference',
    })
  })

  race('of 20 who add the same person, one does', async () => {
    const team = await teams.newTeam()
    const userId = await teams.newUser()
    const { won, lost } = await contend(() =>
      team.org.members.add({ userId, email: 'ada@example.com', role: 'member' }),
    )
    expect(won).toHaveLength(1)
    expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
  })

  test('once removed are out of their projects, and their keys are revoked', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('developer')
    const project = await team.org.projects.create({ name: 'One', slug: 'one' })
    await team.org.projects.members.add(project.id, { userId, role: 'developer' })
    await team.org.apiKeys.create({ userId, name: 'ci', scopes: ['agents:read'] })

    expect(await team.org.members.remove(memberId)).toMatchObject({ id: memberId, authEpoch: 1 })
    expect(await team.org.members.find(memberId)).toBeUndefined()
    expect((await team.org.projects.members.list(project.id)).items).toEqual([])
    expect(await keysOf(userId)).toEqual(['revoked'])
  })

  test('who come back have nothing of their old rights', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('admin')
    const project = await team.org.projects.create({ name: 'One', slug: 'one' })
    await team.org.projects.members.add(project.id, { userId, role: 'developer' })
    await team.org.apiKeys.create({ userId, name: 'ci' })
    await teams.database.admin.query(
      'update platform.organization_members set invited_at = now(), invited_by = user_id where id = $1',
      [memberId],
    )
    const before = await team.org.members.remove(memberId)

    const back = await team.org.members.add({ userId, email: 'new@example.com', role: 'customer' })
    expect(back).toMatchObject({
      id: memberId,
      email: 'new@example.com',
      displayName: null,
      role: 'customer',
      status: 'active',
      invitedAt: null,
      invitedBy: null,
      authEpoch: 2,
      deletedAt: null,
    })
    expect(back.joinedAt.getTime()).toBeGreaterThan(before.joinedAt.getTime())
    expect((await team.org.projects.members.list(project.id)).items).toEqual([])
    expect(await keysOf(userId)).toEqual(['revoked'])
  })

  test('are deactivated and reactivated, and their epoch rises once', async () => {
    const team = await teams.newTeam()
    const { memberId } = await team.join('member')
    expect(await team.org.members.deactivate(memberId)).toMatchObject({ status: 'inactive', authEpoch: 1 })
    expect(await team.org.members.deactivate(memberId)).toMatchObject({ status: 'inactive', authEpoch: 1 })
    expect(await team.org.members.reactivate(memberId)).toMatchObject({ status: 'active', authEpoch: 1 })
  })

  test('keep their rights for the request that has begun, and lose them at the next', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('member')
    const org = await team.as(userId)
    await team.org.members.changeRole(memberId, 'customer')
    expect(org.can('agents:write')).toBe(true)
    expect((await team.as(userId)).can('agents:write')).toBe(false)
  })
})

describe('with an actor, nobody', () => {
  test('gives a role that exceeds their own', async () => {
    const team = await teams.newTeam()
    const manager = await team.as((await team.join('manager')).userId)
    const { memberId } = await team.join('member')
    const userId = await teams.newUser()
    await expect(manager.members.add({ userId, email: 'eve@example.com', role: 'admin' })).rejects.toThrow(
      /^the role admin has permissions that you lack: /,
    )
    await expect(manager.members.changeRole(memberId, 'owner')).rejects.toThrow(ForbiddenError)
    await expect(manager.members.addService({ name: 'bot', role: 'developer' })).rejects.toThrow(ForbiddenError)
    expect(await manager.members.add({ userId, email: 'eve@example.com', role: 'member' })).toMatchObject({ userId })
  })

  test('changes, deactivates, removes or succeeds a member whose role exceeds their own', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('manager')
    const { members } = await team.as(userId)
    const admin = (await team.join('admin')).memberId
    for (const refused of await refusalsOf([
      members.update(admin, { displayName: 'Eve' }),
      members.changeRole(admin, 'member'),
      members.deactivate(admin),
      members.reactivate(admin),
      members.remove(admin),
      members.transferOwnership(memberId, { from: team.owner.memberId }),
    ])) {
      expect(() => {
        throw refused as Error
      }).toThrow(ForbiddenError)
    }
    expect(await team.org.members.get(admin)).toMatchObject({ role: 'admin', status: 'active' })
  })

  test('manages members without the permission', async () => {
    const team = await teams.newTeam()
    const { members } = await team.as((await team.join('developer')).userId)
    expect(await members.count()).toBe(2)
    await expect(members.remove(team.owner.memberId)).rejects.toThrow(new ForbiddenError('members:write'))
    await expect(members.add({} as never)).rejects.toThrow(new ForbiddenError('members:write'))
  })

  test('manages members or roles while the organization does not allow it; backend code does', async () => {
    const team = await teams.newTeam({ allowUserManagement: false })
    const org = await team.as(team.owner.userId)
    const { memberId } = await team.join('member')
    const userId = await teams.newUser()
    const project = await team.org.projects.create({ name: 'One', slug: 'one' })
    await team.org.projects.members.add(project.id, { userId: team.owner.userId, role: 'developer' })
    const added = { userId: (await team.join('member')).userId, role: 'developer' }
    for (const refused of await refusalsOf([
      org.members.add({ userId, email: `${userId}@example.com`, role: 'member' }),
      org.members.addService({ name: 'bot', role: 'member' }),
      org.members.update(memberId, { displayName: 'Ada' }),
      org.members.changeRole(memberId, 'customer'),
      org.members.deactivate(memberId),
      org.members.reactivate(memberId),
      org.members.remove(memberId),
      org.members.transferOwnership(memberId),
      org.roles.create({ key: 'support', name: 'Support' }),
      org.roles.update('customer', { name: 'Guest' }),
      org.roles.grant('customer', 'agents:read'),
      org.roles.revoke('customer', 'agents:read'),
      org.roles.delete('customer'),
      org.projects.members.add(project.id, added),
      org.projects.members.changeRole(project.id, team.owner.userId, 'read_only'),
      org.projects.members.remove(project.id, team.owner.userId),
    ])) {
      expect(refused).toBeInstanceOf(ForbiddenError)
      expect(() => {
        throw refused as Error
      }).toThrow('allow_user_management is false')
    }
    expect(await team.org.members.changeRole(memberId, 'customer')).toMatchObject({ role: 'customer' })
  })
})

describe('the last active owner', () => {
  test('can neither be demoted, deactivated nor removed', async () => {
    const team = await teams.newTeam()
    const { memberId } = team.owner
    for (const refused of await refusalsOf([
      team.org.members.changeRole(memberId, 'admin'),
      team.org.members.deactivate(memberId),
      team.org.members.remove(memberId),
    ])) {
      expect(() => {
        throw refused as Error
      }).toThrow(lastOwner)
    }
    const second = await team.join('owner')
    await team.org.members.deactivate(second.memberId)
    await expect(team.org.members.remove(memberId)).rejects.toThrow(lastOwner)
    await team.org.members.reactivate(second.memberId)
    expect(await team.org.members.remove(memberId)).toMatchObject({ id: memberId })
  })

  race('stays when 20 owners are removed at once', async () => {
    const team = await teams.newTeam()
    const owners = [team.owner.memberId]
    while (owners.length < 20) owners.push((await team.join('owner')).memberId)
    const verbs = [
      (id: string) => team.org.members.remove(id),
      (id: string) => team.org.members.deactivate(id),
      (id: string) => team.org.members.changeRole(id, 'admin'),
    ]
    const { won, lost } = await contend(async (index) => verbs[index % 3]?.(owners[index] ?? ''))
    expect(won).toHaveLength(19)
    expect(lost).toEqual([expect.objectContaining({ message: lastOwner })])
    expect(await team.org.members.count({ role: 'owner', status: 'active' })).toBe(1)
  })

  test('steps down when the ownership is transferred, in one step', async () => {
    const team = await teams.newTeam()
    const { memberId } = await team.join('member')
    const org = await team.as(team.owner.userId)
    expect(await org.members.transferOwnership(memberId)).toMatchObject({ id: memberId, role: 'owner' })
    expect(await team.org.members.get(team.owner.memberId)).toMatchObject({ role: 'admin' })

    await expect(team.org.members.transferOwnership(team.owner.memberId)).rejects.toThrow('from: is missing')
    const back = await team.org.members.transferOwnership(team.owner.memberId, { from: memberId, role: 'customer' })
    expect(back).toMatchObject({ role: 'owner' })
    expect(await team.org.members.get(memberId)).toMatchObject({ role: 'customer' })
  })

  race('hands over to one of 20 at once', async () => {
    const team = await teams.newTeam()
    const heirs: string[] = []
    while (heirs.length < 20) heirs.push((await team.join('admin')).memberId)
    const from = team.owner.memberId
    const { won, lost } = await contend((heir) => team.org.members.transferOwnership(heirs[heir] ?? '', { from }))
    expect(won).toHaveLength(1)
    expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
    expect((await team.org.members.list({ role: 'owner' })).items).toEqual(won)
  })

  test('cannot hand over to themselves, an inactive member or a service, nor on behalf of somebody who is none', async () => {
    const team = await teams.newTeam()
    const { owner, org } = team
    const { memberId } = await team.join('member')
    const service = await org.members.addService({ name: 'bot', role: 'member' })
    await expect(org.members.transferOwnership(owner.memberId, { from: owner.memberId })).rejects.toThrow(
      InvalidInputError,
    )
    await expect(org.members.transferOwnership(service.id, { from: owner.memberId })).rejects.toThrow(ConflictError)
    await expect(org.members.transferOwnership(memberId, { from: memberId })).rejects.toThrow(ConflictError)
    await org.members.deactivate(memberId)
    await expect(org.members.transferOwnership(memberId, { from: owner.memberId })).rejects.toThrow(ConflictError)
    expect(await org.members.get(owner.memberId)).toMatchObject({ role: 'owner' })
  })
})

describe('a service', () => {
  test('is a member that is no person', async () => {
    const team = await teams.newTeam()
    const service = await team.org.members.addService({ name: 'Deploy bot', role: 'developer' })
    expect(service).toMatchObject({ kind: 'service', displayName: 'Deploy bot', role: 'developer', status: 'active' })
    const people = await teams.database.admin.query('select kind, email from platform.users where id = $1', [
      service.userId,
    ])
    expect(people).toEqual([{ kind: 'service', email: `${service.userId}@service.invalid` }])
  })
})

test('a member of another organization is not found', async () => {
  const [one, other] = [await teams.newTeam(), await teams.newTeam()]
  for (const refused of await refusalsOf([
    one.org.members.changeRole(other.owner.memberId, 'member'),
    one.org.members.remove(other.owner.memberId),
    one.org.members.deactivate(newId()),
  ])) {
    expect(() => {
      throw refused as Error
    }).toThrow(NotFoundError)
  }
})

describe('in a transaction of isolation', () => {
  test.each(['repeatable read', 'serializable'] as const)(
    '%s, members and roles cannot be changed',
    async (isolation) => {
      const team = await teams.newTeam()
      const { memberId } = await team.join('member')
      for (const work of [
        (org: Org) => org.members.changeRole(memberId, 'customer'),
        (org: Org) => org.roles.create({ key: 'support', name: 'Support' }),
        (org: Org) => org.members.remove(memberId),
      ]) {
        await expect(team.org.transaction(work as never, { isolation })).rejects.toThrow(
          `members, roles and invitations cannot be changed in a transaction of isolation ${isolation}`,
        )
      }
      expect(await team.org.members.get(memberId)).toMatchObject({ role: 'member' })
    },
  )
})

describe('an owner who cannot act', () => {
  test.each(endedPeople)('%s counts as none', async (_, set) => {
    const team = await teams.newTeam()
    const second = await team.join('owner')
    await teams.database.admin.query(`update platform.users set ${set} where id = $1`, [second.userId])
    await expect(team.org.members.remove(team.owner.memberId)).rejects.toThrow(lastOwner)
    await expect(teams.system().users.suspend(team.owner.userId)).rejects.toThrow(/the last active owner/)
    const { memberId } = await team.join('member')
    const member = await team.org.members.get(memberId)
    await teams.database.admin.query(`update platform.users set ${set} where id = $1`, [member.userId])
    await expect(team.org.members.changeRole(memberId, 'owner')).rejects.toThrow(/only an active person can own/)
    await expect(team.org.members.transferOwnership(memberId, { from: team.owner.memberId })).rejects.toThrow(
      /only an active person can own/,
    )
  })

  test('a service is none, and cannot be made one', async () => {
    const team = await teams.newTeam()
    await expect(team.org.members.addService({ name: 'bot', role: 'owner' })).rejects.toThrow(/only a person can own/)
    const service = await team.org.members.addService({ name: 'bot', role: 'member' })
    await expect(team.org.members.changeRole(service.id, 'owner')).rejects.toThrow(/only an active person can own/)
    // A service of another organization, added as if it were a person.
    const other = await teams.newTeam()
    const foreign = await other.org.members.addService({ name: 'bot', role: 'member' })
    const added = await team.org.members.add({ userId: foreign.userId, email: 'bot@example.com', role: 'member' })
    await expect(team.org.members.changeRole(added.id, 'owner')).rejects.toThrow(/only an active person can own/)
    await expect(team.org.actorFor(foreign.userId)).rejects.toThrow(ForbiddenError)
  })
})

test('a member’s roles in projects count when somebody changes or removes them', async () => {
  const team = await teams.newTeam()
  const { userId, memberId } = await team.join('customer')
  const project = await team.org.projects.create({ name: 'One', slug: 'one' })
  await team.org.projects.members.add(project.id, { userId, role: 'owner' })
  const { members } = await team.as((await team.join('manager')).userId)
  await expect(members.remove(memberId)).rejects.toThrow(/has permissions that you lack/)
  await expect(members.deactivate(memberId)).rejects.toThrow(/has permissions that you lack/)
  await team.org.projects.members.remove(project.id, userId)
  expect(await members.remove(memberId)).toMatchObject({ id: memberId })
})

test('a job manages members also where the organization does not allow it', async () => {
  const team = await teams.newTeam({ allowUserManagement: false })
  const { memberId } = await team.join('member')
  const org = teams.tenancy.forOrg(team.id, { actor: teams.tenancy.job('directory sync') })
  expect(await org.members.changeRole(memberId, 'customer')).toMatchObject({ role: 'customer' })
})

test('bad input of any kind is refused by its name', async () => {
  const team = await teams.newTeam()
  const { memberId } = await team.join('member')
  const org = await team.as(team.owner.userId)
  await expect(org.members.transferOwnership(memberId, { from: 5 } as never)).rejects.toThrow('from: must be a UUID')
  await expect(org.members.add(null as never)).rejects.toThrow(InvalidInputError)
  await expect(org.roles.create(undefined as never)).rejects.toThrow(InvalidInputError)
  await expect(org.apiKeys.create(null as never)).rejects.toThrow(InvalidInputError)
  expect(await team.org.members.get(team.owner.memberId)).toMatchObject({ role: 'owner' })
})

describe('where the last step fails', () => {
  /** Refuses rows of members that are so, while `work` runs. */
  async function refusing(row: string, work: () => Promise<unknown>): Promise<void> {
    const { admin } = teams.database
    await admin.query(
      `alter table platform.organization_members add constraint refused check (not coalesce(${row}, false)) not valid`,
    )
    try {
      await expect(work()).rejects.toThrow(InvalidInputError)
    } finally {
      await admin.query('alter table platform.organization_members drop constraint refused')
    }
  }

  test('nobody is promoted', async () => {
    const team = await teams.newTeam()
    const { memberId } = await team.join('member')
    const from = team.owner.memberId
    await refusing(`id = '${from}' and role = 'admin'`, () => team.org.members.transferOwnership(memberId, { from }))
    expect(await team.org.members.get(memberId)).toMatchObject({ role: 'member' })
    expect(await team.org.members.get(from)).toMatchObject({ role: 'owner' })
  })

  test('a member who is not removed keeps their keys and projects', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('developer')
    const project = await team.org.projects.create({ name: 'One', slug: 'one' })
    await team.org.projects.members.add(project.id, { userId, role: 'developer' })
    const { token } = await team.org.apiKeys.create({ userId, name: 'ci' })
    await refusing(`id = '${memberId}' and deleted_at is not null`, () => team.org.members.remove(memberId))
    expect(await team.org.projects.members.find(project.id, userId)).toMatchObject({ role: 'developer' })
    await expect(teams.tenancy.authenticateApiKey(token)).resolves.toBeDefined()
  })
})

test('memberships of projects are read by project alone, which hides those of a deleted one', async () => {
  const { org } = await teams.newTeam()
  const include = { projectMembers: true } as never
  await expect(org.members.list({ include })).rejects.toMatchObject({ code: 'invalid_input' })
})
