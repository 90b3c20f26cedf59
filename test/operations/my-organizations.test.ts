import { describe, expect, test } from 'vitest'
import { NotFoundError } from '../../src/core/errors.js'
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

  test('is refused for the last active owner, also to two at once', async () => {
    const team = await teams.newTeam()
    const owner = teams.tenancy.forUser(team.owner.userId)
    await expect(owner.organizations.leave(team.id)).rejects.toThrow('this is the last active owner')
    const { userId } = await team.join('owner')
    const both = [owner, teams.tenancy.forUser(userId)].map((one) => one.organizations.leave(team.id))
    const left = (await Promise.allSettled(both)).filter(({ status }) => status === 'fulfilled')
    expect(left).toHaveLength(1)
  })

  test('reaches no organization of others', async () => {
    const [team, other] = [await teams.newTeam(), await teams.newTeam()]
    const { userId } = await team.join('member')
    await expect(teams.tenancy.forUser(userId).organizations.leave(other.id)).rejects.toThrow(NotFoundError)
    expect(await other.org.members.count()).toBe(1)
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
