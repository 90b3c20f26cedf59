import { describe, expect, test } from 'vitest'
import { ConflictError, ForbiddenError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { invitationState } from '../../src/schema/invitations.js'
import type { Tenancy } from '../../src/tenancy.js'
import { openTenancy } from '../../src/tenancy.js'
import { contend, race } from '../support/contenders.js'
import { keys, type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const admin = () => teams.database.admin
const notFound = 'organization_invitations'

let made = 0
const address = () => `guest-${++made}-${newId()}@example.com`

/** Somebody who has an account with that address. */
async function person(email = address(), confirmed = true) {
  const userId = await teams.newUser({ email })
  if (confirmed) await teams.system().users.confirmEmail(userId)
  return { email, userId, user: teams.tenancy.forUser(userId) }
}

const invite = (team: Team, email: string, role = 'member') => team.org.invitations.create({ email, role })

const expire = (id: string) =>
  admin().query(`update platform.organization_invitations set expires_at = now() - interval '1 second' where id = $1`, [
    id,
  ])

describe('inviting', () => {
  test('gives a token that is shown once, for seven days', async () => {
    const team = await teams.newTeam()
    const { invitation, token } = await invite(team, ' Ada@Example.com ')
    expect(token).toMatch(/^tki_live_[0-9A-Za-z]{22}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$/)
    expect(invitation).toMatchObject({ email: 'ada@example.com', role: 'member', sentCount: 1, invitedBy: null })
    expect(invitation).not.toHaveProperty('tokenHash')
    const days = (invitation.expiresAt.getTime() - Date.now()) / 86_400_000
    expect(days).toBeGreaterThan(6.9)
    expect(days).toBeLessThan(7.1)
    expect(JSON.stringify(await team.org.invitations.list())).not.toContain(token.split('_')[3])
    expect(invitationState(invitation)).toBe('pending')
  })

  test('again gives a new token and a new end in the same row; the earlier token is void', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('admin')
    const guest = await person()
    const first = await invite(team, guest.email)
    const again = await (
      await team.as(userId)
    ).invitations.create({
      email: guest.email,
      role: 'read_only',
      expiresAt: new Date(Date.now() + 3_600_000),
    })
    expect(again.invitation).toMatchObject({
      id: first.invitation.id,
      role: 'read_only',
      sentCount: 2,
      invitedBy: userId,
    })
    await expect(guest.user.invitations.accept(first.token)).rejects.toThrow(NotFoundError)
    expect(await teams.tenancy.invitations.preview(first.token)).toBeUndefined()
    await expect(guest.user.invitations.accept(again.token)).resolves.toMatchObject({ role: 'read_only' })
  })

  race('of 20 at once to one address makes one row', async () => {
    const team = await teams.newTeam()
    const email = address()
    const { won } = await contend(() => invite(team, email))
    expect(won).toHaveLength(20)
    expect(await team.org.invitations.count({ email })).toBe(1)
    const { items } = await team.org.invitations.list({ email })
    expect(items[0]?.sentCount).toBe(20)
  })

  test('the address of an active member is a conflict; that of an inactive one is not', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('member')
    await expect(invite(team, `${userId}@example.com`)).rejects.toMatchObject({ code: 'conflict', fields: ['email'] })
    await team.org.members.deactivate(memberId)
    await expect(invite(team, `${userId}@example.com`)).resolves.toBeDefined()
  })

  test('answers the same for an address that is known and one that is not, with as many statements', async () => {
    const team = await teams.newTeam()
    const known = await person()
    const counted = await counting()
    const sent: number[][] = []
    const shapes: string[][] = []
    for (const email of [known.email, address()]) {
      counted.trips.length = 0
      const { invitation } = await counted.tenancy.forOrg(team.id).invitations.create({ email, role: 'member' })
      sent.push([...counted.trips])
      shapes.push(Object.entries(invitation).map(([name, value]) => `${name} ${typeof value}`))
    }
    await counted.tenancy.close()
    expect(sent[0]).toEqual(sent[1])
    expect(shapes[0]).toEqual(shapes[1])
  })

  test.each([
    ['a role that is not there', { role: 'unknown' }, 'role: is not a role'],
    ['an end in the past', { expiresAt: new Date(Date.now() - 1000) }, 'expiresAt: must be in the future'],
    ['an end in two years', { expiresAt: new Date(Date.now() + 730 * 86_400_000) }, 'at most 365 days'],
    ['an address that is none', { email: 'nobody' }, 'email'],
  ])('refuses %s', async (_, values, message) => {
    const team = await teams.newTeam()
    const inviting = team.org.invitations.create({ email: address(), role: 'member', ...values })
    await expect(inviting).rejects.toThrow(InvalidInputError)
    await expect(inviting).rejects.toThrow(message)
  })

  test('to a role that exceeds the own one is forbidden, and so is revoking such an invitation', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('manager')
    const manager = await team.as(userId)
    await expect(manager.invitations.create({ email: address(), role: 'owner' })).rejects.toThrow(ForbiddenError)
    const { invitation } = await invite(team, address(), 'owner')
    await expect(manager.invitations.revoke(invitation.id)).rejects.toThrow(ForbiddenError)
    await expect(manager.invitations.resend(invitation.id)).rejects.toThrow(ForbiddenError)
    await expect(manager.invitations.create({ email: address(), role: 'customer' })).resolves.toBeDefined()
  })

  test('is left to backend code while allow_user_management is false; pending ones can be accepted', async () => {
    const team = await teams.newTeam({ allowUserManagement: false })
    const guest = await person()
    const owner = await team.as(team.owner.userId)
    const { token, invitation } = await invite(team, guest.email)
    await expect(owner.invitations.create({ email: address(), role: 'member' })).rejects.toThrow(ForbiddenError)
    await expect(owner.invitations.resend(invitation.id)).rejects.toThrow(ForbiddenError)
    await expect(owner.invitations.revoke(invitation.id)).rejects.toThrow(ForbiddenError)
    await expect(guest.user.invitations.accept(token)).resolves.toMatchObject({ role: 'member' })

    const { organizations } = teams.system()
    expect(await organizations.setUserManagement(team.id, true)).toMatchObject({ allowUserManagement: true })
    await expect(owner.invitations.create({ email: address(), role: 'member' })).resolves.toBeDefined()
    await organizations.setUserManagement(team.id, false)
    await expect(owner.invitations.create({ email: address(), role: 'member' })).rejects.toThrow(ForbiddenError)
    await expect(organizations.setUserManagement(team.id, 'yes' as never)).rejects.toThrow(InvalidInputError)
  })
})

