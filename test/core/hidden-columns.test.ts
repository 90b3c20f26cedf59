import { beforeAll, expect, test } from 'vitest'
import { InvalidInputError } from '../../src/core/errors.js'
import type { Scope } from '../../src/core/scope.js'
import { ScopedRepository } from '../../src/core/scoped-repository.js'
import { apiKeys } from '../../src/schema/api-keys.js'
import { newKey, type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()

/** The columns of a key that no read returns, as a repository of its own could ask for them. */
class KeyRows extends ScopedRepository<{ id: string; pepperId: string; name: string }> {
  constructor(scope: Scope) {
    super(scope, apiKeys)
  }

  findByPepper = (pepperId: string) => this.findRow({ pepperId })
  rename = (filter: object) => this.updateRows(filter, { name: 'other' })
  drop = (filter: object) => this.deleteRows(filter)
}

let team: Team
beforeAll(async () => {
  team = await teams.newTeam()
  await newKey(team)
})

const filters: object[] = [
  { pepperId: 'test' },
  { pepperId: { prefix: 't' } },
  { pepperId: { not: null } },
  { name: 'ci', pepperId: { in: ['test'] } },
  { not: { pepperId: 'test' } },
  { or: [{ name: 'ci' }, { and: [{ pepperId: 'test' }] }] },
]

test.each(filters)('a filter does not ask for a column that no read returns: %j', async (filter) => {
  const rows = team.org.repository(KeyRows)
  const refusal = new InvalidInputError('pepperId', 'is not a field that can be filtered by')
  await expect(rows.list(filter)).rejects.toEqual(refusal)
  await expect(rows.count(filter)).rejects.toEqual(refusal)
  await expect(rows.exists(filter)).rejects.toEqual(refusal)
  await expect(rows.rename(filter)).rejects.toEqual(refusal)
  await expect(rows.drop(filter)).rejects.toEqual(refusal)
  expect(await rows.count()).toBe(1)
})

test('nor does the order of a list', async () => {
  for (const orderBy of ['pepperId', '-pepperId']) {
    const listed = team.org.apiKeys.list({ orderBy } as never)
    await expect(listed).rejects.toThrow(
      `orderBy: "${orderBy}" is not a field to order by; a list can be ordered by id, `,
    )
  }
})

test('the hash of a password is not found by its beginning', async () => {
  const { users } = teams.system()
  const id = await teams.newUser()
  await users.setCredentials(id, { passwordHash: '$2b$10$abc' })
  for (const passwordHash of ['$2b$10$abc', { prefix: '$2b$10$a' }, { gt: '$2b$10$a' }, null]) {
    await expect(users.list({ id, passwordHash } as never)).rejects.toThrow(
      new InvalidInputError('passwordHash', 'is not a field that can be filtered by'),
    )
  }
})

test('a repository finds a row by such a column', async () => {
  const rows = team.org.repository(KeyRows)
  const found = await rows.findByPepper('test')
  expect(found).toMatchObject({ id: (await team.org.apiKeys.list()).items[0]?.id })
  expect(found).not.toHaveProperty('pepperId')
})
