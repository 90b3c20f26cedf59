import { expect, test } from 'vitest'
import { InvalidInputError, RateLimitedError, UnauthorizedError } from '../../src/core/errors.js'
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
  await tenancy.close({ drain: 0 })
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