test.each(['repeatable read', 'serializable'] as const)(
  'inviting in a transaction of isolation %s is refused',
  async (isolation) => {
    const team = await teams.newTeam()
    const values = { email: address(), role: 'member' }
    const inviting = team.org.transaction((org) => org.invitations.create(values), { isolation })
    await expect(inviting).rejects.toThrow(`invitations cannot be changed in a transaction of isolation ${isolation}`)
  },
)

test('the system revokes what is not settled, and nothing else', async () => {
  const team = await teams.newTeam()
  const guest = await person()
  const [accepted, open, expired] = [
    await invite(team, guest.email),
    await invite(team, address()),
    await invite(team, address()),
  ]
  await guest.user.invitations.accept(accepted.token)
  await expire(expired.invitation.id)
  expect(await teams.system().organizations.revokeInvitations(team.id)).toBe(2)
  expect(await teams.system().organizations.revokeInvitations(team.id)).toBe(0)
  const { items } = await team.org.invitations.list()
  expect(items.filter((one) => invitationState(one) === 'revoked')).toHaveLength(2)
  expect(await teams.tenancy.invitations.preview(open.token)).toBeUndefined()
})

describe('resending and revoking', () => {
  test('an open invitation gets another token and end; an expired one too', async () => {
    const team = await teams.newTeam()
    const guest = await person()
    const { invitation, token } = await invite(team, guest.email)
    await expire(invitation.id)
    await expect(guest.user.invitations.accept(token)).rejects.toThrow(NotFoundError)
    const again = await team.org.invitations.resend(invitation.id)
    expect(again.invitation).toMatchObject({ id: invitation.id, sentCount: 2 })
    await expect(guest.user.invitations.accept(again.token)).resolves.toBeDefined()
  })

  test.each(['accepted', 'declined', 'revoked'] as const)('one that was %s is a conflict', async (state) => {
    const team = await teams.newTeam()
    const guest = await person()
    const { invitation, token } = await invite(team, guest.email)
    if (state === 'accepted') await guest.user.invitations.accept(token)
    if (state === 'declined') await guest.user.invitations.decline(token)
    if (state === 'revoked') await team.org.invitations.revoke(invitation.id)
    expect(invitationState(await team.org.invitations.get(invitation.id))).toBe(state)
    // An active member is the other reason.
    await expect(team.org.invitations.resend(invitation.id)).rejects.toThrow(ConflictError)
    await expect(team.org.invitations.revoke(invitation.id)).rejects.toThrow(
      'was accepted, declined or revoked; invite the address again',
    )
    await expect(guest.user.invitations.accept(token)).rejects.toThrow(NotFoundError)
    await expect(guest.user.invitations.decline(token)).rejects.toThrow(NotFoundError)
    expect(await teams.tenancy.invitations.preview(token)).toBeUndefined()
  })

  test('a settled invitation leaves room for another one', async () => {
    const team = await teams.newTeam()
    const email = address()
    const { invitation } = await invite(team, email)
    await team.org.invitations.revoke(invitation.id)
    const second = await invite(team, email)
    expect(second.invitation.id).not.toBe(invitation.id)
    await expect(team.org.invitations.resend(invitation.id)).rejects.toThrow(ConflictError)
  })

  test('expired is told by the end', async () => {
    const team = await teams.newTeam()
    const { invitation } = await invite(team, address())
    await expire(invitation.id)
    expect(invitationState(await team.org.invitations.get(invitation.id))).toBe('expired')
  })
})

