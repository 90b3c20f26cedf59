import { describe, expect, expectTypeOf, test } from 'vitest'
import { DefinitionError, IdempotencyMismatchError, InvalidInputError } from '../../src/core/errors.js'
import type { Org } from '../../src/org.js'
import { Secret } from '../../src/schema/shared/secret.js'
import { contend, race } from '../support/contenders.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const admin = () => teams.database.admin
const create = (org: Org, username = 'ada') => org.agents.create({ name: 'Ada', username })
const keysOf = (orgId: string) =>
  admin().query<{ key: string; state: string }>('select key, state from platform.idempotency_keys where org_id = $1', [
    orgId,
  ])

race('T06: of 20 at once with one key, one has the effect, and all get its answer', async () => {
  const { org, id } = await teams.newTeam()
  let ran = 0
  const { won, lost } = await contend((contender) =>
    org.idempotent('key', { name: 'Ada' }, async (inner) => {
      ran++
      return create(inner, `ada-${contender}`)
    }),
  )
  expect({ ran, lost }).toEqual({ ran: 1, lost: [] })
  for (const answer of won) expect(answer).toEqual(won[0])
  expect(await org.agents.count()).toBe(1)
  expect(await keysOf(id)).toEqual([{ key: 'key', state: 'done' }])
})

test('another request under the key is refused, whatever the order of its fields', async () => {
  const { org } = await teams.newTeam()
  const first = await org.idempotent('key', { a: 1, b: { c: [1, 2], d: null } }, (inner) => create(inner))
  expect(await org.idempotent('key', { b: { d: null, c: [1, 2] }, a: 1 }, (inner) => create(inner))).toEqual(first)
  for (const other of [{ a: 1 }, { a: 1, b: { c: [2, 1], d: null } }, null, undefined, 'text'])
    await expect(org.idempotent('key', other, (inner) => create(inner))).rejects.toThrow(IdempotencyMismatchError)
  expect(await org.agents.count()).toBe(1)
})

test('an error leaves neither the effect nor the key, and the next one runs', async () => {
  const { org, id } = await teams.newTeam()
  const failing = org.idempotent('key', 1, async (inner) => {
    await create(inner)
    throw new Error('failed')
  })
  await expect(failing).rejects.toThrow('failed')
  expect(await org.agents.count()).toBe(0)
  expect(await keysOf(id)).toEqual([])
  await org.idempotent('key', 1, (inner) => create(inner))
  expect(await org.agents.count()).toBe(1)
})

test('inside a transaction that is undone, the key is undone too', async () => {
  const { org, id } = await teams.newTeam()
  const undone = org.transaction(async (outer) => {
    await outer.idempotent('key', 1, (inner) => create(inner))
    throw new Error('undone')
  })
  await expect(undone).rejects.toThrow('undone')
  expect(await keysOf(id)).toEqual([])
  expect(await org.agents.count()).toBe(0)
})

test('organizations and actors have keys of their own', async () => {
  const [one, other] = [await teams.newTeam(), await teams.newTeam()]
  const { userId } = await one.join('developer')
  const orgs = [one.org, await one.as(one.owner.userId), await one.as(userId), other.org]
  for (const [place, org] of orgs.entries())
    await org.idempotent('key', place, (inner) => create(inner, `ada-${place}`))
  expect(await one.org.agents.count()).toBe(3)
  expect(await other.org.agents.count()).toBe(1)
})

test('whoever acts in the name of a person has keys of their own, and not the answers of the person', async () => {
  const team = await teams.newTeam()
  const { userId } = team.owner
  const own = await team.as(userId)
  await own.idempotent('key', 1, (inner) => create(inner))
  const by = await teams.newUser()
  const actor = await team.org.actorFor(userId, { by, reason: 'ticket 7', until: new Date(Date.now() + 60_000) })
  const supporter = teams.tenancy.forOrg(team.id, { actor })
  expect(await supporter.idempotent('key', 1, () => Promise.resolve('of the supporter'))).toBe('of the supporter')
  const rows = await admin().query<{ actor: string }>('select actor from platform.idempotency_keys where org_id = $1', [
    team.id,
  ])
  expect(rows.map(({ actor }) => actor).sort()).toEqual([userId, `${by} for ${userId}`].sort())
})

test('whoever acts in the names of two people, and as themselves, has the answers of none in the other', async () => {
  const team = await teams.newTeam()
  const { userId: by } = await team.join('owner')
  const until = new Date(Date.now() + 60_000)
  const named = async (userId: string) =>
    teams.tenancy.forOrg(team.id, { actor: await team.org.actorFor(userId, { by, reason: 'ticket 7', until }) })
  const orgs = [await named(team.owner.userId), await named((await team.join('admin')).userId), await team.as(by)]
  for (const [place, org] of orgs.entries())
    expect(await org.idempotent('key', 1, () => Promise.resolve(place))).toBe(place)
})

test('a call that makes itself again with its own key is refused, and writes nothing', async () => {
  const { org, id } = await teams.newTeam()
  const again = (inner: Org): Promise<unknown> =>
    inner.idempotent('key', 1, async (deeper) => {
      await create(deeper)
      return again(deeper)
    })
  await expect(again(org)).rejects.toThrow('an idempotent call has called itself, with its own key')
  expect(await keysOf(id)).toEqual([])
  expect(await org.agents.count()).toBe(0)
})

