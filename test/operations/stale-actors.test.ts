import { sql } from 'drizzle-orm'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ForbiddenError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import { openWithout } from '../../src/testing/walls.js'
import { race, refusalsOf, waitersFor } from '../support/contenders.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const refusal = new ForbiddenError(
  undefined,
  'this actor may no longer act: the rights of the person or the key have ended since the request began',
)

const address = () => `${newId()}@example.com`

/** How a member loses what they were. */
const ends = [
  ['removed', (team: Team, { memberId }: Joined) => team.org.members.remove(memberId)],
  ['deactivated', (team: Team, { memberId }: Joined) => team.org.members.deactivate(memberId)],
  ['suspended', (_: Team, { userId }: Joined) => teams.system().users.suspend(userId)],
  [
    'suspended and reactivated',
    async (_: Team, { userId }: Joined) => {
      await teams.system().users.suspend(userId)
      await teams.system().users.reactivate(userId)
    },
  ],
  ['banned', (_: Team, { userId }: Joined) => teams.system().users.ban(userId, new Date(Date.now() + 60_000))],
  ['deleted', (_: Team, { userId }: Joined) => teams.system().users.delete(userId)],
  ['erased', (_: Team, { userId }: Joined) => teams.system().users.erase(userId)],
] as const

type Joined = Awaited<ReturnType<Team['join']>>

/** Whatever gives rights to others, or to oneself. */
async function everyChange(team: Team, org: Org): Promise<unknown[]> {
  const other = await team.join('member')
  const project = await team.org.projects.create({ name: 'One', slug: newId() })
  await team.org.projects.members.add(project.id, { userId: other.userId, role: 'read_only' })
  const { userId: service } = await team.org.members.addService({ name: 'bot', role: 'developer' })
  const { apiKey } = await team.org.apiKeys.create({ userId: service, name: newId(), scopes: ['agents:read'] })
  const { invitation } = await team.org.invitations.create({ email: address(), role: 'member' })
  const role = await team.org.roles.create({ key: `role_${newId().slice(-12)}`, name: 'Role' })
  return refusalsOf([
    org.members.add({ userId: await teams.newUser(), email: address(), role: 'member' }),
    org.members.addService({ name: 'mine', role: 'developer' }),
    org.members.update(other.memberId, { displayName: 'Ada' }),
    org.members.changeRole(other.memberId, 'developer'),
    org.members.remove(other.memberId),
    org.invitations.create({ email: address(), role: 'member' }),
    org.invitations.resend(invitation.id),
    org.invitations.revoke(invitation.id),
    org.roles.create({ key: 'mine', name: 'Mine' }),
    org.roles.grant(role.key, 'agents:read'),
    org.projects.members.changeRole(project.id, other.userId, 'developer'),
    org.projects.members.remove(project.id, other.userId),
    org.apiKeys.create({ userId: service, name: 'mine', scopes: ['agents:read'] }),
    org.apiKeys.rotate(apiKey.id),
    org.apiKeys.update(apiKey.id, { name: 'theirs' }),
    org.apiKeys.revoke(apiKey.id),
    org.apiKeys.delete(apiKey.id),
  ])
}

