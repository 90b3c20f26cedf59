import { describe, expect, onTestFinished, test } from 'vitest'
import { ForbiddenError, InvalidInputError, NotFoundError, UnauthorizedError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { openTenancy, type Tenancy } from '../../src/tenancy.js'
import { contend, race } from '../support/contenders.js'
import { keys, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const unauthorized = new UnauthorizedError()
const admin = (text: string, ...values: unknown[]) => teams.database.admin.query(text, values)
const authenticate = (token: string) => teams.tenancy.authenticateSession(token)

async function signedIn() {
  const userId = await teams.newUser()
  const user = teams.tenancy.forUser(userId)
  return { userId, user, ...(await user.sessions.start({ ip: '192.0.2.1', userAgent: 'Firefox' })) }
}

const events = async (userId: string) =>
  (await admin('select event_type from platform.user_audit_logs where user_id = $1 order by id', userId)).map(
    ({ event_type }) => event_type,
  )

async function withGrace<T>(refreshGrace: number, work: (tenancy: Tenancy) => Promise<T>): Promise<T> {
  const tenancy = await openTenancy({ url: teams.database.appUrl, keys, pool: { max: 20 }, sessions: { refreshGrace } })
  try {
    return await work(tenancy)
  } finally {
    await tenancy.close({ drain: 0 })
  }
}

describe('a session', () => {
  test('opens the person’s scope, and its tokens are not stored', async () => {
    const { userId, token, refreshToken, session } = await signedIn()
    expect(token).toMatch(/^tks_live_[0-9A-Za-z]{50}_[0-9A-Za-z]{43}$/)
    expect(refreshToken).toMatch(/^tkr_live_[0-9A-Za-z]{50}_[0-9A-Za-z]{43}$/)
    const accepted = await authenticate(token)
    expect(accepted).toMatchObject({ session, org: undefined, actor: undefined })
    expect(accepted.user.id).toBe(userId)
    const [row] = await admin(
      'select row_to_json(s)::text as all from platform.user_sessions s where id = $1',
      session.id,
    )
    for (const secret of [token, refreshToken]) {
      expect(row?.all).not.toContain(secret.slice(-43))
      expect(row?.all).not.toContain(Buffer.from(secret).toString('hex'))
    }
    const listed = await accepted.user.sessions.list()
    expect(listed.items).toMatchObject([
      { id: session.id, ipAddress: '192.0.2.1', userAgent: 'Firefox', generation: 0 },
    ])
    expect(Object.keys(listed.items[0] ?? {})).not.toContain('tokenHash')
    expect(await events(userId)).toEqual(['session.started'])
  })

  test('acts in the organization that it has chosen, with the rights of the person there', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('customer')
    const { sessions } = teams.tenancy.forUser(userId)
    const { token, session } = await sessions.start()
    await sessions.activate(session.id, team.id)
    const { org, actor } = await authenticate(token)
    expect(actor).toMatchObject({ kind: 'user', id: userId, orgId: team.id, epoch: 0 })
    expect(await org?.agents.count()).toBe(0)
    await expect(org?.agents.create({ name: 'Ada', username: 'ada' })).rejects.toThrow(ForbiddenError)

    await team.org.members.changeRole(memberId, 'member')
    expect((await authenticate(token)).org?.can('agents:write')).toBe(true)
    const started = await sessions.start({ activeOrg: team.id })
    expect((await authenticate(started.token)).org?.id).toBe(team.id)
  })

  test('cannot choose an organization of which the person is no active member', async () => {
    const [team, other] = [await teams.newTeam(), await teams.newTeam()]
    const { userId, memberId } = await team.join('member')
    const { sessions } = teams.tenancy.forUser(userId)
    const { session } = await sessions.start()
    await expect(sessions.activate(session.id, other.id)).rejects.toThrow(ForbiddenError)
    await expect(sessions.start({ activeOrg: other.id })).rejects.toThrow(ForbiddenError)
    expect((await sessions.list()).items).toHaveLength(1)
    await team.org.members.deactivate(memberId)
    await expect(sessions.activate(session.id, team.id)).rejects.toThrow(ForbiddenError)
    await team.org.members.reactivate(memberId)
    await teams.system().organizations.suspend(team.id, 'unpaid')
    await expect(sessions.activate(session.id, team.id)).rejects.toThrow(ForbiddenError)
    const stranger = teams.tenancy.forUser(other.owner.userId)
    await expect(stranger.sessions.activate(session.id, other.id)).rejects.toThrow(ForbiddenError)
  })

  test('keeps no organization for somebody who was deactivated or removed and came back, until they choose it again', async () => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('member')
    const { sessions } = teams.tenancy.forUser(userId)
    const { token, session } = await sessions.start({ activeOrg: team.id })
    const { members } = team.org
    for (const comeBack of [
      async () => (await members.deactivate(memberId), members.reactivate(memberId)),
      async () => (
        await members.remove(memberId),
        members.add({ userId, email: `${userId}@example.com`, role: 'member' })
      ),
    ]) {
      await comeBack()
      expect(await authenticate(token)).toMatchObject({ org: undefined, actor: undefined })
      await sessions.activate(session.id, team.id)
      expect((await authenticate(token)).org?.id).toBe(team.id)
    }
  })

  test.each([
    ['was revoked', 'revoked_at = now()'],
    ['has expired', 'expires_at = now()'],
    ['was idle for too long', 'idle_expires_at = now()'],
  ])('that %s cannot choose an organization', async (_, set) => {
    const team = await teams.newTeam()
    const { userId } = await team.join('member')
    const { sessions } = teams.tenancy.forUser(userId)
    const { session } = await sessions.start()
    await admin(`update platform.user_sessions set ${set} where id = $1`, session.id)
    await expect(sessions.activate(session.id, team.id)).rejects.toThrow(ForbiddenError)
    expect((await sessions.find(session.id))?.activeOrgId).toBeNull()
  })

  test.each([
    [
      'a deactivated member',
      (id: string) =>
        teams.database.admin.query(`update platform.organization_members set status = 'inactive' where id = $1`, [id]),
    ],
    [
      'a removed member',
      (id: string) =>
        teams.database.admin.query('update platform.organization_members set deleted_at = now() where id = $1', [id]),
    ],
    [
      'a deleted organization',
      (id: string) =>
        teams.database.admin.query(
          'update platform.organizations set deleted_at = now() where id = (select org_id from platform.organization_members where id = $1)',
          [id],
        ),
    ],
    [
      'an older epoch',
      (id: string) =>
        teams.database.admin.query('update platform.organization_members set auth_epoch = 5 where id = $1', [id]),
    ],
    [
      'a suspended organization',
      (id: string) =>
        teams.database.admin.query(
          `update platform.organizations set status = 'suspended' where id = (select org_id from platform.organization_members where id = $1)`,
          [id],
        ),
    ],
  ])('has no organization any more with %s', async (_, change) => {
    const team = await teams.newTeam()
    const { userId, memberId } = await team.join('member')
    const { token } = await teams.tenancy.forUser(userId).sessions.start({ activeOrg: team.id })
    expect((await authenticate(token)).org?.id).toBe(team.id)
    await change(memberId)
    expect(await authenticate(token)).toMatchObject({ org: undefined, actor: undefined })
  })

  test('is noted as used once a minute, and lasts longer for it', async () => {
    const { token, session } = await signedIn()
    const read = async () =>
      (await admin('select last_activity_at, idle_expires_at from platform.user_sessions where id = $1', session.id))[0]
    const before = await read()
    await authenticate(token)
    expect(await read()).toEqual(before)
    await admin(
      `update platform.user_sessions set last_activity_at = now() - interval '61 s', idle_expires_at = now() + interval '1 h' where id = $1`,
      session.id,
    )
    await authenticate(token)
    const after = await read()
    expect(after?.idle_expires_at).toBeInstanceOf(Date)
    expect(Number(after?.idle_expires_at)).toBeGreaterThan(Date.now() + 86_400_000)
  })

  test('that is used is not ended by a short idle time', async () => {
    const tenancy = await openTenancy({ url: teams.database.appUrl, keys, sessions: { maxIdle: 60 } })
    onTestFinished(() => tenancy.close())
    const { token, session } = await tenancy.forUser(await teams.newUser()).sessions.start()
    const [before] = await admin(
      `update platform.user_sessions set last_activity_at = (last_activity_at at time zone 'UTC' - interval '20 s') at time zone 'UTC',
         idle_expires_at = (idle_expires_at at time zone 'UTC' - interval '20 s') at time zone 'UTC'
       where id = $1 returning idle_expires_at`,
      session.id,
    )
    await tenancy.authenticateSession(token)
    const [after] = await admin('select idle_expires_at from platform.user_sessions where id = $1', session.id)
    expect(Number(after?.idle_expires_at) - Number(before?.idle_expires_at)).toBeGreaterThan(15_000)
  })

  test('ends with its absolute end, however much it is used', async () => {
    const tenancy = await openTenancy({ url: teams.database.appUrl, keys, sessions: { maxAge: 3600, maxIdle: 86_400 } })
    onTestFinished(() => tenancy.close())
    const { session, token } = await tenancy.forUser(await teams.newUser()).sessions.start()
    const ends = async () =>
      admin(
        'select expires_at = idle_expires_at as same, last_activity_at > created_at as used from platform.user_sessions where id = $1',
        session.id,
      )
    expect(await ends()).toEqual([{ same: true, used: false }])
    await admin(
      "update platform.user_sessions set created_at = now() - interval '1 h', last_activity_at = now() - interval '1 h' where id = $1",
      session.id,
    )
    await tenancy.authenticateSession(token)
    expect(await ends()).toEqual([{ same: true, used: true }])
  })
})