describe('previewing', () => {
  test('shows the organization, the address, the role and the end', async () => {
    const team = await teams.newTeam()
    const email = address()
    const { token, invitation } = await invite(team, email)
    const { name, slug } = await team.org.organization.get()
    expect(await teams.tenancy.invitations.preview(token)).toEqual({
      organization: { name, slug },
      email,
      role: { key: 'member', name: 'Member' },
      expiresAt: invitation.expiresAt,
    })
  })

  test('is the same answer for what is unknown, expired, of another environment, or in a suspended organization', async () => {
    const team = await teams.newTeam()
    const { token, invitation } = await invite(team, address())
    const preview = (given: string) => teams.tenancy.invitations.preview(given)
    const other = await teams.newTeam()
    const { token: foreign } = await invite(other, address())
    const swapped = [...token.split('_').slice(0, 2), foreign.split('_')[2], ...token.split('_').slice(3)].join('_')
    for (const one of [swapped, token.replace('live', 'test'), `${token}x`, '', undefined as never])
      expect(await preview(one)).toBeUndefined()
    await teams.system().organizations.suspend(other.id, 'unpaid')
    expect(await preview(foreign)).toBeUndefined()
    expect(await preview(token)).toBeDefined()
    await expire(invitation.id)
    expect(await preview(token)).toBeUndefined()
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

  test('text that is no token sends nothing', async () => {
    const guest = await person()
    const counted = await counting()
    const user = counted.tenancy.forUser(guest.userId)
    await expect(user.invitations.accept('tki_live_x')).rejects.toThrow(notFound)
    await expect(user.invitations.accept({ orgId: 'x', id: 'y' })).rejects.toThrow(InvalidInputError)
    expect(await counted.tenancy.invitations.preview('nothing')).toBeUndefined()
    expect(counted.trips).toEqual([])
    await counted.tenancy.close()
  })
})

/** A tenancy that counts the statements of each round trip. */
async function counting(): Promise<{ tenancy: Tenancy; trips: number[] }> {
  const trips: number[] = []
  const tenancy = await openTenancy({
    url: teams.database.appUrl,
    keys,
    onQuery: ({ statements }) => trips.push(statements.length),
  })
  trips.length = 0
  return { tenancy, trips }
}