describe('a request that has begun changes no rights', () => {
  test.each(ends)('once the person who acts was %s', async (_, end) => {
    const team = await teams.newTeam()
    const admin = await team.join('admin')
    const org = await team.as(admin.userId)
    await end(team, admin)
    for (const refused of await everyChange(team, org)) expect(refused).toEqual(refusal)
    expect(await team.org.roles.findByKey('mine')).toBeUndefined()
  })

  const keyEnds: [string, (team: Team, key: { id: string; userId: string; memberId: string }) => Promise<unknown>][] = [
    ...ends.map(([name, end]): (typeof keyEnds)[number] => [`is of a member who was ${name}`, end]),
    ['was revoked', (team, { id }) => team.org.apiKeys.revoke(id)],
    ['was deleted', (team, { id }) => team.org.apiKeys.delete(id)],
    ['was rotated', (team, { id }) => team.org.apiKeys.rotate(id)],
    ['has expired', (_, { id }) => administer('update platform.api_keys set expires_at = now() where id = $1', id)],
    [
      'is past its grace',
      (_, { id }) => administer('update platform.api_keys set grace_until = now() where id = $1', id),
    ],
  ]
  test.each(keyEnds)('once the key that acts %s', async (_, end) => {
    const team = await teams.newTeam()
    const admin = await team.join('admin')
    const { permissions } = await team.org.actorFor(admin.userId)
    const { apiKey, token } = await team.org.apiKeys.create({
      userId: admin.userId,
      name: 'ci',
      scopes: [...permissions],
    })
    const { org } = await teams.tenancy.authenticateApiKey(token)
    await end(team, { ...admin, id: apiKey.id })
    for (const refused of await everyChange(team, org)) expect(refused).toEqual(refusal)
  })

  test('whose actor was removed while it waits for the lock', async () => {
    const team = await teams.newTeam()
    const admin = await team.join('admin')
    const org = await team.as(admin.userId)
    let adding: Promise<unknown> | undefined
    await team.org.transaction(async (inner) => {
      await inner.members.remove(admin.memberId)
      const back = { userId: admin.userId, email: address(), role: 'admin' }
      adding = org.members.add(back).catch((error: unknown) => error)
      await waitersFor(teams.database.admin, '%for no key update%', 1)
    })
    expect(await adding).toEqual(refusal)
    expect(await team.org.members.findByUser(admin.userId)).toBeUndefined()
  })
})

test('an invitation by a key that is deleted while it waits is refused: it would have no inviter', async () => {
  const team = await teams.newTeam()
  const { userId } = await team.join('admin')
  const { permissions } = await team.org.actorFor(userId)
  const { token } = await team.org.apiKeys.create({ userId, name: 'ci', scopes: [...permissions] })
  const { org } = await teams.tenancy.authenticateApiKey(token)
  const { invitation } = await team.org.invitations.create({ email: address(), role: 'member' })
  let inviting: Promise<unknown> | undefined
  await team.org.transaction(async ({ db }) => {
    await db.execute(sql`select from platform.organization_invitations where id = ${invitation.id} for update`)
    inviting = org.invitations.create({ email: invitation.email, role: 'developer' }).catch((error: unknown) => error)
    await waitersFor(teams.database.admin, '%organization_invitations%for no key update%', 1)
    await teams.database.admin.query('delete from platform.api_keys where user_id = $1', [userId])
  })
  expect(await inviting).toEqual(refusal)
  expect(await team.org.invitations.get(invitation.id)).toEqual(invitation)
})

race('nobody adds themselves again while they are removed', async () => {
  const team = await teams.newTeam()
  const admins = []
  for (let joined = 0; joined < 6; joined++) {
    const admin = await team.join('admin')
    admins.push({ ...admin, org: await team.as(admin.userId) })
  }
  await Promise.allSettled(
    admins.flatMap(({ userId, memberId, org }) => [
      team.org.members.remove(memberId),
      org.members.add({ userId, email: address(), role: 'admin' }),
    ]),
  )
  expect(await team.org.members.count({ role: 'admin' })).toBe(0)
})

test('whoever may still act is asked in the round trip of the lock', async () => {
  const team = await teams.newTeam()
  const { userId } = await team.join('admin')
  const { appUrl, admin } = teams.database
  const { tenancy, count } = await openWithout({ appUrl, admin })
  onTestFinished(() => tenancy.close({ drain: 0 }))
  const trips = async (org: Org) => {
    const before = count()
    await org.roles.update('support', { name: newId() })
    return count() - before
  }
  await team.org.roles.create({ key: 'support', name: 'Support' })
  const actor = await team.org.actorFor(userId)
  const byBackend = await trips(tenancy.forOrg(team.id))
  expect(await trips(tenancy.forOrg(team.id, { actor: tenancy.job('nightly') }))).toBe(byBackend)
  expect(await trips(tenancy.forOrg(team.id, { actor }))).toBe(byBackend)
})

function administer(text: string, id: string): Promise<unknown> {
  return teams.database.admin.query(text, [id])
}
