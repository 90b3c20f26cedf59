import { inspect } from 'node:util'
import { crc32 } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { ForbiddenError, InvalidInputError, RateLimitedError, UnauthorizedError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { numberInBase62 } from '../../src/encryption/base62.js'
import { loadKeyring } from '../../src/encryption/keyring.js'
import { tokensOf } from '../../src/encryption/tokens.js'
import { openTenancy } from '../../src/tenancy.js'
import { contend, refusalsOf, race } from '../support/contenders.js'
import { keys, type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const unauthorized = new UnauthorizedError()
const authenticate = (token: string) => teams.tenancy.authenticateApiKey(token)
const admin = (text: string, ...values: unknown[]) => teams.database.admin.query(text, values)

async function newKey(
  team: Team,
  more: { scopes?: string[]; rateLimitPerHour?: number | null; expiresAt?: Date } = {},
) {
  const { userId } = await team.join('developer')
  return team.org.apiKeys.create({ userId, name: newId(), scopes: ['agents:read', 'agents:write'], ...more })
}

describe('a key', () => {
  test('is shown once, and only its hash is stored', async () => {
    const team = await teams.newTeam()
    const { apiKey, token } = await newKey(team)
    expect(token).toMatch(/^tk_live_[0-9A-Za-z]{22}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$/)
    const secret = token.split('_')[3] ?? ''
    expect(apiKey).toMatchObject({
      keyPrefix: `tk_live_${secret.slice(0, 8)}`,
      lastFour: secret.slice(-4),
      status: 'active',
    })
    expect(Object.keys(apiKey)).not.toContain('keyHash')
    expect(JSON.stringify([apiKey, await team.org.apiKeys.list()])).not.toContain(secret.slice(0, 12))
    const [stored] = await admin(
      'select key_hash, row_to_json(k)::text as all from platform.api_keys k where id = $1',
      apiKey.id,
    )
    expect(stored?.key_hash).toHaveLength(32)
    expect(stored?.all).not.toContain(secret.slice(0, 12))
    expect(stored?.all).not.toContain(Buffer.from(secret).toString('hex').slice(0, 24))
  })

  test('opens its organization with the scopes that its member holds', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('customer')
    const scopes = ['agents:read', 'agents:write', 'tasks:write']
    const { apiKey, token } = await team.org.apiKeys.create({ userId, name: 'ci', scopes })
    const { org, actor, rateLimit } = await authenticate(token)
    expect(org.id).toBe(team.id)
    expect(actor).toMatchObject({
      kind: 'api_key',
      id: apiKey.id,
      orgId: team.id,
      label: 'ci',
      epoch: 0,
      onBehalfOf: userId,
    })
    expect([...actor.permissions].sort()).toEqual(['agents:read', 'tasks:write'])
    expect(rateLimit).toBeUndefined()
    expect(await org.agents.count()).toBe(0)
    await expect(org.agents.create({ name: 'Ada', username: 'ada' })).rejects.toThrow(ForbiddenError)

    const member = await team.org.members.findByUser(userId)
    await team.org.members.changeRole(member?.id ?? '', 'member')
    expect([...(await authenticate(token)).actor.permissions].sort()).toEqual([...scopes].sort())
  })

  test('has the rights of its member in single projects', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('customer')
    const project = await team.org.projects.create({ name: 'One', slug: 'one' })
    await team.org.projects.members.add(project.id, { userId, role: 'developer' })
    const { token } = await team.org.apiKeys.create({ userId, name: 'ci', scopes: ['projects:read'] })
    const { org } = await authenticate(token)
    expect((await org.projects.list()).items).toEqual([project])
    expect(org.can('projects:write', { project: project.id })).toBe(false)
  })

  test('has a scope that is a permission, and of an actor only one that they have', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('developer')
    const keyFor = (scopes: string[]) => ({ userId, name: 'ci', scopes })
    await expect(team.org.apiKeys.create(keyFor(['agents:fly']))).rejects.toThrow(
      'scopes: contains agents:fly, which is not a permission',
    )
    const org = await team.as(userId)
    await expect(org.apiKeys.create(keyFor(['members:write']))).rejects.toThrow(new ForbiddenError('members:write'))
    expect((await org.apiKeys.create({ name: 'ci', scopes: ['agents:read'] })).apiKey).toMatchObject({ userId })
  })

  test('of an actor is made out to them or to a service', async () => {
    const team = await teams.newTeam()
    const [me, other] = [await team.join('developer'), await team.join('developer')]
    const service = await team.org.members.addService({ name: 'bot', role: 'developer' })
    const { apiKeys } = await team.as(me.userId)
    await expect(apiKeys.create({ userId: other.userId, name: 'a' })).rejects.toThrow(
      'an actor makes keys for themselves or a service only',
    )
    expect((await apiKeys.create({ userId: service.userId, name: 'b' })).apiKey.userId).toBe(service.userId)
    await expect(team.org.apiKeys.create({ name: 'c' })).rejects.toThrow(InvalidInputError)
    await expect(team.org.apiKeys.create({ userId: newId(), name: 'd' })).rejects.toThrow(
      'userId: is not an active member of this organization',
    )
  })

  test('has a name of its own while it lives', async () => {
    const team = await teams.newTeam()
    const { userId } = await team.join('developer')
    const { apiKey } = await team.org.apiKeys.create({ userId, name: 'ci' })
    await expect(team.org.apiKeys.create({ userId, name: 'ci' })).rejects.toMatchObject({
      code: 'conflict',
      fields: ['name'],
    })
    await team.org.apiKeys.revoke(apiKey.id)
    await team.org.apiKeys.create({ userId, name: 'ci' })
  })
})

