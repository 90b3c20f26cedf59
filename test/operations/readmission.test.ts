import { describe, expect, test } from 'vitest'
import { ForbiddenError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { invitationState } from '../../src/schema/invitations.js'
import type { Org } from '../../src/org.js'
import { waitersFor } from '../support/contenders.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()

const address = () => `${newId()}@example.com`

async function guest(email = address()) {
  const userId = await teams.newUser({ email })
  return { email, userId, user: teams.tenancy.forUser(userId) }
}

const memberOf = async (team: Team, { userId, email }: { userId: string; email: string }, role: string) =>
  team.org.members.add({ userId, email, role })

describe('an invitation', () => {
  test.each(['remove', 'deactivate'] as const)(
    'from before somebody was added does not let them back in after %s',
    async (end) => {
      const team = await teams.newTeam()
      const bob = await guest()
      const { token, invitation } = await team.org.invitations.create({ email: bob.email, role: 'developer' })
      const member = await memberOf(team, bob, 'member')
      expect(invitationState(await team.org.invitations.get(invitation.id))).toBe('revoked')
      await team.org.members[end](member.id)
      await expect(bob.user.invitations.accept(token)).rejects.toThrow(NotFoundError)
    },
  )

  test.each(['remove', 'deactivate'] as const)(
    'from before %s does not let them back in, whatever address they have there',
    async (end) => {
      const team = await teams.newTeam()
      const bob = await guest()
      const member = await memberOf(team, { ...bob, email: address() }, 'member')
      const { token, invitation } = await team.org.invitations.create({ email: bob.email, role: 'developer' })
      await team.org.members[end](member.id)
      await expect(bob.user.invitations.accept(token)).rejects.toThrow(NotFoundError)
      // Sent again afterwards, it is an invitation to come back.
      const again = await team.org.invitations.resend(invitation.id)
      await expect(bob.user.invitations.accept(again.token)).resolves.toMatchObject({ role: 'developer' })
    },
  )

  test.each(['remove', 'deactivate'] as const)(
    'from before %s does not let them back in, though the transaction had begun before',
    async (end) => {
      const team = await teams.newTeam()
      const bob = await guest()
      const member = await memberOf(team, { ...bob, email: address() }, 'member')
      const { token } = await team.org.transaction(async (org) => {
        await org.members.find(member.id)
        const sent = await team.org.invitations.create({ email: bob.email, role: 'developer' })
        await org.members[end](member.id)
        return sent
      })
      await expect(bob.user.invitations.accept(token)).rejects.toThrow(NotFoundError)
      const again = await team.org.transaction(async (org) => {
        const sent = await org.invitations.create({ email: bob.email, role: 'member' })
        if (end === 'deactivate') await org.members.reactivate(member.id)
        else await org.members.add({ userId: bob.userId, email: address(), role: 'member' })
        await org.members[end](member.id)
        return sent
      })
      await expect(bob.user.invitations.accept(again.token)).rejects.toThrow(NotFoundError)
    },
  )

  test.each(['remove', 'deactivate'] as const)(
    'from after %s lets them back in, though the transaction had begun before',
    async (end) => {
      const team = await teams.newTeam()
      for (const verb of ['create', 'resend'] as const) {
        const bob = await guest()
        const member = await memberOf(team, { ...bob, email: address() }, 'member')
        const values = { email: bob.email, role: 'developer' }
        const before = verb === 'resend' ? await team.org.invitations.create(values) : undefined
        const { token } = await team.org.transaction(async (org) => {
          await org.members.find(member.id)
          await team.org.members[end](member.id)
          return before === undefined ? org.invitations.create(values) : org.invitations.resend(before.invitation.id)
        })
        await expect(bob.user.invitations.accept(token), verb).resolves.toMatchObject({ role: 'developer' })
      }
    },
  )

  test('from before somebody was deactivated does not let them back in after another change of theirs', async () => {
    const team = await teams.newTeam()
    const bob = await guest()
    await team.org.roles.create({ key: 'guest', name: 'Guest' })
    const member = await memberOf(team, { ...bob, email: address() }, 'guest')
    const changes: ((org: Org) => Promise<unknown>)[] = [
      (org) => org.members.update(member.id, { displayName: 'Bob' }),
      (org) => org.roles.delete('guest', { reassignTo: 'member' }),
      (org) => org.members.changeRole(member.id, 'customer'),
    ]
    for (const change of changes) {
      const { token } = await team.org.transaction(async (org) => {
        await org.members.find(member.id)
        const sent = await team.org.invitations.create({ email: bob.email, role: 'developer' })
        await team.org.members.deactivate(member.id)
        await change(org)
        return sent
      })
      await expect(bob.user.invitations.accept(token)).rejects.toThrow(NotFoundError)
      await team.org.members.reactivate(member.id)
    }
  })

  test('from before somebody was removed does not let them back in with the role that took over from a deleted one', async () => {
    const team = await teams.newTeam()
    const bob = await guest()
    await team.org.roles.create({ key: 'guest', name: 'Guest' })
    const member = await memberOf(team, { ...bob, email: address() }, 'member')
    const { token, invitation } = await team.org.invitations.create({ email: bob.email, role: 'guest' })
    await team.org.members.remove(member.id)
    await team.org.roles.delete('guest', { reassignTo: 'customer' })
    await expect(bob.user.invitations.accept(token)).rejects.toThrow(NotFoundError)
    const again = await team.org.invitations.resend(invitation.id)
    await expect(bob.user.invitations.accept(again.token)).resolves.toMatchObject({ role: 'customer' })
  })

  test('brings back an inactive member only where the inviter may change their role', async () => {
    const team = await teams.newTeam()
    const ada = await guest()
    const member = await memberOf(team, ada, 'admin')
    await team.org.members.deactivate(member.id)
    const manager = await team.as((await team.join('manager')).userId)
    await expect(manager.members.reactivate(member.id)).rejects.toThrow(ForbiddenError)
    const { token } = await manager.invitations.create({ email: ada.email, role: 'member' })
    await expect(ada.user.invitations.accept(token)).rejects.toThrow('may not give it any more')
    const byOwner = await (await team.as(team.owner.userId)).invitations.create({ email: ada.email, role: 'member' })
    await expect(ada.user.invitations.accept(byOwner.token)).resolves.toMatchObject({ role: 'member' })
  })

  test('of a key is one of the person whom the key belongs to', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('admin')
    const scopes = ['invitations:read', 'invitations:write', 'roles:read', 'members:read', 'agents:read']
    await team.org.roles.create({ key: 'guest', name: 'Guest', permissions: ['agents:read'] })
    const key = await team.org.apiKeys.create({ userId, name: 'ci', scopes })
    const { org } = await teams.tenancy.authenticateApiKey(key.token)
    const puppet = await guest()
    const { token, invitation } = await org.invitations.create({ email: puppet.email, role: 'guest' })
    expect(invitation.invitedBy).toBe(userId)
    await team.org.members.remove(memberId)
    await expect(puppet.user.invitations.accept(token)).rejects.toThrow('may not give it any more')
  })

  test('is revoked when its inviter is erased', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('admin')
    const puppet = await guest()
    const { token } = await (await team.as(userId)).invitations.create({ email: puppet.email, role: 'admin' })
    await teams.system().users.erase(userId)
    await expect(puppet.user.invitations.accept(token)).rejects.toThrow(NotFoundError)
  })

  test('to a role that exceeds the own one is neither replaced nor lowered', async () => {
    const team = await teams.newTeam()
    const email = address()
    const { token } = await (await team.as(team.owner.userId)).invitations.create({ email, role: 'admin' })
    const manager = await team.as((await team.join('manager')).userId)
    await expect(manager.invitations.create({ email, role: 'member' })).rejects.toThrow(ForbiddenError)
    expect(await teams.tenancy.invitations.preview(token)).toMatchObject({ role: { key: 'admin' } })
  })

  test('to a role that exceeds the own one is not revoked by adding somebody else under its address', async () => {
    const team = await teams.newTeam()
    const email = address()
    const { token } = await (await team.as(team.owner.userId)).invitations.create({ email, role: 'admin' })
    const manager = await team.as((await team.join('manager')).userId)
    const straw = { userId: await teams.newUser(), email, role: 'customer' }
    await expect(manager.members.add(straw)).rejects.toThrow(ForbiddenError)
    expect(await teams.tenancy.invitations.preview(token)).toMatchObject({ role: { key: 'admin' } })
    await expect((await team.as(team.owner.userId)).members.add(straw)).resolves.toMatchObject({ email })
    expect(await teams.tenancy.invitations.preview(token)).toBeUndefined()
  })

  test('to a role that the actor holds is revoked by adding somebody under its address', async () => {
    const team = await teams.newTeam()
    const email = address()
    const { token } = await team.org.invitations.create({ email, role: 'customer' })
    const manager = await team.as((await team.join('manager')).userId)
    const values = { userId: await teams.newUser(), email, role: 'customer' }
    await expect(manager.members.add(values)).resolves.toMatchObject({ email })
    expect(await teams.tenancy.invitations.preview(token)).toBeUndefined()
  })

  test('is refused when the person is suspended while they wait', async () => {
    const team = await teams.newTeam()
    const bob = await guest()
    const { token } = await team.org.invitations.create({ email: bob.email, role: 'owner' })
    let accepting: Promise<unknown> | undefined
    await team.org.transaction(async (org) => {
      await org.projects.create({ name: 'One', slug: 'one' })
      accepting = bob.user.invitations.accept(token).catch((error: unknown) => error)
      await waitersFor(teams.database.admin, '%for no key update%', 1)
      await teams.system().users.suspend(bob.userId)
    })
    expect(await accepting).toBeInstanceOf(NotFoundError)
    expect(await team.org.members.findByUser(bob.userId)).toBeUndefined()
  })
})
