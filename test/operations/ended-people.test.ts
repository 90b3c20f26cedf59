import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { ConflictError, UnauthorizedError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { openTenancy } from '../../src/tenancy.js'
import { contend, race, waitersFor } from '../support/contenders.js'
import { keys, useTeams } from '../support/use-teams.js'
import { behindChange } from '../support/waiting.js'

const teams = useTeams()
const admin = (text: string, ...values: unknown[]) => teams.database.admin.query(text, values)
const users = () => teams.system().users

const ownersOf = (organization: string) =>
  admin(
    `select u.id from platform.organization_members m join platform.users u on u.id = m.user_id
     where m.org_id = $1 and m.role = 'owner' and m.status = 'active' and m.deleted_at is null
       and u.status = 'active' and u.deleted_at is null`,
    organization,
  )

const ends = ['suspend', 'delete', 'erase'] as const

describe.each(ends)('%s of a person', (end) => {
  test('waits for a transfer of the ownership to them, and is refused then', async () => {
    const team = await teams.newTeam()
    const { memberId, userId } = await team.join('admin')
    const [ended] = await team.org.transaction(async (org) => {
      await org.members.transferOwnership(memberId, { from: team.owner.memberId })
      const refused = users()[end](userId)
      refused.catch(() => undefined)
      await waitersFor(teams.database.admin, '%for no key update%', 1)
      return [refused]
    })
    await expect(ended).rejects.toThrow(ConflictError)
    expect(await ownersOf(team.id)).toEqual([{ id: userId }])
  })

  race('and twenty transfers at once leave an owner', async () => {
    const team = await teams.newTeam()
    const { memberId, userId } = await team.join('admin')
    await contend<unknown>((contender) =>
      contender === 10
        ? users()[end](userId)
        : team.org.members.transferOwnership(memberId, { from: team.owner.memberId }),
    )
    expect(await ownersOf(team.id)).toHaveLength(1)
  })

  test('waits for the provision of an organization of theirs, and is refused then', async () => {
    const userId = await teams.newUser()
    const key = newId()
    const holder = new pg.Client({ connectionString: teams.database.adminUrl })
    await holder.connect()
    // The last step of the provision waits for the plan.
    await holder.query("begin; select from platform.billing_plans where id = 'tier_free' for update")
    const provisioned = teams
      .system()
      .organizations.provision({ key, name: key, slug: `s-${key}`, plan: 'tier_free', owner: { userId } })
    await waitersFor(teams.database.admin, '%insert into %subscriptions%', 1)
    const ended = users()[end](userId)
    ended.catch(() => undefined)
    await waitersFor(teams.database.admin, '%"email"%for update%', 1)
    await holder.query('commit')
    await holder.end()
    await expect(ended).rejects.toThrow(ConflictError)
    expect(await ownersOf((await provisioned).organization.id)).toEqual([{ id: userId }])
  })
})

test('two owners who are suspended at once by a login of another isolation leave one', async () => {
  const team = await teams.newTeam()
  const [other, third] = [await team.join('owner'), await team.join('member')]
  const { username, pathname } = new URL(teams.database.systemUrl)
  const login = `alter role ${username} in database "${pathname.slice(1)}"`
  await admin(`${login} set default_transaction_isolation = 'repeatable read'`)
  const tenancy = await openTenancy({ url: teams.database.appUrl, systemUrl: teams.database.systemUrl, keys })
  const { users: people } = tenancy.system({ actor: 'test', reason: 'a test' })
  const suspended = await team.org.transaction(async (org) => {
    // Holds the organization, so that both wait for it.
    await org.members.update(third.memberId, { displayName: 'Grace' })
    const both = Promise.allSettled([team.owner, other].map(({ userId }) => people.suspend(userId)))
    await waitersFor(teams.database.admin, '%for no key update%', 2)
    return [both]
  })
  await Promise.all(suspended)
  await tenancy.close()
  await admin(`${login} reset default_transaction_isolation`)
  expect(await ownersOf(team.id)).toHaveLength(1)
})

test('who owns a deleted organization alone is suspended, and not erased: it may be restored', async () => {
  const { id, owner } = await teams.newTeam()
  await teams.system().organizations.delete(id)
  await expect(users().erase(owner.userId)).rejects.toThrow('this person is the last active owner of an organization')
  expect(await users().suspend(owner.userId)).toMatchObject({ withoutOwner: [] })
  expect(await users().erase(owner.userId, { force: true })).toEqual([id])
})

test('erasing somebody leaves invitations to an address that they have not confirmed', async () => {
  const team = await teams.newTeam()
  const email = `${newId()}@example.com`
  const { token } = await team.org.invitations.create({ email, role: 'member' })
  const { id } = await teams.tenancy.users.register({ email })
  await users().erase(id)
  expect(await teams.tenancy.invitations.preview(token)).toMatchObject({ email })
})

test('a key that is made in the transaction that adds its member ends when the person is suspended meanwhile', async () => {
  const team = await teams.newTeam()
  const userId = await teams.newUser()
  const [token, suspended] = await team.org.transaction(async (org) => {
    await org.members.add({ userId, email: `${userId}@example.com`, role: 'developer' })
    const key = await org.apiKeys.create({ userId, name: 'ci' })
    const waiting = users().suspend(userId)
    waiting.catch(() => undefined)
    await waitersFor(teams.database.admin, '%for update%', 1)
    return [key.token, waiting]
  })
  await suspended
  await expect(teams.tenancy.authenticateApiKey(token)).rejects.toThrow(UnauthorizedError)
})

test('a session that is being started while the person is suspended is refused', async () => {
  const userId = await teams.newUser()
  const started = behindChange(
    teams.database.admin,
    async () => {
      await admin('select from platform.users where id = $1 for update', userId)
      await admin("update platform.users set status = 'suspended' where id = $1", userId)
    },
    () => teams.tenancy.forUser(userId).sessions.start(),
  )
  await expect(started).rejects.toThrow(UnauthorizedError)
})

race('sessions that are started while the person is suspended stay ended when they are back', async () => {
  const userId = await teams.newUser()
  const tokens: string[] = []
  await contend(async (contender) => {
    if (contender === 10) await users().suspend(userId)
    else tokens.push((await teams.tenancy.forUser(userId).sessions.start()).token)
  })
  await users().reactivate(userId)
  for (const token of tokens) await expect(teams.tenancy.authenticateSession(token)).rejects.toThrow(UnauthorizedError)
})