test('the keys of the backend have no name', async () => {
  const { org, id } = await teams.newTeam()
  await org.idempotent('key', 1, (inner) => create(inner))
  expect(await admin().query('select actor from platform.idempotency_keys where org_id = $1', [id])).toEqual([
    { actor: '' },
  ])
})

test('a key is forgotten when its time is past, by the clock of the database', async () => {
  const { org, id } = await teams.newTeam()
  await org.idempotent('key', 1, (inner) => create(inner), { keepHours: 2 })
  const set = (hours: number) =>
    admin().query(
      `update platform.idempotency_keys set expires_at = (expires_at at time zone 'UTC' - $2 * interval '1 minute') at time zone 'UTC' where org_id = $1`,
      [id, hours * 60],
    )
  await set(1.9)
  await expect(org.idempotent('key', 2, (inner) => create(inner, 'eve'))).rejects.toThrow(IdempotencyMismatchError)
  await set(0.2)
  await org.idempotent('key', 2, (inner) => create(inner, 'eve'))
  expect(await org.agents.count()).toBe(2)
  expect(await keysOf(id)).toHaveLength(1)
})

describe('the answer', () => {
  test('is in its JSON form, for the first one too', async () => {
    const { org } = await teams.newTeam()
    const at = new Date('2026-01-02T03:04:05.678Z')
    const work = () =>
      Promise.resolve({ at, list: [at, null], left: undefined as string | undefined, deep: { n: 1.5 } })
    const first = await org.idempotent('key', 1, work)
    const second = await org.idempotent('key', 1, work)
    const form = { at: at.toISOString(), list: [at.toISOString(), null], deep: { n: 1.5 } }
    expect([first, second]).toEqual([form, form])
    expectTypeOf(first.at).toEqualTypeOf<string>()
    expectTypeOf(first.deep.n).toEqualTypeOf<number>()
  })

  test('has its fields in the same order for everybody', async () => {
    const { org } = await teams.newTeam()
    const work = () => Promise.resolve({ longest: 1, a: { z: 1, y: -0 } })
    const answers = [await org.idempotent('key', 1, work), await org.idempotent('key', 1, work)]
    expect(JSON.stringify(answers[0])).toBe(JSON.stringify(answers[1]))
    expect(Object.is(answers[0]?.a.y, answers[1]?.a.y)).toBe(true)
  })

  test('is refused where a token stands in it: whoever reads the database could use it', async () => {
    const team = await teams.newTeam()
    const org = await team.as(team.owner.userId)
    const session = await teams.tenancy.forUser(team.owner.userId).sessions.start({})
    const tokens: ((inner: Org) => Promise<unknown>)[] = [
      async (inner) => (await inner.apiKeys.create({ name: 'ci' })).token,
      async (inner) => {
        const { token } = await inner.invitations.create({ email: 'eve@example.com', role: 'member' })
        return { url: `https://acme.example/join?token=${token}` }
      },
      () => Promise.resolve([session.token]),
      () => Promise.resolve({ [session.refreshToken]: 1 }),
    ]
    for (const work of tokens) await expect(org.idempotent('key', 1, work)).rejects.toThrow(/has a token/)
    expect(await keysOf(team.id)).toEqual([])
    expect(await org.apiKeys.count()).toBe(0)
  })

  test('may be nothing', async () => {
    const { org } = await teams.newTeam()
    const nothing = async (inner: Org): Promise<void> => {
      await create(inner)
    }
    expect(await org.idempotent('key', 1, nothing)).toBeNull()
    expect(await org.idempotent('key', 1, nothing)).toBeNull()
    expect(await org.agents.count()).toBe(1)
  })

  test.each<[string, unknown]>([
    ['a function', () => 1],
    ['a bigint', { count: 1n }],
    ['a symbol', [Symbol('x')]],
    ['a map', { map: new Map() }],
    ['a secret', { key: new Secret('hidden') }],
    ['no number', { count: Number.NaN }],
    [
      'a circle',
      (() => {
        const circle: Record<string, unknown> = {}
        circle.self = circle
        return circle
      })(),
    ],
    ['half of a surrogate pair', { text: '\ud800' }],
    ['a megabyte', { text: 'x'.repeat(1_100_000) }],
  ])('is refused where it is %s, and nothing is written', async (_, answer) => {
    const { org, id } = await teams.newTeam()
    const refused = org.idempotent('key', 1, async (inner) => {
      await create(inner)
      return answer
    })
    await expect(refused).rejects.toThrow(DefinitionError)
    expect(await keysOf(id)).toEqual([])
    expect(await org.agents.count()).toBe(0)
  })
})

test.each<[string, [string, unknown, unknown, object?]]>([
  ['key', ['', 1, () => null]],
  ['key', ['x'.repeat(256), 1, () => null]],
  ['key', ['a\0', 1, () => null]],
  ['request', ['key', { f: () => 1 }, () => null]],
  ['work', ['key', 1, 'work']],
  ['keepHours', ['key', 1, () => null, { keepHours: 0 }]],
  ['options', ['key', 1, () => null, { keepDays: 1 }]],
])('a wrong %s is refused before anything is sent', async (field, given) => {
  const { org } = await teams.newTeam()
  const call = org.idempotent.bind(org) as (...given: unknown[]) => Promise<unknown>
  await expect(call(...given)).rejects.toThrow(InvalidInputError)
  await expect(call(...given)).rejects.toThrow(field)
})