describe('refused in the same words are', () => {
  const setKey = (id: string, set: string) => admin(`update platform.api_keys set ${set} where id = $1`, id)
  const setMember = (user: string, set: string) =>
    admin(`update platform.organization_members set ${set} where user_id = $1`, user)

  test('tokens that are malformed, without a query', async () => {
    const team = await teams.newTeam()
    const { token } = await newKey(team)
    const queries: string[] = []
    const watched = await openTenancy({
      url: teams.database.appUrl,
      keys,
      onQuery: ({ statements }) => queries.push(...statements.map(({ text }) => text)),
    })
    onTestFinished(() => watched.close())
    const last = token.at(-1) === '0' ? '1' : '0'
    const [head, env, org, secret, sum] = token.split('_')
    const malformed = [
      '',
      'tk_live_',
      `${token} `,
      `${token}\n`,
      ` ${token}`,
      token.toUpperCase(),
      token.slice(0, -1) + last,
      token.slice(0, -1),
      `${token}0`,
      [head, 'test', org, secret, sum].join('_'),
      ['ak', env, org, secret, sum].join('_'),
      [head, env, 'z'.repeat(22), secret, sum].join('_'),
      token.replaceAll('_', '-'),
      'x'.repeat(100_000),
    ]
    for (const one of [...malformed, undefined, null, 1, {}, [token], new String(token)]) {
      await expect(watched.authenticateApiKey(one as string)).rejects.toThrow(unauthorized)
    }
    expect(queries).toEqual([])
    await watched.authenticateApiKey(token)
    expect(queries).not.toEqual([])
  })

  const states: [string, (team: Team, id: string, userId: string) => Promise<unknown>][] = [
    ['a revoked key', (team, id) => team.org.apiKeys.revoke(id)],
    ['a deleted key', (team, id) => team.org.apiKeys.delete(id)],
    ['an expired key', (_, id) => admin(`update platform.api_keys set expires_at = now() where id = $1`, id)],
    ['a key past its grace', (_, id) => admin(`update platform.api_keys set grace_until = now() where id = $1`, id)],
    [
      'a key of an older epoch',
      (_, __, user) => admin('update platform.organization_members set auth_epoch = 9 where user_id = $1', user),
    ],
    [
      'a key of an inactive member',
      (team, _, user) => team.org.members.findByUser(user).then((m) => team.org.members.deactivate(m?.id ?? '')),
    ],
    [
      'a key of a removed member',
      (team, _, user) => team.org.members.findByUser(user).then((m) => team.org.members.remove(m?.id ?? '')),
    ],
    // One condition at a time: the verbs above end a key in two ways.
    ['a key that is revoked and nothing else', (_, id) => setKey(id, `status = 'revoked'`)],
    ['a key that is deleted and nothing else', (_, id) => setKey(id, 'deleted_at = now()')],
    ['a key of a member who is inactive and nothing else', (_, __, user) => setMember(user, `status = 'inactive'`)],
    ['a key of a member who is removed and nothing else', (_, __, user) => setMember(user, 'deleted_at = now()')],
    ['a key of a suspended organization', (team) => teams.system().organizations.suspend(team.id, 'unpaid')],
    ['a key of a deleted organization', (team) => teams.system().organizations.delete(team.id)],
  ]
  test.each(states)('%s', async (_, change) => {
    const team = await teams.newTeam()
    const { apiKey, token } = await newKey(team)
    await authenticate(token)
    await change(team, apiKey.id, apiKey.userId)
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
  })

  test('a key of a member who was removed and came back', async () => {
    const team = await teams.newTeam()
    const { apiKey, token } = await newKey(team)
    const member = await team.org.members.findByUser(apiKey.userId)
    await team.org.members.remove(member?.id ?? '')
    await team.org.members.add({ userId: apiKey.userId, email: 'back@example.com', role: 'developer' })
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
  })

  test('a key of another organization, when the name of this one is written into its token', async () => {
    const [ours, theirs] = [await teams.newTeam(), await teams.newTeam()]
    const [{ token }, { token: other }] = [await newKey(ours, { rateLimitPerHour: 5 }), await newKey(theirs)]
    const [head, env, org, secret] = token.split('_')
    for (const [routed, kept] of [
      [other.split('_')[2], secret],
      [org, other.split('_')[3]],
    ]) {
      const body = [head, env, routed, kept].join('_')
      await expect(authenticate(`${body}_${numberInBase62(crc32(body), 6)}`)).rejects.toThrow(unauthorized)
    }
    expect((await authenticate(token)).rateLimit).toMatchObject({ remaining: 4 })
  })

  test('a wrong secret, where the organization has keys and where nobody knows it, in as many statements', async () => {
    const [team, suspended] = [await teams.newTeam(), await teams.newTeam()]
    for (const one of [team, suspended]) await newKey(one)
    await teams.system().organizations.suspend(suspended.id, 'unpaid')
    const trips: number[] = []
    const watched = await openTenancy({
      url: teams.database.appUrl,
      keys,
      onQuery: ({ statements }) => trips.push(statements.length),
    })
    onTestFinished(() => watched.close())
    for (const id of [team.id, suspended.id, newId()]) {
      trips.length = 0
      const { token } = tokensOf(loadKeyring(keys)).makeKey(id)
      await expect(watched.authenticateApiKey(token)).rejects.toThrow(unauthorized)
      expect(trips).toEqual([1])
    }
  })
})