describe('refused in the same words are', () => {
  test('tokens that this library did not make, without a query', async () => {
    const { token, refreshToken } = await signedIn()
    const queries: string[] = []
    const watched = await openTenancy({
      url: teams.database.appUrl,
      keys,
      onQuery: ({ statements }) => queries.push(...statements.map(({ text }) => text)),
    })
    onTestFinished(() => watched.close())
    const flipped = (text: string, at: number) =>
      text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
    const forged = [
      ...Array.from({ length: token.length - 9 }, (_, at) => flipped(token, at + 9)),
      '',
      refreshToken,
      `${token} `,
      `${token}\n`,
      token.replace('live', 'test'),
      token.slice(0, -1),
      'x'.repeat(100_000),
    ]
    for (const one of [...forged, undefined, 1, {}, [token]]) {
      await expect(watched.authenticateSession(one as string)).rejects.toThrow(unauthorized)
    }
    await expect(watched.refreshSession(token)).rejects.toThrow(unauthorized)
    expect(queries.filter((text) => !text.includes('select 1'))).toEqual([])
  })

  test.each([
    ['an ended session', `update platform.user_sessions set revoked_at = now() where user_id = $1`],
    ['an expired session', `update platform.user_sessions set expires_at = now() where user_id = $1`],
    ['an idle session', `update platform.user_sessions set idle_expires_at = now() where user_id = $1`],
    ['a suspended person', `update platform.users set status = 'suspended' where id = $1`],
    ['a banned person', `update platform.users set banned_until = now() + interval '1 h' where id = $1`],
    ['a deleted person', `update platform.users set deleted_at = now() where id = $1`],
    [
      'a session whose token was replaced',
      `update platform.user_sessions set token_hash = '\\x00', refresh_hash = '\\x00' where user_id = $1`,
    ],
  ])('%s', async (_, change) => {
    const { userId, token, refreshToken } = await signedIn()
    await admin(change, userId)
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
    await expect(teams.tenancy.refreshSession(refreshToken)).rejects.toThrow(unauthorized)
  })

  test('a session that was ended with all the others', async () => {
    const { userId, token } = await signedIn()
    await teams.tenancy.forUser(userId).sessions.revokeAllExcept(newId())
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
  })
})

