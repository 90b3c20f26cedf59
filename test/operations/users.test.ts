import { describe, expect, onTestFinished, test } from 'vitest'
import { ConflictError, InvalidInputError, NotFoundError, UnauthorizedError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { openSession } from '../../src/database/session.js'
import { contend, refusalsOf, race } from '../support/contenders.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const admin = (text: string, ...values: unknown[]) => teams.database.admin.query(text, values)
const users = () => teams.system().users

async function sessionOf(userId: string): Promise<string> {
  const id = newId()
  await admin(
    `insert into platform.user_sessions (user_id, id, token_hash, pepper_id, expires_at, idle_expires_at)
     values ($1, $2, $3, 'test', now() + interval '1 d', now() + interval '1 d')`,
    userId,
    id,
    Buffer.from(id),
  )
  return id
}

describe('a person', () => {
  test('is found by id, address and the host’s own id, and listed, without the password', async () => {
    const id = await teams.newUser()
    await admin('update platform.users set external_id = $2 where id = $1', id, `auth|${id}`)
    const user = await users().find(id)
    expect(user).toMatchObject({ id, email: `${id}@example.com`, kind: 'person', status: 'active' })
    expect(Object.keys(user ?? {})).not.toContain('passwordHash')
    expect(await users().findByEmail(` ${id.toUpperCase()}@example.com`)).toEqual(user)
    expect(await users().findByExternalId(`auth|${id}`)).toEqual(user)
    expect((await users().list({ limit: 1 })).items).toEqual([user])
    expect(await users().find(newId())).toBeUndefined()
  })

  test('gets a confirmed address, which the memberships with the old one take over', async () => {
    const [one, other] = [await teams.newTeam(), await teams.newTeam()]
    const { userId, memberId } = await one.join('member')
    const address = `new-${userId}@example.com`
    await other.org.members.add({ userId, email: 'elsewhere@example.com', role: 'member' })
    expect(await users().confirmEmail(userId)).toMatchObject({ emailConfirmedAt: expect.any(Date) as Date })
    const changed = await users().changeEmail(userId, address.toUpperCase())
    expect(changed).toMatchObject({ user: { email: address, emailConfirmedAt: expect.any(Date) as Date }, keptIn: [] })
    expect(await one.org.members.get(memberId)).toMatchObject({ email: address })
    expect(await other.org.members.findByUser(userId)).toMatchObject({ email: 'elsewhere@example.com' })
  })

  test('keeps the old address where another member has the new one', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('member')
    const taken = `taken-${userId}@example.com`
    await team.org.members.add({ userId: await teams.newUser(), email: taken, role: 'member' })
    expect((await users().changeEmail(userId, taken)).keptIn).toEqual([team.id])
    expect(await team.org.members.get(memberId)).toMatchObject({ email: `${userId}@example.com` })
    const other = await teams.newUser()
    await expect(users().changeEmail(other, taken)).rejects.toMatchObject({ code: 'conflict', fields: ['email'] })
  })

  test('gets the host’s own id, which nobody else has', async () => {
    const [id, other] = [await teams.newUser(), await teams.newUser()]
    expect(await users().setExternalId(id, `auth|${id}`)).toMatchObject({ id, externalId: `auth|${id}` })
    expect(await teams.tenancy.users.findIdByExternalId(`auth|${id}`)).toBe(id)
    await expect(users().setExternalId(other, `auth|${id}`)).rejects.toMatchObject({ fields: ['externalId'] })
    expect(await users().setExternalId(id, null)).toMatchObject({ externalId: null })
  })

  test('has credentials that only the system reads', async () => {
    const id = await teams.newUser()
    expect(await users().passwordHash(id)).toBeNull()
    const user = await users().setCredentials(id, { passwordHash: '$argon2id$secret', mfaEnabled: true })
    expect(user).toMatchObject({ mfaEnabled: true })
    expect(JSON.stringify(user)).not.toContain('argon2id')
    expect(await users().passwordHash(id)).toBe('$argon2id$secret')
    await expect(users().passwordHash(newId())).rejects.toThrow(NotFoundError)
    for (const log of ['user_audit_logs l where user_id', 'system_audit_logs l where target_user_id']) {
      const [entries] = await admin(`select json_agg(l)::text as all from platform.${log} = $1`, id)
      expect(entries?.all).toContain('setCredentials')
      expect(entries?.all).not.toContain('argon2id')
    }
    expect(JSON.stringify(await teams.tenancy.forUser(id).profile.get())).not.toContain('argon2id')
    const session = await openSession({ url: teams.database.appUrl })
    onTestFinished(() => session.close())
    await session.query('begin')
    await session.query('select platform.enter_user($1)', [id])
    await expect(session.query('select password_hash from platform.users')).rejects.toMatchObject({ code: '42501' })
  })
})

