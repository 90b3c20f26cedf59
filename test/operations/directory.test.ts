import { describe, expect, onTestFinished, test } from 'vitest'
import { InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { contend, race } from '../support/contenders.js'
import { openTenancy } from '../../src/tenancy.js'
import { keys, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const admin = (text: string, ...values: unknown[]) => teams.database.admin.query(text, values)
const address = () => `${newId()}@example.com`

describe('registering', () => {
  test('makes a person, whom only their own scope sees', async () => {
    const email = address()
    const externalId = newId()
    const person = await teams.tenancy.users.register({
      email: email.toUpperCase(),
      externalId,
      username: `ada-${externalId}`,
      firstName: 'Ada',
      metadata: { plan: 'early' },
    })
    expect(person).toMatchObject({
      email,
      externalId,
      firstName: 'Ada',
      kind: 'person',
      status: 'active',
      emailConfirmedAt: null,
    })
    expect(person).toMatchObject({ metadata: { plan: 'early' }, lastSignInAt: null, mfaEnabled: false })
    expect(await teams.tenancy.forUser(person.id).profile.get()).toEqual(person)
    await expect(teams.tenancy.forUser(newId()).profile.get()).rejects.toThrow(NotFoundError)
  })

  test('takes the id of the host, and notes that the address was confirmed', async () => {
    const id = newId()
    const person = await teams.tenancy.users.register({ id, email: address(), emailConfirmed: true })
    expect(person).toMatchObject({ id, emailConfirmedAt: expect.any(Date) as Date })
  })

  test('refuses what is taken, and an invalid address before anything is sent', async () => {
    const email = address()
    const { id } = await teams.tenancy.users.register({ email, username: email.slice(0, 36), externalId: email })
    for (const [taken, field] of [
      [{ email }, 'email'],
      [{ email: address(), username: email.slice(0, 36) }, 'username'],
      [{ email: address(), externalId: email }, 'externalId'],
    ] as const) {
      await expect(teams.tenancy.users.register(taken)).rejects.toMatchObject({ code: 'conflict', fields: [field] })
    }
    await expect(teams.tenancy.users.register({ email: address(), id })).rejects.toMatchObject({ code: 'conflict' })
    await expect(teams.tenancy.users.register({ email: 'nobody' })).rejects.toThrow(InvalidInputError)
    await expect(teams.tenancy.users.register({ email, status: 'active' } as never)).rejects.toThrow(InvalidInputError)
  })

  race('of 20 with one address, one succeeds', async () => {
    const email = address()
    const { won, lost } = await contend(() => teams.tenancy.users.register({ email }))
    expect(won).toHaveLength(1)
    expect(lost.every((error) => (error as { code?: unknown }).code === 'conflict')).toBe(true)
  })

  test('does not lift a ban: the row of a banned person stays', async () => {
    const { id, email } = await teams.tenancy.users.register({ email: address() })
    await admin(`update platform.users set banned_until = now() + interval '1 h' where id = $1`, id)
    await expect(teams.tenancy.users.register({ id, email })).rejects.toMatchObject({ code: 'conflict' })
  })

  test('cannot be done beside the function: the application may not insert people', async () => {
    const { openSession } = await import('../../src/database/session.js')
    const session = await openSession({ url: teams.database.appUrl })
    onTestFinished(() => session.close())
    const id = newId()
    const other = newId()
    await session.query('begin')
    await session.query('select platform.enter_user($1)', [id])
    await expect(
      session.query('select platform.register_user($1, $2, false, null, null, null, null, null, null, null)', [
        other,
        address(),
      ]),
    ).rejects.toThrow('another user is bound')
    await session.query('rollback')
    await session.query('begin')
    await session.query('select platform.enter_user($1)', [id])
    await expect(
      session.query('insert into platform.users (id, email) values ($1, $2)', [id, address()]),
    ).rejects.toThrow('permission denied')
  })
})

describe('looking up', () => {
  test('gives the id of a live person by address and by the host’s id', async () => {
    const [email, externalId] = [address(), newId()]
    const { id } = await teams.tenancy.users.register({ email, externalId })
    const { users } = teams.tenancy
    expect(await users.findIdByEmail(` ${email.toUpperCase()} `)).toBe(id)
    expect(await users.findIdByExternalId(externalId)).toBe(id)
    expect(await users.findIdByEmail(address())).toBeUndefined()
    expect(await users.findIdByExternalId(newId())).toBeUndefined()
    await expect(users.findIdByEmail('nobody')).rejects.toThrow(InvalidInputError)
    for (const set of [
      `status = 'suspended'`,
      `status = 'active', banned_until = now() + interval '1 h'`,
      'banned_until = null, deleted_at = now()',
    ]) {
      await admin(`update platform.users set ${set} where id = $1`, id)
      expect(await users.findIdByEmail(email), set).toBeUndefined()
      expect(await users.findIdByExternalId(externalId), set).toBeUndefined()
    }
  })

  test('sends as much for somebody who is known as for nobody', async () => {
    const email = address()
    await teams.tenancy.users.register({ email })
    const trips: number[] = []
    const watched = await openTenancy({
      url: teams.database.appUrl,
      keys,
      onQuery: ({ statements }) => trips.push(statements.length),
    })
    onTestFinished(() => watched.close())
    for (const one of [email, address()]) {
      trips.length = 0
      await watched.users.findIdByEmail(one)
      expect(trips).toEqual([1])
    }
  })

  test('gives the id of a live organization by its slug, a suspended one too', async () => {
    const team = await teams.newTeam()
    const [row] = await admin('select slug from platform.organizations where id = $1', team.id)
    const slug = row?.slug as string
    expect(await teams.tenancy.organizations.findIdBySlug(slug)).toBe(team.id)
    expect(await teams.tenancy.organizations.findIdBySlug(`no-${slug}`)).toBeUndefined()
    await teams.system().organizations.suspend(team.id, 'unpaid')
    expect(await teams.tenancy.organizations.findIdBySlug(slug)).toBe(team.id)
    await teams.system().organizations.delete(team.id)
    expect(await teams.tenancy.organizations.findIdBySlug(slug)).toBeUndefined()
  })
})

describe('a person', () => {
  test('changes their own profile, but not their address or status', async () => {
    const { id } = await teams.tenancy.users.register({ email: address() })
    const { profile } = teams.tenancy.forUser(id)
    expect(await profile.update({ firstName: 'Ada', metadata: { theme: 'dark' } })).toMatchObject({
      firstName: 'Ada',
      metadata: { theme: 'dark' },
    })
    for (const patch of [
      { email: 'x@example.com' },
      { status: 'active' },
      { mfaEnabled: true },
      { emailConfirmedAt: new Date() },
    ]) {
      await expect(profile.update(patch as never)).rejects.toThrow(InvalidInputError)
    }
    expect(await admin('select event_type from platform.user_audit_logs where user_id = $1', id)).toEqual([
      { event_type: 'profile.updated' },
    ])
  })

  test('sees when they signed in last', async () => {
    const { id } = await teams.tenancy.users.register({ email: address() })
    const user = teams.tenancy.forUser(id)
    await user.sessions.start()
    const { lastSignInAt } = await user.profile.get()
    expect(Math.abs((lastSignInAt?.getTime() ?? 0) - Date.now())).toBeLessThan(60_000)
  })

  test('lists the organizations of which they are an active member', async () => {
    const [one, other] = [await teams.newTeam({ name: `A ${newId()}` }), await teams.newTeam({ name: `B ${newId()}` })]
    const { userId } = await one.join('member')
    const member = await other.org.members.add({ userId, email: address(), role: 'admin' })
    const { organizations } = teams.tenancy.forUser(userId)
    expect(await organizations.list()).toMatchObject([
      { id: one.id, role: 'member', status: 'active' },
      { id: other.id, role: 'admin', status: 'active' },
    ])
    await other.org.members.deactivate(member.id)
    expect((await organizations.list()).map(({ id }) => id)).toEqual([one.id])
    await teams.system().users.suspend(userId)
    expect(await organizations.list()).toEqual([])
  })
})
