import { describe, expect, test } from 'vitest'
import { InvalidInputError, PlanLimitError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { contend, race } from '../support/contenders.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()

const address = () => `${newId()}@example.com`
const invite = (team: Team, email: string, role = 'member') => team.org.invitations.create({ email, role })
const expire = (id: string) =>
  teams.database.admin.query(
    `update platform.organization_invitations set expires_at = now() - interval '1 second' where id = $1`,
    [id],
  )

describe('of members', () => {
  test('are taken by active people alone', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ maxMembers: 2 }) })
    await team.org.members.addService({ name: 'bot', role: 'developer' })
    const { memberId } = await team.join('member')
    await expect(team.join('member')).rejects.toMatchObject({ limitName: 'max_members', limit: 2, current: 2 })
    await team.org.members.deactivate(memberId)
    const { memberId: other } = await team.join('member')
    await expect(team.org.members.reactivate(memberId)).rejects.toThrow(PlanLimitError)
    await team.org.members.remove(other)
    await expect(team.org.members.reactivate(memberId)).resolves.toMatchObject({ status: 'active' })
    await expect(team.org.members.reactivate(memberId)).resolves.toMatchObject({ status: 'active' })
  })

  test('a removed member takes one again', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ maxMembers: 2 }) })
    const { userId, memberId } = await team.join('member')
    await team.org.members.remove(memberId)
    await team.join('member')
    const back = { userId, email: `${userId}@example.com`, role: 'member' }
    await expect(team.org.members.add(back)).rejects.toThrow(PlanLimitError)
  })

  race('of 50 who are added at once, as many come in as there are seats', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ maxMembers: 4 }) })
    const people: string[] = []
    for (let made = 0; made < 50; made++) people.push(await teams.newUser())
    const { won, lost } = await contend((contender) => {
      const userId = people[contender] ?? ''
      return team.org.members.add({ userId, email: `${userId}@example.com`, role: 'member' })
    }, 50)
    expect(won).toHaveLength(3)
    expect(lost.every((error) => error instanceof PlanLimitError)).toBe(true)
    expect(await team.org.members.count({ status: 'active' })).toBe(4)
  })
})

describe('of invitations', () => {
  test('are taken by pending invitations, and free when they are settled or expire', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ maxMembers: 3 }) })
    const [first, second] = [await invite(team, address()), await invite(team, address())]
    await expect(invite(team, address())).rejects.toThrow(PlanLimitError)
    await expect(team.join('member')).rejects.toThrow(PlanLimitError)
    // Inviting an address again takes no further seat.
    await expect(team.org.invitations.resend(first.invitation.id)).resolves.toBeDefined()
    await team.org.invitations.revoke(second.invitation.id)
    const third = await invite(team, address())
    await expire(third.invitation.id)
    await team.join('member')
    await expect(team.org.invitations.resend(third.invitation.id)).rejects.toThrow(PlanLimitError)
    await expect(invite(team, third.invitation.email)).rejects.toThrow(PlanLimitError)
  })

  test('accepting takes no further one, and is refused when the plan has become too small', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ maxMembers: 2 }) })
    const email = address()
    const guest = teams.tenancy.forUser(await teams.newUser({ email }))
    const { token } = await invite(team, email)
    await teams.subscribe(team, await teams.newPlan({ maxMembers: 1 }))
    await expect(guest.invitations.accept(token)).rejects.toThrow(PlanLimitError)
    await teams.subscribe(team, await teams.newPlan({ maxMembers: 2 }))
    await expect(guest.invitations.accept(token)).resolves.toBeDefined()
  })

  test('are asked for before a member or an address is found to be there', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ maxMembers: 2 }) })
    const { userId } = await team.join('member')
    const email = `${userId}@example.com`
    await expect(invite(team, email)).rejects.toThrow(PlanLimitError)
    await expect(team.org.members.add({ userId, email, role: 'member' })).rejects.toThrow(PlanLimitError)
    await expect(invite(team, address(), 'unknown')).rejects.toThrow(InvalidInputError)
  })

  race('at one free seat 50 people who are invited at once get one invitation', async () => {
    const team = await teams.newTeam({ plan: await teams.newPlan({ maxMembers: 2 }) })
    const { won, lost } = await contend(() => invite(team, address()), 50)
    expect(won).toHaveLength(1)
    expect(lost.every((error) => error instanceof PlanLimitError)).toBe(true)
  })
})