describe.each([
  ['suspended', (id: string) => users().suspend(id)],
  ['banned', (id: string) => users().ban(id, new Date(Date.now() + 60_000))],
  ['deleted', (id: string) => users().delete(id)],
] as const)('a person who is %s', (_, end) => {
  test('loses every session and key, in every organization', async () => {
    const [one, other] = [await teams.newTeam(), await teams.newTeam()]
    const { userId } = await one.join('member')
    await other.org.members.add({ userId, email: `${userId}@example.com`, role: 'member' })
    const keys = [one, other].map((team) => team.org.apiKeys.create({ userId, name: 'ci' }))
    const tokens = (await Promise.all(keys)).map(({ token }) => token)
    await sessionOf(userId)

    expect(await end(userId)).toMatchObject({ withoutOwner: [] })
    for (const token of tokens) await expect(teams.tenancy.authenticateApiKey(token)).rejects.toThrow(UnauthorizedError)
    await expect(one.org.actorFor(userId)).rejects.toMatchObject({ code: 'forbidden' })
    const sessions = await admin(
      'select revoked_at is not null as revoked from platform.user_sessions where user_id = $1',
      userId,
    )
    expect(sessions).toEqual([{ revoked: true }])
    expect(await other.org.members.count({ userId, authEpoch: 1 })).toBe(1)
  })

  test('is that and loses all of it, or nothing', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('member')
    const key = await team.org.apiKeys.create({ userId, name: 'ci' })
    const session = await teams.tenancy.forUser(userId).sessions.start()
    await admin(
      `alter table platform.organization_members add constraint refused check (user_id <> '${userId}' or auth_epoch = 0) not valid`,
    )
    try {
      await expect(end(userId)).rejects.toThrow(InvalidInputError)
    } finally {
      await admin('alter table platform.organization_members drop constraint refused')
    }
    await expect(teams.tenancy.authenticateSession(session.token)).resolves.toBeDefined()
    await expect(teams.tenancy.authenticateApiKey(key.token)).resolves.toBeDefined()
    expect(await users().find(userId)).toMatchObject({ status: 'active', bannedUntil: null })
  })
})

test('a person is back after a suspension and a ban; the ended keys are not', async () => {
  const team = await teams.newTeam()
  const { userId } = await team.join('member')
  const { token } = await team.org.apiKeys.create({ userId, name: 'ci' })
  await users().suspend(userId)
  await users().ban(userId, new Date(Date.now() + 60_000))
  expect(await users().reactivate(userId)).toMatchObject({ status: 'active', bannedUntil: null })
  expect(await team.org.actorFor(userId)).toMatchObject({ id: userId, epoch: 2 })
  await expect(teams.tenancy.authenticateApiKey(token)).rejects.toThrow(UnauthorizedError)
})

test('the keys and sessions of a person who was deleted and restored stay ended', async () => {
  const team = await teams.newTeam()
  const { userId } = await team.join('member')
  const key = await team.org.apiKeys.create({ userId, name: 'ci' })
  const session = await teams.tenancy.forUser(userId).sessions.start()
  await users().delete(userId)
  await users().restore(userId)
  await expect(teams.tenancy.authenticateApiKey(key.token)).rejects.toThrow(UnauthorizedError)
  await expect(teams.tenancy.authenticateSession(session.token)).rejects.toThrow(UnauthorizedError)
  await expect(team.org.apiKeys.rotate(key.apiKey.id)).resolves.toBeDefined()
})

test('a deleted person frees the address, and is restored while nobody has taken it', async () => {
  const team = await teams.newTeam()
  const { userId } = await team.join('member')
  await users().delete(userId)
  expect(await users().find(userId)).toBeUndefined()
  expect(await users().restore(userId)).toMatchObject({ id: userId, deletedAt: null })
  expect(await team.org.actorFor(userId)).toMatchObject({ id: userId })
  await users().delete(userId)
  await teams.newUser({ email: `${userId}@example.com` })
  await expect(users().restore(userId)).rejects.toMatchObject({ code: 'conflict', fields: ['email'] })
})

test('an erased person leaves nothing but what they made', async () => {
  const team = await teams.newTeam()
  const { userId } = await team.join('developer')
  const project = await team.org.projects.create({ name: 'One', slug: 'one' })
  await team.org.projects.members.add(project.id, { userId, role: 'developer' })
  await team.org.apiKeys.create({ userId, name: 'ci' })
  await sessionOf(userId)
  await users().confirmEmail(userId)
  await admin(
    `insert into platform.organization_invitations (org_id, id, email, role, token_hash, pepper_id, invited_by, expires_at)
     values ($1, gen_random_uuid(), 'new@example.com', 'member', '\\x01', 'test', $2, now()),
            ($1, gen_random_uuid(), $3, 'member', '\\x02', 'test', null, now())`,
    team.id,
    userId,
    `${userId}@example.com`,
  )
  expect(await users().erase(userId)).toEqual([])
  for (const table of [
    'users where id',
    'organization_members where user_id',
    'api_keys where user_id',
    'user_sessions where user_id',
  ]) {
    expect(await admin(`select from platform.${table} = $1`, userId), table).toEqual([])
  }
  expect(
    await admin('select email, invited_by from platform.organization_invitations where org_id = $1', team.id),
  ).toEqual([{ email: 'new@example.com', invited_by: null }])
  await expect(users().erase(userId)).rejects.toThrow(NotFoundError)
  expect(await team.org.projects.get(project.id)).toMatchObject({ id: project.id })
})

