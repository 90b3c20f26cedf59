import { describe, expect, onTestFinished, test } from 'vitest'
import { ConflictError, ForbiddenError, UnauthorizedError } from '../../src/core/errors.js'
import type { Tokens } from '../../src/core/scope.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { declare } from '../../src/declared.js'
import { loadKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import { openTenancy, Tenancy } from '../../src/tenancy.js'
import { contend, race } from '../support/contenders.js'
import { keys, newKey, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const unauthorized = new UnauthorizedError()
const authenticate = (token: string) => teams.tenancy.authenticateApiKey(token)
const admin = (text: string, ...values: unknown[]) => teams.database.admin.query(text, values)

describe('rotation', () => {
  test('makes a successor; the old key works until the end of its grace', async () => {
    const team = await teams.newTeam()
    const { apiKey, token } = await newKey(team, { rateLimitPerHour: 50 })
    const graceUntil = new Date(Date.now() + 3_600_000)
    const next = await team.org.apiKeys.rotate(apiKey.id, { graceUntil })
    expect(next.apiKey).toMatchObject({
      name: apiKey.name,
      scopes: apiKey.scopes,
      rateLimitPerHour: 50,
      rotatedFrom: apiKey.id,
    })
    for (const one of [token, next.token]) expect((await authenticate(one)).actor.label).toBe(apiKey.name)
    await expect(team.org.apiKeys.rotate(apiKey.id)).rejects.toThrow(ConflictError)
    await admin('update platform.api_keys set grace_until = now() where id = $1', apiKey.id)
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
    await authenticate(next.token)
  })

  test('without a grace ends the old key at once', async () => {
    const team = await teams.newTeam()
    const { apiKey, token } = await newKey(team)
    const next = await team.org.apiKeys.rotate(apiKey.id)
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
    await authenticate(next.token)
  })

  test('is how a key comes back with its member', async () => {
    const team = await teams.newTeam()
    const { apiKey, token } = await newKey(team)
    const member = await team.org.members.findByUser(apiKey.userId)
    await team.org.members.deactivate(member?.id ?? '')
    await team.org.members.reactivate(member?.id ?? '')
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
    const next = await team.org.apiKeys.rotate(apiKey.id)
    expect((await authenticate(next.token)).actor).toMatchObject({ id: next.apiKey.id, epoch: 1 })
    await expect(authenticate(token)).rejects.toThrow(unauthorized)
  })

  race('of 20 at once, one makes a successor', async () => {
    const team = await teams.newTeam()
    const { apiKey } = await newKey(team)
    const { won, lost } = await contend(() => team.org.apiKeys.rotate(apiKey.id))
    expect(won).toHaveLength(1)
    expect(lost.every((error) => error instanceof ConflictError)).toBe(true)
  })

  test('by an actor needs every scope of the key', async () => {
    const team = await teams.newTeam()
    const { apiKey } = await team.org.apiKeys.create({
      userId: team.owner.userId,
      name: 'all',
      scopes: ['members:write'],
    })
    const { apiKeys } = await team.as((await team.join('developer')).userId)
    await expect(apiKeys.rotate(apiKey.id)).rejects.toThrow(new ForbiddenError('members:write'))
  })
})

test('an expired key has no successor', async () => {
  const team = await teams.newTeam()
  const { apiKey } = await newKey(team)
  await admin('update platform.api_keys set expires_at = now() where id = $1', apiKey.id)
  await expect(team.org.apiKeys.rotate(apiKey.id)).rejects.toThrow(ConflictError)
})

describe('a token whose first characters are taken', () => {
  /** A tenancy that draws the beginning of a known token so often, before it draws as usual. */
  async function drawing(taken: string, times: number): Promise<{ tenancy: Tenancy; drawn: () => number }> {
    const secrets = secretsOf(loadKeyring(keys))
    let drawn = 0
    const makeKey: Tokens['makeKey'] = (orgId) => {
      const made = secrets.tokens.makeKey(orgId)
      return ++drawn <= times ? { ...made, keyPrefix: taken } : made
    }
    const { lookup } = await declare(undefined)
    const executor = openNodePostgres({ pool: { connectionString: teams.database.appUrl, max: 1 }, lookup })
    const tenancy = new Tenancy(executor, { ...secrets, tokens: { ...secrets.tokens, makeKey } })
    onTestFinished(() => tenancy.close({ drain: 0 }))
    return { tenancy, drawn: () => drawn }
  }

  test('is drawn again, three times at most', async () => {
    const team = await teams.newTeam()
    const { apiKey } = await newKey(team)
    const userId = apiKey.userId
    const twice = await drawing(apiKey.keyPrefix, 2)
    const { apiKey: other, token } = await twice.tenancy.forOrg(team.id).apiKeys.create({ userId, name: 'third' })
    expect(other.keyPrefix).not.toBe(apiKey.keyPrefix)
    expect(token).toContain(other.keyPrefix.slice('tk_live_'.length))
    expect(twice.drawn()).toBe(3)

    const always = await drawing(apiKey.keyPrefix, Infinity)
    const { apiKeys } = always.tenancy.forOrg(team.id)
    const taken = { code: 'conflict', fields: ['keyPrefix'] }
    await expect(apiKeys.create({ userId, name: 'fourth' })).rejects.toMatchObject(taken)
    expect(always.drawn()).toBe(3)
    await expect(apiKeys.rotate(other.id)).rejects.toMatchObject(taken)
    // Nothing of the refused rotation is left.
    await authenticate(token)
  })
})

describe('the keys that hash tokens', () => {
  const oldKey = `old:${Buffer.alloc(32, 8).toString('base64')}`
  const newKeyText = `new:${Buffer.alloc(32, 9).toString('base64')}`

  test('can be replaced: a token is stored under the new one when it is used', async () => {
    const team = await teams.newTeam()
    const open = async (keys: string) => {
      const tenancy = await openTenancy({ url: teams.database.appUrl, keys })
      onTestFinished(() => tenancy.close())
      return tenancy
    }
    const before = await open(oldKey)
    const { userId } = await team.join('developer')
    const { apiKey, token } = await before.forOrg(team.id).apiKeys.create({ userId, name: 'ci' })
    // Its last use is recent, which alone would not be noted again.
    await before.authenticateApiKey(token)

    const both = await open(`${newKeyText},${oldKey}`)
    await both.authenticateApiKey(token)
    expect(await admin('select pepper_id from platform.api_keys where id = $1', apiKey.id)).toEqual([
      { pepper_id: 'new' },
    ])
    const after = await open(newKeyText)
    await after.authenticateApiKey(token)
  })
})
