import { crc32 } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { numberInBase62 } from '../../src/encryption/base62.js'
import { invitationState } from '../../src/schema/invitations.js'
import { contend, race } from '../support/contenders.js'
import { endedPeople } from '../support/ended-people.js'
import { useGuests } from '../support/guests.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const { address, person, invite, expire } = useGuests(teams)
const admin = () => teams.database.admin
const notFound = 'organization_invitations'

describe('the own list', () => {
  test('shows the pending ones of every organization that can be entered', async () => {
    const guest = await person()
    const all = [await teams.newTeam(), await teams.newTeam(), await teams.newTeam(), await teams.newTeam()]
    const [open, revoked, expired, suspended] = all as [Team, Team, Team, Team]
    const sent = new Map<Team, string>()
    for (const team of all) sent.set(team, (await invite(team, guest.email)).invitation.id)
    await invite(open, address())
    const shown = async () => (await guest.user.invitations.list()).map(({ orgId }) => orgId)
    expect(await shown()).toEqual(all.map(({ id }) => id).reverse())
    await revoked.org.invitations.revoke(sent.get(revoked) ?? '')
    await expire(sent.get(expired) ?? '')
    await teams.system().organizations.suspend(suspended.id, 'unpaid')
    expect(await shown()).toEqual([open.id])
    await guest.user.invitations.decline({ orgId: open.id, id: sent.get(open) ?? '' })
    expect(await shown()).toEqual([])
    await teams.system().organizations.reactivate(suspended.id)
    expect(await shown()).toEqual([suspended.id])
    await teams.system().organizations.delete(suspended.id)
    expect(await shown()).toEqual([])
  })

  test.each(endedPeople)('is empty for a person who is %s', async (_, set) => {
    const team = await teams.newTeam()
    const guest = await person()
    await invite(team, guest.email)
    expect(await guest.user.invitations.list()).toHaveLength(1)
    await admin().query(`update platform.users set ${set} where id = $1`, [guest.userId])
    expect(await guest.user.invitations.list()).toEqual([])
  })
})

