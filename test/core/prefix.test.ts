import { beforeAll, expect, test } from 'vitest'
import type { Org } from '../../src/org.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg, database } = useTenancy()

let org: Org
// At the ends of what UTF-8 and UTF-16 can write, and with characters that a language would sort elsewhere.
const last = '\u{10FFFF}'
const names = [
  'a',
  'A',
  'ab',
  'a-b',
  'á',
  'az',
  `a${last}`,
  `a${last}${last}b`,
  'b',
  '\uD7FFx',
  '\uE000',
  '😀x',
  '😁',
  last,
]

beforeAll(async () => {
  await database.admin.query('alter table platform.agents alter column name type text collate "en-x-icu"')
  org = await newOrg()
  for (const [index, name] of names.entries()) await org.agents.create({ name, username: `u${index}` })
})

test.each(['', 'a', 'A', 'a-', 'ab', `a${last}`, `a${last}${last}`, '\uD7FF', '\uE000', '😀', last, `${last}${last}`])(
  'what begins with %j is found, and nothing else',
  async (prefix) => {
    const { items } = await org.agents.list({ name: { prefix }, orderBy: 'id' })
    expect(items.map(({ name }) => name)).toEqual(names.filter((name) => name.startsWith(prefix)))
  },
)
