import { sql } from 'drizzle-orm'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { InvalidInputError, RateLimitedError, UnauthorizedError, UnsafeStatementError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { openTenancy } from '../../src/tenancy.js'
import { keys, useTeams } from '../support/use-teams.js'

const teams = useTeams()

test.each(['tk', 'tks'])('a key and a session are told apart where tokens begin with %s', async (prefix) => {
  const queries: unknown[] = []
  const tenancy = await openTenancy({
    url: teams.database.appUrl,
    keys,
    tokens: { prefix },
    onQuery: (event) => queries.push(event),
  })
  onTestFinished(() => tenancy.close({ drain: 0 }))
  const team = await teams.newTeam()
  const { userId } = await team.join('developer')
  const key = await tenancy.forOrg(team.id).apiKeys.create({ userId, name: 'ci', rateLimitPerHour: 1 })
  const started = await tenancy.forUser(userId).sessions.start({ activeOrg: team.id })

  queries.length = 0
  const byKey = await tenancy.authenticate(key.token)
  expect(byKey).toMatchObject({ user: undefined, session: undefined, rateLimit: { limit: 1, remaining: 0 } })
  expect([byKey.org?.id, byKey.actor?.kind]).toEqual([team.id, 'api_key'])
  const bySession = await tenancy.authenticate(started.token)
  expect(bySession).toMatchObject({ user: { id: userId }, session: started.session, rateLimit: undefined })
  expect([bySession.org?.id, bySession.actor?.kind]).toEqual([team.id, 'user'])
  expect(queries).toHaveLength(2)
  await expect(tenancy.authenticate(key.token)).rejects.toMatchObject({ limit: 1, code: new RateLimitedError(1).code })

  queries.length = 0
  for (const token of [undefined, null, 7, '', 'tk_live_', 'tks_live_', started.refreshToken]) {
    await expect(tenancy.authenticate(token as string)).rejects.toThrow(new UnauthorizedError())
  }
  for (const token of [key.token, started.token]) {
    await expect(tenancy.authenticate(token, { readonly: true } as never)).rejects.toThrow(InvalidInputError)
  }
  expect(queries).toEqual([])
})

test('what is left of the hour is told by the clock of the database', async () => {
  const team = await teams.newTeam()
  const { userId } = await team.join('developer')
  const { token } = await team.org.apiKeys.create({ userId, name: newId(), rateLimitPerHour: 5 })
  const { rateLimit } = await teams.tenancy.authenticateApiKey(token)
  const [now] = await teams.database.admin.query('select extract(epoch from now())::float8 as seconds')
  const left = (rateLimit?.resetAt.getTime() ?? 0) / 1000 - Number(now?.seconds)
  expect(Math.abs((rateLimit?.resetAfter ?? 0) - left)).toBeLessThan(60)
})

test('SQL of the host authenticates nobody, though the library has prepared the same text', async () => {
  const { appUrl } = teams.database
  const texts: string[] = []
  const tenancy = await openTenancy({
    url: appUrl,
    keys,
    pool: { max: 1 },
    onQuery: ({ statements }) => texts.push(...statements.map((one) => one.text)),
  })
  onTestFinished(() => tenancy.close({ drain: 0 }))
  const team = await teams.newTeam()
  const { userId } = await team.join('developer')
  const { token } = await team.org.apiKeys.create({ userId, name: newId() })
  await tenancy.authenticateApiKey(token)
  const [text = ''] = texts.splice(0)
  expect(text).toContain('platform.accept_api_key(')

  const org = tenancy.forOrg(team.id)
  await org.transaction(async ({ db }) => {
    // The function turns off synchronous_commit until the transaction ends, for whatever is written in it.
    const [head = '', middle = '', tail = ''] = text.split(/\$[12]/)
    const same = sql`${sql.raw(head)}${sql.param(['x'])}${sql.raw(middle)}${'test'}${sql.raw(tail)}`
    await expect(db.execute(same)).rejects.toThrow(UnsafeStatementError)
    await expect(db.execute(sql`select platform.accept_session(null, null, '1 day')`)).rejects.toThrow(
      'a scope does not send SQL that names accept_session',
    )
  })
  const authenticated = await tenancy.authenticateApiKey(token)
  expect(authenticated.actor.kind).toBe('api_key')
})

test('what an authentication writes does not wait for the disk', async () => {
  const { admin, appUrl } = teams.database
  const team = await teams.newTeam()
  const { userId } = await team.join('developer')
  const { apiKey } = await team.org.apiKeys.create({ userId, name: newId() })
  const { session } = await teams.tenancy.forUser(userId).sessions.start({ activeOrg: team.id })
  await admin.query(
    "update platform.user_sessions set last_activity_at = now() - interval '1 hour' where user_id = $1",
    [userId],
  )

  const client = new pg.Client({ connectionString: appUrl })
  await client.connect()
  onTestFinished(() => client.end())
  const settingAfter = async (enter: string, id: string, authenticate: string, values: unknown[]) => {
    await client.query('begin; set local synchronous_commit = on')
    await client.query(`select platform.${enter}($1)`, [id])
    const { rows } = await client.query(`select from platform.${authenticate}`, values)
    const { rows: settings } = await client.query<{ synchronous_commit: string }>('show synchronous_commit')
    await client.query('commit')
    return [rows.length, settings[0]?.synchronous_commit]
  }
  const [key] = await admin.query('select key_hash from platform.api_keys where id = $1', [apiKey.id])
  const byKey: [string, unknown[]] = ['accept_api_key(array[$1::bytea], $2)', [key?.key_hash, 'test']]
  const [kept] = await admin.query('select token_hash from platform.user_sessions where id = $1', [session.id])
  const bySession: [string, unknown[]] = [
    "accept_session($1, array[$2::bytea], '10 minutes')",
    [session.id, kept?.token_hash],
  ]
  expect(await settingAfter('enter_org', team.id, ...byKey)).toEqual([1, 'off'])
  expect(await settingAfter('enter_org', team.id, ...byKey)).toEqual([1, 'on'])
  expect(await settingAfter('enter_user', userId, ...bySession)).toEqual([1, 'off'])
  // Its use was noted just now.
  expect(await settingAfter('enter_user', userId, ...bySession)).toEqual([1, 'on'])
})

test('the builds before this one authenticate by the functions that they know', async () => {
  const { admin, appUrl } = teams.database
  const team = await teams.newTeam()
  const { userId } = await team.join('developer')
  const { apiKey } = await team.org.apiKeys.create({ userId, name: newId(), scopes: ['agents:read'] })
  const { session } = await teams.tenancy.forUser(userId).sessions.start({ activeOrg: team.id })
  const [hashes] = await admin.query(
    'select k.key_hash, s.token_hash from platform.api_keys k, platform.user_sessions s where k.id = $1 and s.id = $2',
    [apiKey.id, session.id],
  )

  const client = new pg.Client({ connectionString: appUrl })
  await client.connect()
  onTestFinished(() => client.end())
  const answer = async (enter: string, id: string, authenticate: string, values: unknown[]): Promise<unknown> => {
    await client.query('begin')
    await client.query(`select platform.${enter}($1)`, [id])
    const { rows } = await client.query(authenticate, values)
    await client.query('commit')
    return rows
  }
  const byKey = await answer(
    'enter_org',
    team.id,
    'select a.id, a.permissions, a.projects from platform.authenticate_api_key($1, $2) a',
    [[hashes?.key_hash], 'test'],
  )
  expect(byKey).toEqual([{ id: apiKey.id, permissions: ['agents:read'], projects: {} }])
  const bySession = await answer(
    'enter_user',
    userId,
    'select a.org_id, a.permissions from platform.authenticate_session($1, $2, $3) a',
    [session.id, [hashes?.token_hash], 600],
  )
  const { permissions } = await team.org.actorFor(userId)
  expect(bySession).toEqual([{ org_id: team.id, permissions: expect.arrayContaining([...permissions]) as unknown }])
})

test('an actor names the person of record of a key, and nobody for a person or a job', async () => {
  const team = await teams.newTeam()
  const { userId } = await team.join('developer')
  const { apiKey, token } = await team.org.apiKeys.create({ userId, name: 'two\nlines\n' })
  const started = await teams.tenancy.forUser(userId).sessions.start({ activeOrg: team.id })

  const { actor } = await teams.tenancy.authenticateApiKey(token)
  expect(actor).toMatchObject({ id: apiKey.id, onBehalfOf: userId, label: 'two\nlines\n' })
  const others = [
    (await teams.tenancy.authenticateSession(started.token)).actor,
    await team.org.actorFor(userId),
    teams.tenancy.job('nightly'),
  ]
  expect(others.map((other) => [other?.kind, other?.onBehalfOf])).toEqual([
    ['user', undefined],
    ['user', undefined],
    ['system', undefined],
  ])
})

test('a person without permissions is accepted with none', async () => {
  const team = await teams.newTeam()
  await team.org.roles.create({ key: 'idle', name: 'Idle' })
  const { userId } = await team.join('idle')
  const { token } = await team.org.apiKeys.create({ userId, name: newId(), rateLimitPerHour: 3 })
  const started = await teams.tenancy.forUser(userId).sessions.start({ activeOrg: team.id })
  const byKey = await teams.tenancy.authenticateApiKey(token)
  const bySession = await teams.tenancy.authenticateSession(started.token)
  expect([byKey.actor.permissions, bySession.actor?.permissions]).toEqual([new Set(), new Set()])
  expect(byKey.rateLimit).toMatchObject({ limit: 3, remaining: 2 })
})