describe('a refresh', () => {
  test('replaces both tokens', async () => {
    const { token, refreshToken, session } = await signedIn()
    const next = await teams.tenancy.refreshSession(refreshToken)
    expect(next.session).toEqual(session)
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
    expect((await authenticate(next.token)).session).toEqual(session)
    const third = await teams.tenancy.refreshSession(next.refreshToken)
    await authenticate(third.token)
  })

  test('with a token that was used before ends the session, and is noted', async () => {
    const { userId, refreshToken } = await signedIn()
    const next = await teams.tenancy.refreshSession(refreshToken)
    const request = { ip: '203.0.113.9', userAgent: 'curl' }
    await expect(teams.tenancy.refreshSession(refreshToken, request)).rejects.toThrow(unauthorized)
    await expect(authenticate(next.token)).rejects.toThrow(unauthorized)
    await expect(teams.tenancy.refreshSession(next.refreshToken)).rejects.toThrow(unauthorized)
    expect(await events(userId)).toEqual(['session.started', 'session.refresh_reused'])
    const [log] = await admin(
      `select ip_address, user_agent from platform.user_audit_logs where event_type = 'session.refresh_reused' and user_id = $1`,
      userId,
    )
    expect(log).toEqual({ ip_address: '203.0.113.9', user_agent: 'curl' })
  })

  race('of 20 at once with one token, one succeeds and the session ends', async () => {
    const { userId, refreshToken } = await signedIn()
    const { won, lost } = await contend(() => teams.tenancy.refreshSession(refreshToken))
    expect(won).toHaveLength(1)
    expect(lost.every((error) => error instanceof UnauthorizedError)).toBe(true)
    const [row] = await admin(
      'select generation, revoked_reason from platform.user_sessions where user_id = $1',
      userId,
    )
    expect(row).toEqual({ generation: 1, revoked_reason: 'refresh_reused' })
  })

  race('of 20 at once within the grace, all get the same successor', async () => {
    const { userId, refreshToken } = await signedIn()
    await withGrace(10, async (tenancy) => {
      const { won, lost } = await contend(() => tenancy.refreshSession(refreshToken))
      expect(lost).toEqual([])
      expect(new Set(won.map((one) => one.refreshToken)).size).toBe(1)
      const [row] = await admin('select generation, revoked_at from platform.user_sessions where user_id = $1', userId)
      expect(row).toEqual({ generation: 1, revoked_at: null })
      // Two generations back is no tab that was late.
      await tenancy.refreshSession(won[0]?.refreshToken ?? '')
      await expect(tenancy.refreshSession(refreshToken)).rejects.toThrow(unauthorized)
    })
  })

  test('gets the same successor from an instance with another active key', async () => {
    const [one, other] = [
      `one:${Buffer.alloc(32, 1).toString('base64')}`,
      `two:${Buffer.alloc(32, 2).toString('base64')}`,
    ]
    const open = (keys: string) => openTenancy({ url: teams.database.appUrl, keys, sessions: { refreshGrace: 10 } })
    const [before, after] = await Promise.all([open(`${one},${other}`), open(`${other},${one}`)])
    onTestFinished(async () => {
      await Promise.all([before.close(), after.close()])
    })
    const { refreshToken } = await before.forUser(await teams.newUser()).sessions.start()
    const first = await before.refreshSession(refreshToken)
    expect(await after.refreshSession(refreshToken)).toEqual(first)
    await after.authenticateSession(first.token)
  })

  test('after the grace is a reuse', async () => {
    const { userId, refreshToken } = await signedIn()
    await withGrace(10, async (tenancy) => {
      await tenancy.refreshSession(refreshToken)
      await admin(`update platform.user_sessions set rotated_at = now() - interval '11 s' where user_id = $1`, userId)
      await expect(tenancy.refreshSession(refreshToken)).rejects.toThrow(unauthorized)
    })
    expect(await events(userId)).toContain('session.refresh_reused')
  })
})