describe('the hourly limit', () => {
  test('counts what is accepted, and says what is left', async () => {
    const team = await teams.newTeam()
    const { token } = await newKey(team, { rateLimitPerHour: 2 })
    const first = await authenticate(token)
    expect(first.rateLimit).toMatchObject({ limit: 2, remaining: 1 })
    const resetAt = first.rateLimit?.resetAt.getTime() ?? 0
    expect(resetAt % 3_600_000).toBe(0)
    expect((await authenticate(token)).rateLimit).toMatchObject({ remaining: 0 })
    const refused = await authenticate(token).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(RateLimitedError)
    const { retryAfter } = refused as RateLimitedError
    expect(retryAfter > 0 && retryAfter <= 3600).toBe(true)
  })

  race('is exact among contenders, and begins again with the hour', async () => {
    const team = await teams.newTeam()
    const { apiKey, token } = await newKey(team, { rateLimitPerHour: 7 })
    const { won, lost } = await contend(() => authenticate(token))
    expect(won).toHaveLength(7)
    expect(lost.every((error) => error instanceof RateLimitedError)).toBe(true)
    expect(await admin('select used from platform.api_key_windows where api_key_id = $1', apiKey.id)).toEqual([
      { used: 7 },
    ])
    await admin(
      `update platform.api_key_windows set window_start = (window_start at time zone 'UTC' - interval '1 h') at time zone 'UTC'
       where org_id = $1 and api_key_id = $2`,
      team.id,
      apiKey.id,
    )
    expect((await authenticate(token)).rateLimit).toMatchObject({ remaining: 6 })
  })

  test('of zero accepts nothing and stores nothing, and of null has no end', async () => {
    const team = await teams.newTeam()
    const none = await newKey(team, { rateLimitPerHour: 0 })
    await expect(authenticate(none.token)).rejects.toThrow(RateLimitedError)
    const free = await newKey(team, { rateLimitPerHour: null })
    expect((await authenticate(free.token)).rateLimit).toBeUndefined()
    expect(await admin('select from platform.api_key_windows where org_id = $1', team.id)).toEqual([])
  })

  test('is not used up by a refused key', async () => {
    const team = await teams.newTeam()
    const { apiKey, token } = await newKey(team, { rateLimitPerHour: 5 })
    await team.org.apiKeys.revoke(apiKey.id)
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
    expect(await admin('select from platform.api_key_windows where api_key_id = $1', apiKey.id)).toEqual([])
  })
})

