import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { openNodePostgres } from '../../src/database/node-postgres.js'
import { passingKeyring } from '../../src/encryption/keyring.js'
import { secretsOf } from '../../src/encryption/secrets.js'
import type { Org } from '../../src/org.js'
import { Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { recording } from '../support/recording-executor.js'
import { type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()

let org: Org
let ids: string[]
let team: Team
let sent: ReturnType<typeof recording>['log']
let end: () => Promise<void>

beforeAll(async () => {
  const { executor, log } = recording(openNodePostgres({ pool: { connectionString: teams.database.appUrl, max: 2 } }))
  const tenancy = new Tenancy(executor, secretsOf(passingKeyring()))
  sent = log
  end = () => tenancy.close({ drain: 0 })
  org = tenancy.forOrg(await createOrganization(teams.database.admin))
  ids = []
  for (const [kind, priority] of [
    ['mail', 1],
    ['call', 2],
    ['mail', 2],
    ['mail', 3],
  ] as const) {
    ids.push((await org.tasks.enqueue({ kind, priority })).id)
  }
  team = await teams.newTeam()
})
afterAll(() => end())

/** Somebody who may read that project alone. */
async function memberOf(projectId: string): Promise<Org> {
  const { userId } = await team.join('customer')
  await team.org.projects.members.add(projectId, { userId, role: 'developer' })
  return team.as(userId)
}

/** What was sent meanwhile. */
async function during<T>(work: () => Promise<T>): Promise<{ result: T; texts: string[] }> {
  const before = sent.length
  const result = await work()
  return { result, texts: sent.slice(before).map(({ text }) => text) }
}

describe('a page with its total', () => {
  test('counts the rows of all pages that match, in one statement', async () => {
    const first = await during(() => org.tasks.list({ kind: 'mail', limit: 2, total: true }))
    expect(first.result).toMatchObject({ items: [{ id: ids[3] }, { id: ids[2] }], total: 3, previous: undefined })
    expect(first.texts).toHaveLength(1)
    const second = await during(() => org.tasks.list({ kind: 'mail', limit: 2, total: true, after: first.result.next }))
    expect(second.result).toMatchObject({ items: [{ id: ids[0] }], total: 3, next: undefined })
    expect(second.texts).toHaveLength(1)
    const back = await org.tasks.list({ kind: 'mail', limit: 2, total: true, before: second.result.previous })
    expect(back).toEqual({ ...first.result, next: back.next })
  })

  test('is there although the page is empty', async () => {
    const { result, texts } = await during(() => org.tasks.list({ kind: 'none', total: true }))
    expect(result).toEqual({ items: [], next: undefined, previous: undefined, total: 0 })
    expect(texts).toHaveLength(1)

    const { next } = await org.tasks.list({ kind: 'call', limit: 1, orderBy: 'priority' })
    expect(next).toBeUndefined()
    const other = teams.tenancy.forOrg(await createOrganization(teams.database.admin))
    const made = await other.tasks.enqueue({ kind: 'one', priority: 1 })
    await other.tasks.enqueue({ kind: 'two', priority: 2 })
    const { next: after } = await other.tasks.list({ orderBy: 'priority', limit: 1 })
    await teams.database.admin.query('delete from platform.tasks where org_id = $1 and id <> $2', [other.id, made.id])
    expect(await other.tasks.list({ orderBy: 'priority', after, total: true })).toEqual({
      items: [],
      next: undefined,
      previous: undefined,
      total: 1,
    })
  })

  test('is not counted unless it is asked for', async () => {
    expect(await org.tasks.list({ total: false })).not.toHaveProperty('total')
    expect(await org.tasks.list({ total: undefined })).not.toHaveProperty('total')
  })

  test('counts only the projects that the actor sees', async () => {
    const { org: all } = team
    await all.projects.create({ name: 'Hidden', slug: 'hidden' })
    const seen = await all.projects.create({ name: 'Seen', slug: 'seen' })
    const member = await memberOf(seen.id)
    expect(await member.projects.list({ total: true })).toMatchObject({ items: [{ id: seen.id }], total: 1 })
    expect((await all.projects.list({ total: true })).total).toBeGreaterThan(1)
  })

  test('is refused as an option of a stream', async () => {
    const rows = org.tasks.stream({ total: true } as object)
    await expect(rows.next()).rejects.toThrow(new InvalidInputError('total', 'is not an option of stream; use count'))
  })
})

describe('rows with some of their fields', () => {
  test('are found by id, listed and streamed', async () => {
    const [id = ''] = ids
    expect(await org.tasks.find(id, { select: ['kind', 'id'] })).toEqual({ id, kind: 'mail' })
    expect(await org.tasks.get(id, { select: ['priority'] })).toEqual({ priority: 1 })
    expect((await org.tasks.list({ select: ['priority'], kind: 'call' })).items).toEqual([{ priority: 2 }])
    const streamed: object[] = []
    for await (const row of org.tasks.stream({ select: ['kind'], limit: 3 })) streamed.push(row)
    expect(streamed).toEqual(['mail', 'mail', 'call', 'mail'].map((kind) => ({ kind })))
    const { createdAt } = await org.tasks.get(id, { select: ['createdAt'] })
    expect(createdAt).toBeInstanceOf(Date)
  })

  test('are not found where the row is not', async () => {
    const other = teams.tenancy.forOrg(await createOrganization(teams.database.admin))
    expect(await other.tasks.find(ids[0] ?? '', { select: ['id'] })).toBeUndefined()
    await expect(other.tasks.get(ids[0] ?? '', { select: ['id'] })).rejects.toThrow(NotFoundError)
  })

  test('read those columns alone, and those of the order, so that a cursor can be made of them', async () => {
    const orderBy = ['-priority', 'kind'] as const
    const read: object[] = []
    let after: string | undefined
    do {
      const { result, texts } = await during(() => org.tasks.list({ select: ['status'], orderBy, limit: 1, after }))
      expect(texts[0]).toMatch(/^select "status", "priority", "kind", "id" from /)
      read.push(...result.items)
      after = result.next
    } while (after !== undefined)
    expect(read).toEqual(ids.map(() => ({ status: 'queued' })))
    const { next } = await org.tasks.list({ select: ['status'], orderBy, limit: 2, total: true })
    const whole = await org.tasks.list({ orderBy, limit: 2, after: next })
    expect(whole.items.map(({ id }) => id)).toEqual([ids[2], ids[0]])
  })

  test('are read by the same statement, in whatever sequence the fields are named', async () => {
    const [id = ''] = ids
    const { texts } = await during(async () => {
      await org.tasks.find(id, { select: ['id', 'kind'] })
      await org.tasks.find(id, { select: ['kind', 'id', 'kind'] })
    })
    expect(texts[0]).toMatch(/^select "id", "kind" from /)
    expect(texts[1]).toBe(texts[0])
  })

  test('of projects that the actor may not see are not found, though their id is not selected', async () => {
    const hidden = await team.org.projects.create({ name: 'H', slug: `h-${ids[0] ?? ''}`.slice(0, 30) })
    const seen = await team.org.projects.create({ name: 'S', slug: `s-${ids[0] ?? ''}`.slice(0, 30) })
    const { projects } = await memberOf(seen.id)
    expect(await projects.find(seen.id, { select: ['name'] })).toEqual({ name: 'S' })
    expect(await projects.get(seen.id, { select: ['name'] })).toEqual({ name: 'S' })
    expect(await projects.find(hidden.id, { select: ['name'] })).toBeUndefined()
    await expect(projects.get(hidden.id, { select: ['name'] })).rejects.toThrow(NotFoundError)
  })

  test.each<[unknown, string, string]>([
    [['pepperId'], '"pepperId" is not a field to select', 'a hidden column'],
    [['id', 'keyHash'], '"keyHash" is not a field to select', 'a secret'],
    [['nothing'], '"nothing" is not a field to select', 'no column'],
    [['name as x'], '"name as x" is not a field to select', 'SQL'],
    [['__proto__'], '"__proto__" is not a field to select', 'a prototype'],
    [['x'.repeat(100)], `"${'x'.repeat(60)}" is not a field to select`, 'a long text'],
    [[7], 'must hold text', 'a number'],
    [[], 'is empty', 'nothing'],
    ['id', 'must be a list', 'text'],
    [Array.from({ length: 100 }, () => 'id'), 'has more than', 'too many'],
  ])('%j: %s (%s)', async (select, reason) => {
    const { apiKeys } = org
    const before = sent.length
    const options = { select } as never
    for (const refused of [
      () => apiKeys.list(options),
      () => apiKeys.find(ids[0] ?? '', options),
      () => apiKeys.get(ids[0] ?? '', options),
      () => apiKeys.stream(options).next(),
    ]) {
      const error: unknown = await refused().catch((error: unknown) => error)
      expect(error).toBeInstanceOf(InvalidInputError)
      expect((error as InvalidInputError).message).toContain(`select: ${reason}`)
    }
    expect(sent).toHaveLength(before)
  })

  test('a sealed column is refused', async () => {
    const before = sent.length
    const refused = org.projects.list({ select: ['databasePassword'] } as never)
    await expect(refused).rejects.toThrow(
      'select: "databasePassword" is not a field to select; the fields are orgId, id, ',
    )
    expect(sent).toHaveLength(before)
  })
})
