import { describe, expect, test } from 'vitest'
import { ConflictError, NotFoundError, OrganizationSuspendedError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { contend, race } from '../support/contenders.js'
import { endedPeople } from '../support/ended-people.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()

describe('leaving', () => {
  test('ends the membership, without any permission', async () => {
    const team = await teams.newTeam({ allowUserManagement: false })
    const { userId, memberId } = await team.join('customer')
    const user = teams.tenancy.forUser(userId)
    await expect(user.organizations.leave(team.id)).resolves.toMatchObject({ id: memberId })
    expect(await team.org.members.find(memberId)).toBeUndefined()
    expect(await user.organizations.list()).toEqual([])
    await expect(user.organizations.leave(team.id)).rejects.toThrow('organization_members')
  })

  race('is refused for the last active owner, also when 20 leave at once', async () => {
    const team = await teams.newTeam()
    const owners = [teams.tenancy.forUser(team.owner.userId)]
    await expect(owners[0]?.organizations.leave(team.id)).rejects.toThrow('this is the last active owner')
    while (owners.length < 20) owners.push(teams.tenancy.forUser((await team.join('owner')).userId))
    const { won, lost } = await contend(async (index) => owners[index]?.organizations.leave(team.id))
    expect(won).toHaveLength(19)
    expect(lost).toEqual([expect.any(ConflictError)])
    expect(await team.org.members.count({ role: 'owner' })).toBe(1)
  })

  test('reaches no organization of others', async () => {
    const [team, other] = [await teams.newTeam(), await teams.newTeam()]
    const { userId } = await team.join('member')
    await expect(teams.tenancy.forUser(userId).organizations.leave(other.id)).rejects.toThrow(NotFoundError)
    expect(await other.org.members.count()).toBe(1)
  })

  test('answers the same for an organization of others, whether it is suspended, deleted or not there', async () => {
    const [other, suspended, deleted] = [await teams.newTeam(), await teams.newTeam(), await teams.newTeam()]
    await teams.system().organizations.suspend(suspended.id, 'unpaid')
    await teams.system().organizations.delete(deleted.id)
    const { organizations } = teams.tenancy.forUser(await teams.newUser())
    for (const id of [other.id, suspended.id, deleted.id, newId()])
      await expect(organizations.leave(id), id).rejects.toEqual(new NotFoundError('organization_members'))
  })

  test('tells a member that the organization is suspended', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('member')
    const removed = await team.join('member')
    await team.org.members.remove(removed.memberId)
    await teams.system().organizations.suspend(team.id, 'unpaid')
    const leave = (id: string) => teams.tenancy.forUser(id).organizations.leave(team.id)
    await expect(leave(userId)).rejects.toThrow(OrganizationSuspendedError)
    await expect(leave(removed.userId)).rejects.toEqual(new NotFoundError('organization_members'))
    await teams.system().organizations.reactivate(team.id)
    await expect(leave(userId)).resolves.toMatchObject({ id: memberId })
  })

  test('is open to a member who was deactivated', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('member')
    await team.org.members.deactivate(memberId)
    await expect(teams.tenancy.forUser(userId).organizations.leave(team.id)).resolves.toMatchObject({ id: memberId })
  })
})

describe('the list', () => {
  test('shows a suspended organization as such, and no deleted one', async () => {
    const [one, other] = [await teams.newTeam({ name: 'A first' }), await teams.newTeam({ name: 'B second' })]
    const { userId } = await one.join('member')
    await other.org.members.add({ userId, email: `${userId}@example.com`, role: 'admin' })
    const { organizations } = teams.tenancy.forUser(userId)
    await teams.system().organizations.suspend(one.id, 'unpaid')
    const shown = { slug: expect.any(String) as string }
    expect(await organizations.list()).toEqual([
      { id: one.id, name: 'A first', role: 'member', status: 'suspended', ...shown },
      { id: other.id, name: 'B second', role: 'admin', status: 'active', ...shown },
    ])
    await teams.system().organizations.delete(one.id)
    await expect(organizations.list()).resolves.toMatchObject([{ id: other.id }])
  })

  test.each(endedPeople)('is empty for a person who is %s', async (_, set) => {
    const team = await teams.newTeam()
    const { userId } = await team.join('member')
    const { organizations } = teams.tenancy.forUser(userId)
    await expect(organizations.list()).resolves.toHaveLength(1)
    await teams.database.admin.query(`update platform.users set ${set} where id = $1`, [userId])
    await expect(organizations.list()).resolves.toEqual([])
  })
})

test('a person reads their own log, newest first', async () => {
  const user = teams.tenancy.forUser(await teams.newUser())
  await user.sessions.start()
  await user.profile.update({ firstName: 'Ada' })
  const { items } = await user.auditLog.list()
  expect(items.map(({ eventType }) => eventType)).toEqual(['profile.updated', 'session.started'])
  const first = await user.auditLog.list({ limit: 1 })
  expect(first.items[0]?.eventType).toBe('profile.updated')
  const second = await user.auditLog.list({ limit: 1, after: first.next })
  expect(second.items[0]?.eventType).toBe('session.started')
  const other = teams.tenancy.forUser(await teams.newUser())
  expect((await other.auditLog.list()).items).toEqual([])
})