describe('accepting', () => {
  test('by token needs the same address, confirmed or not, and does not confirm it', async () => {
    const team = await teams.newTeam()
    const guest = await person(address(), false)
    const stranger = await person()
    const { token } = await invite(team, guest.email)
    await expect(stranger.user.invitations.accept(token)).rejects.toThrow(notFound)
    await expect(stranger.user.invitations.decline(token)).rejects.toThrow(notFound)
    const member = await guest.user.invitations.accept(token)
    expect(member).toMatchObject({ userId: guest.userId, email: guest.email, role: 'member', status: 'active' })
    expect(member.invitedAt).not.toBeNull()
    expect((await guest.user.profile.get()).emailConfirmedAt).toBeNull()
    expect(await guest.user.organizations.list()).toMatchObject([{ id: team.id, role: 'member' }])
    const [row] = (await team.org.invitations.list({ email: guest.email })).items
    expect(row).toMatchObject({ acceptedBy: guest.userId })
  })

  test('from the list needs a confirmed address', async () => {
    const team = await teams.newTeam()
    const guest = await person(address(), false)
    const { invitation } = await invite(team, guest.email)
    const entry = { orgId: team.id, id: invitation.id }
    expect(await guest.user.invitations.list()).toEqual([])
    await expect(guest.user.invitations.accept(entry)).rejects.toThrow(notFound)
    await expect(guest.user.invitations.decline(entry)).rejects.toThrow(notFound)

    await teams.system().users.confirmEmail(guest.userId)
    const { name, slug } = await team.org.organization.get()
    const [mine] = await guest.user.invitations.list()
    expect(mine).toMatchObject({ ...entry, organization: { name, slug }, role: 'member' })
    expect(mine?.expiresAt).toEqual(invitation.expiresAt)
    expect(JSON.stringify(mine)).not.toContain('hash')
    await expect(guest.user.invitations.accept({ orgId: team.id, id: newId() })).rejects.toThrow(notFound)
    await expect(guest.user.invitations.accept(mine ?? entry)).resolves.toMatchObject({ userId: guest.userId })
    expect(await guest.user.invitations.list()).toEqual([])
  })

  test('gives the same answer for whatever the person cannot accept', async () => {
    const [team, other, gone] = [await teams.newTeam(), await teams.newTeam(), await teams.newTeam()]
    const guest = await person()
    const [settled, expired] = [await invite(team, guest.email), await invite(gone, guest.email)]
    await team.org.invitations.revoke(settled.invitation.id)
    await expire(expired.invitation.id)
    const foreign = await invite(other, address())
    const part = (token: string, at: number) => token.split('_')[at] ?? ''
    const rerouted = [...foreign.token.split('_').slice(0, 2), part(settled.token, 2), part(foreign.token, 3)].join('_')
    const suspended = await teams.newTeam()
    const unpaid = await invite(suspended, guest.email)
    await teams.system().organizations.suspend(suspended.id, 'unpaid')
    const refused: (string | { orgId: string; id: string })[] = [
      'nothing',
      settled.token,
      expired.token,
      foreign.token,
      `${rerouted}_${numberInBase62(crc32(rerouted), 6)}`,
      unpaid.token,
      { orgId: newId(), id: newId() },
      { orgId: other.id, id: newId() },
      { orgId: other.id, id: foreign.invitation.id },
      { orgId: other.id, id: settled.invitation.id },
      { orgId: team.id, id: settled.invitation.id },
      { orgId: gone.id, id: expired.invitation.id },
      { orgId: suspended.id, id: unpaid.invitation.id },
    ]
    for (const one of refused) {
      for (const verb of ['accept', 'decline'] as const) {
        const answer = await guest.user.invitations[verb](one).catch((error: unknown) => error)
        expect(answer, `${verb} ${JSON.stringify(one)}`).toEqual(new NotFoundError(notFound))
      }
    }
    expect(await other.org.members.count()).toBe(1)
  })

  test('is all or nothing: what cannot become a member stays invited', async () => {
    const team = await teams.newTeam()
    const guest = await person()
    const { token, invitation } = await invite(team, guest.email)
    const { memberId } = await team.join('member')
    await team.org.members.update(memberId, { email: guest.email })
    await expect(guest.user.invitations.accept(token)).rejects.toMatchObject({ code: 'conflict', fields: ['email'] })
    expect(invitationState(await team.org.invitations.get(invitation.id))).toBe('pending')
    await team.org.members.update(memberId, { email: address() })
    await expect(guest.user.invitations.accept(token)).resolves.toMatchObject({ email: guest.email })
  })

  test('is not for a service', async () => {
    const team = await teams.newTeam()
    const { userId, email } = await (await teams.newTeam()).org.members.addService({ name: 'bot', role: 'member' })
    const { token } = await invite(team, email)
    await expect(teams.tenancy.forUser(userId).invitations.accept(token)).rejects.toThrow(new NotFoundError(notFound))
    expect(await team.org.members.count()).toBe(1)
  })

  race('with one token 20 times makes one member', async () => {
    const team = await teams.newTeam()
    const guest = await person()
    const { token } = await invite(team, guest.email)
    const { won, lost } = await contend(() => guest.user.invitations.accept(token))
    expect(won).toHaveLength(1)
    expect(lost.every((error) => error instanceof NotFoundError)).toBe(true)
    expect(await team.org.members.count({ userId: guest.userId })).toBe(1)
    expect(await team.org.invitations.count({ email: guest.email, not: { acceptedAt: null } })).toBe(1)
  })

  test('and revoking at once ends in one of the two', async () => {
    const team = await teams.newTeam()
    for (let round = 0; round < 10; round++) {
      const guest = await person()
      const { token, invitation } = await invite(team, guest.email)
      const [accepted, revoked] = await Promise.allSettled([
        guest.user.invitations.accept(token),
        team.org.invitations.revoke(invitation.id),
      ])
      expect([accepted.status, revoked.status].sort()).toEqual(['fulfilled', 'rejected'])
      expect(await team.org.members.count({ userId: guest.userId })).toBe(accepted.status === 'fulfilled' ? 1 : 0)
    }
  })

  test('as an active member settles it and keeps the role, whatever became of the invited one', async () => {
    const team = await teams.newTeam()
    const guest = await person()
    await team.org.roles.create({ key: 'support', name: 'Support' })
    const { token } = await invite(team, guest.email, 'support')
    await team.org.members.add({ userId: guest.userId, email: address(), role: 'read_only' })
    await admin().query(`update platform.roles set deleted_at = now() where org_id = $1 and key = 'support'`, [team.id])
    await expect(guest.user.invitations.accept(token)).resolves.toMatchObject({ role: 'read_only' })
    const [row] = (await team.org.invitations.list({ email: guest.email })).items
    expect(row?.acceptedAt).not.toBeNull()
  })

  test('after being removed or deactivated gives the invited role, and nothing of the old rights', async () => {
    const team = await teams.newTeam()
    for (const end of ['remove', 'deactivate'] as const) {
      const guest = await person()
      const member = await team.org.members.add({ userId: guest.userId, email: guest.email, role: 'admin' })
      const key = await team.org.apiKeys.create({ userId: guest.userId, name: `key ${end}`, scopes: ['agents:read'] })
      const project = await team.org.projects.create({ name: end, slug: end })
      await team.org.projects.members.add(project.id, { userId: guest.userId, role: 'admin' })
      await team.org.members[end](member.id)
      const { token } = await invite(team, guest.email, 'read_only')
      const back = await guest.user.invitations.accept(token)
      expect(back).toMatchObject({ id: member.id, role: 'read_only', status: 'active' })
      expect(back.authEpoch).toBeGreaterThan(member.authEpoch)
      await expect(teams.tenancy.authenticateApiKey(key.token)).rejects.toMatchObject({ code: 'unauthorized' })
      expect((await team.org.projects.members.list(project.id)).items).toEqual([])
    }
  })

  test('is refused when the role is gone, or the inviter may not give it any more', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('admin')
    const [gone, demoted, removed] = [await person(), await person(), await person()]
    const asAdmin = await team.as(userId)
    await team.org.roles.create({ key: 'support', name: 'Support', permissions: ['agents:read'] })
    const tokens = [
      (await asAdmin.invitations.create({ email: gone.email, role: 'support' })).token,
      (await asAdmin.invitations.create({ email: demoted.email, role: 'admin' })).token,
      (await asAdmin.invitations.create({ email: removed.email, role: 'member' })).token,
    ]
    await admin().query(`update platform.roles set deleted_at = now() where org_id = $1 and key = 'support'`, [team.id])
    await expect(gone.user.invitations.accept(tokens[0] ?? '')).rejects.toThrow('the role is gone')
    await team.org.members.changeRole(memberId, 'manager')
    await expect(demoted.user.invitations.accept(tokens[1] ?? '')).rejects.toThrow('may not give it any more')
    await team.org.members.remove(memberId)
    await expect(removed.user.invitations.accept(tokens[2] ?? '')).rejects.toThrow('ask for another invitation')
    expect(await team.org.members.count()).toBe(1)
  })

  test('is refused when the inviter may not invite any more', async () => {
    const team = await teams.newTeam()
    await team.org.roles.create({
      key: 'host',
      name: 'Host',
      permissions: ['invitations:read', 'invitations:write', 'agents:read'],
    })
    await team.org.roles.create({ key: 'guest', name: 'Guest', permissions: ['agents:read'] })
    const host = await team.as((await team.join('host')).userId)
    const guest = await person()
    const { token } = await host.invitations.create({ email: guest.email, role: 'guest' })
    await team.org.roles.revoke('host', 'invitations:write')
    await expect(guest.user.invitations.accept(token)).rejects.toThrow('may not give it any more')
    await team.org.roles.grant('host', 'invitations:write')
    await expect(guest.user.invitations.accept(token)).resolves.toMatchObject({ role: 'guest' })
  })

  test('is refused for somebody who is banned, and in an organization that is suspended or deleted', async () => {
    const team = await teams.newTeam()
    const guest = await person()
    const { token } = await invite(team, guest.email)
    await teams.system().users.ban(guest.userId, new Date(Date.now() + 3_600_000))
    await expect(guest.user.invitations.accept(token)).rejects.toThrow(notFound)
    await teams.system().users.reactivate(guest.userId)
    await teams.system().organizations.suspend(team.id, 'unpaid')
    await expect(guest.user.invitations.accept(token)).rejects.toThrow(notFound)
    await teams.system().organizations.reactivate(team.id)
    await teams.system().organizations.delete(team.id)
    await expect(guest.user.invitations.accept(token)).rejects.toThrow(notFound)
  })
})