test('the last use is noted once a minute', async () => {
  const team = await teams.newTeam()
  const { apiKey, token } = await newKey(team)
  expect(apiKey.lastUsedAt).toBeNull()
  const used = async () => (await team.org.apiKeys.get(apiKey.id)).lastUsedAt?.getTime()
  await authenticate(token)
  const first = await used()
  expect(first).toBeDefined()
  await authenticate(token)
  expect(await used()).toBe(first)
  await admin(`update platform.api_keys set last_used_at = now() - interval '61 s' where id = $1`, apiKey.id)
  await authenticate(token)
  expect(await used()).toBeGreaterThanOrEqual(first ?? 0)
})

test('tokens of the other environment are refused, and begin as the host says', async () => {
  const team = await teams.newTeam()
  const { userId } = await team.join('developer')
  const test = await openTenancy({ url: teams.database.appUrl, keys, tokens: { prefix: 'acme', env: 'test' } })
  onTestFinished(() => test.close())
  const { token } = await test.forOrg(team.id).apiKeys.create({ userId, name: 'ci' })
  expect(token).toMatch(/^acme_test_/)
  await test.authenticateApiKey(token)
  await expect(authenticate(token)).rejects.toThrow(unauthorized)
  await expect(openTenancy({ url: teams.database.appUrl, keys, tokens: { prefix: 'A_' } })).rejects.toThrow(
    'tokens.prefix',
  )
})

describe('nobody', () => {
  test.each([
    ['suspended', (id: string) => teams.system().users.suspend(id)],
    ['banned', (id: string) => teams.system().users.ban(id, new Date(Date.now() + 60_000))],
    ['deleted', (id: string) => teams.system().users.delete(id)],
  ])('makes or rotates a key for a %s person', async (_, end) => {
    const team = await teams.newTeam()
    const { apiKey } = await newKey(team)
    await end(apiKey.userId)
    const refusal = 'userId: is not an active member of this organization'
    await expect(team.org.apiKeys.create({ userId: apiKey.userId, name: 'again' })).rejects.toThrow(refusal)
    await expect(team.org.apiKeys.rotate(apiKey.id)).rejects.toThrow(refusal)
  })

  test('gets a token of another person’s key by rotating it', async () => {
    const team = await teams.newTeam()
    const { apiKey, token } = await team.org.apiKeys.create({
      userId: team.owner.userId,
      name: 'owner',
      scopes: ['agents:read'],
    })
    const { apiKeys } = await team.as((await team.join('developer')).userId)
    await expect(apiKeys.rotate(apiKey.id)).rejects.toThrow('an actor makes keys for themselves or a service only')
    await authenticate(token)
  })

  test('changes or revokes a key with permissions that they lack', async () => {
    const team = await teams.newTeam()
    const { apiKey } = await team.org.apiKeys.create({
      userId: team.owner.userId,
      name: 'owner',
      scopes: ['members:write'],
    })
    const { apiKeys } = await team.as((await team.join('developer')).userId)
    for (const refused of await refusalsOf([
      apiKeys.update(apiKey.id, { expiresAt: null }),
      apiKeys.revoke(apiKey.id),
      apiKeys.delete(apiKey.id),
    ])) {
      expect(refused).toEqual(new ForbiddenError('members:write'))
    }
  })
})

test('a key cannot change itself', async () => {
  const team = await teams.newTeam()
  const { apiKey, token } = await newKey(team, { scopes: ['api_keys:read', 'api_keys:write'], rateLimitPerHour: 5 })
  const { org } = await authenticate(token)
  await expect(org.apiKeys.update(apiKey.id, { rateLimitPerHour: null })).rejects.toThrow('a key cannot change itself')
  expect(await team.org.apiKeys.get(apiKey.id)).toMatchObject({ rateLimitPerHour: 5 })
})

test('misspelt options are refused before the key is used', async () => {
  const team = await teams.newTeam()
  const { token } = await newKey(team, { rateLimitPerHour: 5 })
  await expect(teams.tenancy.authenticateApiKey(token, { readonly: true } as never)).rejects.toThrow(InvalidInputError)
  expect((await authenticate(token)).rateLimit?.remaining).toBe(4)
})

test('the keys that sign and hash are not printed', async () => {
  const team = await teams.newTeam()
  for (const one of [teams.tenancy, team.org, teams.tenancy.forUser(team.owner.userId)]) {
    expect(inspect(one, { depth: null })).not.toMatch(/Uint8Array\(32\)/)
  }
  expect(JSON.stringify(teams.tenancy)).not.toMatch(/"31":/)
})
