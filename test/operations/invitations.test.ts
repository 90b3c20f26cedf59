import { describe, expect, onTestFinished, test } from 'vitest'
import { ConflictError, ForbiddenError, InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { invitationState } from '../../src/schema/invitations.js'
import type { Tenancy } from '../../src/tenancy.js'
import { openTenancy } from '../../src/tenancy.js'
import { contend, race } from '../support/contenders.js'
import { useGuests } from '../support/guests.js'
import { keys, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const { address, person, invite, expire } = useGuests(teams)
const admin = () => teams.database.admin
const notFound = 'organization_invitations'

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
    const secret = token.split('_')[3] ?? ''
    expect(JSON.stringify(await team.org.invitations.list())).not.toContain(secret)
    const [stored] = await admin().query<{ all: string }>(
      'select row_to_json(i)::text as all from platform.organization_invitations i where id = $1',
      [invitation.id],
    )
    for (const text of [secret, Buffer.from(secret).toString('hex')]) expect(stored?.all).not.toContain(text)
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

  test('an address in another spelling is the same address', async () => {
    const team = await teams.newTeam()
    const { invitation } = await invite(team, 'office@example.com')
    // The ligature and the wide letters are the same text in NFKC.
    const again = await invite(team, ' \uFF2F\uFB03ce@Example.COM ')
    expect(again.invitation).toMatchObject({ id: invitation.id, email: 'office@example.com', sentCount: 2 })
  })

  test('again by backend code leaves it without an inviter, and then only the role is checked', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('admin')
    const guest = await person()
    await (await team.as(userId)).invitations.create({ email: guest.email, role: 'member' })
    const { invitation, token } = await invite(team, guest.email)
    expect(invitation.invitedBy).toBeNull()
    await team.org.members.remove(memberId)
    await expect(guest.user.invitations.accept(token)).resolves.toMatchObject({ role: 'member' })
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

test('text that is no token sends nothing', async () => {
  const guest = await person()
  const counted = await counting()
  const user = counted.tenancy.forUser(guest.userId)
  await expect(user.invitations.accept('tki_live_x')).rejects.toThrow(notFound)
  await expect(user.invitations.accept({ orgId: 'x', id: 'y' })).rejects.toThrow(InvalidInputError)
  expect(await counted.tenancy.invitations.preview('nothing')).toBeUndefined()
  expect(counted.trips).toEqual([])
})

/** A tenancy that counts the statements of each round trip. */
async function counting(): Promise<{ tenancy: Tenancy; trips: number[] }> {
  const trips: number[] = []
  const tenancy = await openTenancy({
    url: teams.database.appUrl,
    keys,
    onQuery: ({ statements }) => trips.push(statements.length),
  })
  onTestFinished(() => tenancy.close())
  trips.length = 0
  return { tenancy, trips }
}