describe('the last active owner of an organization', () => {
  test('is neither suspended, deleted nor erased, unless it is forced', async () => {
    const team = await teams.newTeam()
    const { userId } = team.owner
    const refusal =
      'users: this person is the last active owner of an organization; transfer the ownership first, or pass force: true'
    for (const refused of await refusalsOf([users().suspend(userId), users().delete(userId), users().erase(userId)])) {
      expect(() => {
        throw refused as Error
      }).toThrow(new ConflictError('users', [], refusal))
    }
    expect(await users().suspend(userId, { force: true })).toMatchObject({ withoutOwner: [team.id] })
    expect(await users().erase(userId, { force: true })).toEqual([team.id])
  })

  race('is the only one left when all owners are suspended or deleted at once', async () => {
    const team = await teams.newTeam()
    const owners = [team.owner.userId]
    while (owners.length < 20) owners.push((await team.join('owner')).userId)
    const verbs = [
      (userId: string) => users().suspend(userId),
      (userId: string) => users().delete(userId),
      async (userId: string) =>
        team.org.members.changeRole((await team.org.members.findByUser(userId))?.id ?? '', 'admin'),
    ]
    const { won, lost } = await contend(async (index) => verbs[index % 3]?.(owners[index] ?? ''))
    expect(won).toHaveLength(19)
    expect(lost).toEqual([expect.any(ConflictError)])
    const left = await Promise.allSettled(owners.map((userId) => team.as(userId)))
    const owning = left.filter((one) => one.status === 'fulfilled' && one.value.can('payment_methods:write'))
    expect(owning).toHaveLength(1)
  })

  race('is the only one left when all owners are deactivated or erased at once', async () => {
    const team = await teams.newTeam()
    const owners = [team.owner.userId]
    while (owners.length < 20) owners.push((await team.join('owner')).userId)
    const { won, lost } = await contend(async (index) => {
      const member = await team.org.members.findByUser(owners[index] ?? '')
      return index % 2 === 0 ? team.org.members.deactivate(member?.id ?? '') : users().erase(owners[index] ?? '')
    })
    expect(won).toHaveLength(19)
    expect(lost).toEqual([expect.any(ConflictError)])
    expect(await team.org.members.count({ role: 'owner', status: 'active' })).toBe(1)
  })
})

test('each change is in the person’s own log and in the system’s', async () => {
  const id = await teams.newUser()
  await users().confirmEmail(id)
  await users().suspend(id)
  expect(await admin('select event_type from platform.user_audit_logs where user_id = $1 order by id', id)).toEqual([
    { event_type: 'system.confirmEmail' },
    { event_type: 'system.suspend' },
  ])
  const entries = await admin(
    'select operation, actor, reason from platform.system_audit_logs where target_user_id = $1 order by id',
    id,
  )
  expect(entries).toEqual([
    { operation: 'users.confirmEmail', actor: 'test', reason: 'a test' },
    { operation: 'users.suspend', actor: 'test', reason: 'a test' },
  ])
})

test('an unknown id is not found, and bad input is refused before anything is written', async () => {
  await expect(users().suspend(newId())).rejects.toThrow(NotFoundError)
  await expect(users().confirmEmail('x')).rejects.toThrow(InvalidInputError)
  const id = await teams.newUser()
  await expect(users().changeEmail(id, 'no address')).rejects.toThrow(InvalidInputError)
  await expect(users().ban(id, new Date('nonsense'))).rejects.toThrow(InvalidInputError)
  await expect(users().suspend(id, { forced: true } as never)).rejects.toThrow('forced: is not an option')
  expect(await admin('select from platform.user_audit_logs where user_id = $1', id)).toEqual([])
})

test('erasing a deleted person leaves the invitations of whoever has the address now', async () => {
  const team = await teams.newTeam()
  const email = `${newId()}@example.com`
  const old = await teams.newUser({ email })
  await users().delete(old)
  await teams.newUser({ email })
  await admin(
    `insert into platform.organization_invitations (org_id, id, email, role, token_hash, pepper_id, expires_at)
     values ($1, gen_random_uuid(), $2, 'member', '\\x03', 'test', now())`,
    team.id,
    email,
  )
  await users().erase(old)
  expect(await admin('select from platform.organization_invitations where email = $1', email)).toHaveLength(1)
})

test('erasing an owner beside their own changes of a project ends in no deadlock', async () => {
  const team = await teams.newTeam()
  const { userId } = await team.join('owner')
  const { id } = await team.org.projects.create({ name: 'One', slug: 'one' })
  const guests = await Promise.all(Array.from({ length: 6 }, () => team.join('member')))
  const org = await team.as(userId)
  const adding = guests.map((guest) => org.projects.members.add(id, { userId: guest.userId, role: 'developer' }))
  const outcomes = await Promise.allSettled([users().erase(userId), ...adding])
  for (const one of outcomes) {
    if (one.status === 'rejected') expect(one.reason).not.toMatchObject({ code: 'retryable' })
  }
})