describe('ending', () => {
  test('one session leaves the others', async () => {
    const { userId, user, token, session } = await signedIn()
    const other = await user.sessions.start()
    expect(await user.sessions.revoke(session.id)).toMatchObject({ id: session.id, revokedReason: 'signed_out' })
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
    await authenticate(other.token)
    expect(await events(userId)).toEqual(['session.started', 'session.started', 'session.revoked'])
  })

  test('all but one, and those of other people stay', async () => {
    const { user, session, token } = await signedIn()
    const others = [await user.sessions.start(), await user.sessions.start()]
    const stranger = await signedIn()
    expect(await user.sessions.revokeAllExcept(session.id)).toBe(2)
    for (const other of others) await expect(authenticate(other.token)).rejects.toThrow(unauthorized)
    await authenticate(token)
    expect(await events(user.id)).toEqual([...Array<string>(3).fill('session.started'), 'sessions.revoked'])
    await authenticate(stranger.token)
    await expect(user.sessions.revoke(stranger.session.id)).rejects.toThrow(NotFoundError)
    await authenticate(stranger.token)
  })
})

test.each([
  ['a suspended person', `status = 'suspended'`],
  ['a banned person', `banned_until = now() + interval '1 h'`],
  ['a deleted person', 'deleted_at = now()'],
  ['a service', `kind = 'service'`],
])('no session is started for %s', async (_, set) => {
  const userId = await teams.newUser()
  await admin(`update platform.users set ${set} where id = $1`, userId)
  await expect(teams.tenancy.forUser(userId).sessions.start()).rejects.toThrow(unauthorized)
})

test('sessions last as long as the host says, within limits', async () => {
  const open = (sessions: object) => openTenancy({ url: teams.database.appUrl, keys, sessions })
  await expect(open({ refreshGrace: 11 })).rejects.toThrow(
    'sessions.refreshGrace: must be a whole number of seconds from 0 to 10',
  )
  await expect(open({ maxAge: 0.5 })).rejects.toThrow(InvalidInputError)
  await expect(open({ maxage: 60 })).rejects.toThrow('sessions.maxage: is not an option')
})
