import { expect, test } from 'vitest'
import { type CursorBinding, openCursor, sealCursor } from '../../src/core/statements/cursor.js'
import { InvalidCursorError } from '../../src/core/errors.js'
import type { Org } from '../../src/org.js'
import { openTenancy } from '../../src/tenancy.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg, database } = useTenancy()

/** Tasks of which a thousand fall into each millisecond, and several into each microsecond. */
const crowd = (org: Org, from: string, count: number) =>
  database.admin.query(
    `insert into platform.tasks (org_id, id, kind, created_at)
     select $1, gen_random_uuid(), 'crowd', $2::timestamptz + n / 3 * interval '1 microsecond' from generate_series(1, $3::int) n`,
    [org.id, from, count],
  )

test.each(['createdAt', '-createdAt'] as const)(
  'pages by %s lose and repeat no row, however close together, while others come',
  async (orderBy) => {
    const org = await newOrg()
    await crowd(org, '2026-01-02T03:04:05.678Z', 2_000)
    const before = await database.admin.query<{ id: string }>('select id from platform.tasks where org_id = $1', [
      org.id,
    ])
    const seen: string[] = []
    let page = await org.tasks.list({ orderBy, limit: 97 })
    for (;;) {
      seen.push(...page.items.map(({ id }) => id))
      if (page.next === undefined) break
      await crowd(org, '2026-01-02T03:04:05.678300Z', 30)
      await crowd(org, orderBy === 'createdAt' ? '2025-01-01T00:00:00Z' : '2027-01-01T00:00:00Z', 30)
      page = await org.tasks.list({ orderBy, limit: 97, after: page.next })
    }
    expect(new Set(seen).size).toBe(seen.length)
    const missed = new Set(before.map(({ id }) => id))
    for (const id of seen) missed.delete(id)
    expect([...missed]).toEqual([])
    expect(seen.length).toBeGreaterThan(2_000)
  },
)

test('a cursor stays valid while its key is in the keyring, and by no other key', async () => {
  const org = await newOrg()
  await crowd(org, '2026-01-02T03:04:05.678Z', 3)
  const key = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64')}`
  const listWith = async (keys: string, after?: string) => {
    const tenancy = await openTenancy({ url: database.appUrl, pool: { max: 1 }, keys })
    try {
      return await tenancy.forOrg(org.id).tasks.list({ limit: 1, ...(after !== undefined && { after }) })
    } finally {
      await tenancy.close()
    }
  }
  const { items, next } = await listWith(key('old', 1))
  const rotated = await listWith(`${key('new', 2)},${key('old', 1)}`, next)
  expect(rotated.items).toHaveLength(1)
  expect(rotated.items).not.toEqual(items)
  await expect(listWith(key('new', 2), next)).rejects.toThrow(InvalidCursorError)
  await expect(listWith(key('old', 3), next)).rejects.toThrow(InvalidCursorError)
  // What is made after the rotation is made with the new key.
  await expect(listWith(key('old', 1), rotated.next)).rejects.toThrow(InvalidCursorError)
  await expect(listWith(key('new', 2), rotated.next)).resolves.toMatchObject({ items: [{ kind: 'crowd' }] })
})

const keys = { keys: [Buffer.alloc(32, 1)] } as const
const binding: CursorBinding = { owner: 'a', resource: 'bc', order: 'd', filter: '' }

test('a cursor holds a long text as well as a short one', () => {
  for (const length of [0, 1, 1000, 500_000]) {
    const position = ['\u00e9'.repeat(length / 2), 'id']
    expect(openCursor(keys, binding, sealCursor(keys, binding, position), 2)).toEqual(position)
  }
})

test('a cursor is accepted only by the list that it was created for', () => {
  const cursor = sealCursor(keys, binding, ['x', 'id'])
  const others: CursorBinding[] = [
    { ...binding, owner: 'z' },
    { ...binding, resource: 'bd' },
    { ...binding, order: '-d' },
    { ...binding, filter: 'e' },
    { ...binding, owner: 'ab', resource: 'c' },
    { ...binding, resource: 'b', order: 'cd' },
    { ...binding, order: '', filter: 'd' },
  ]
  for (const other of others) expect(() => openCursor(keys, other, cursor, 2)).toThrow(InvalidCursorError)
  for (const length of [1, 3]) expect(() => openCursor(keys, binding, cursor, length)).toThrow(InvalidCursorError)
  for (const spelled of [`${cursor}=`, ` ${cursor}`, cursor.slice(0, -1), cursor.slice(0, 21), '', 7, null]) {
    expect(() => openCursor(keys, binding, spelled, 2)).toThrow(InvalidCursorError)
  }
})

test('text and the keys of JSON are kept as they are, whatever is in them', async () => {
  const org = await newOrg()
  const texts = [
    "a'b",
    '"',
    '{',
    '\\',
    '$1',
    '%s',
    '\u200b',
    'e\u0301',
    '\u00e9',
    '\u202eabc',
    '\u{1F600}',
    '\t\n\r',
    ';--',
  ]
  const settings = Object.fromEntries([...texts, ''].map((text) => [text, { [text]: [text, null, 1.5e300, -0.1] }]))
  const { id } = await org.agents.create({ name: 'Ada', username: 'ada', settings })
  expect((await org.agents.get(id)).settings).toEqual(settings)
  for (const text of texts) {
    const changed = await org.agents.update(id, { instructions: text, settings: { [text]: text } })
    expect(changed).toMatchObject({ instructions: text, settings: { [text]: text } })
    expect(await org.agents.get(id)).toEqual(changed)
    const name = `x${text}`
    await org.agents.update(id, { name })
    expect(await org.agents.count({ name })).toBe(1)
    expect(await org.agents.count({ name: name.normalize('NFKD') })).toBe(name.normalize('NFKD') === name ? 1 : 0)
  }
})
