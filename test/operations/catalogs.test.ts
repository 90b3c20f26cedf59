import { describe, expect, onTestFinished, test } from 'vitest'
import { InvalidInputError, NotFoundError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import { openSession } from '../../src/database/session.js'
import type { Catalog, Catalogs } from '../../src/operations/catalogs.js'
import { useTeams } from '../support/use-teams.js'

const teams = useTeams()
const catalog = (): Catalogs => teams.system().catalog

type Fields = Readonly<Record<string, unknown>>
interface Case {
  readonly name: keyof Catalogs
  readonly of: () => Catalog<Fields, Fields>
  readonly table: string
  readonly key: string
  /** What a row needs beside its key, and a change of it. */
  readonly values: Fields
  readonly change: Fields
  /** What else the schema knows. */
  readonly more: Fields
  readonly live: Fields
  readonly archived: Fields
}

const byActive = { live: { active: true }, archived: { active: false } }
const of = (name: keyof Catalogs) => () => catalog()[name] as unknown as Catalog<Fields, Fields>
const price = { price: '9.50', currency: 'EUR' }

const cases: readonly Case[] = [
  {
    name: 'plans',
    of: of('plans'),
    table: 'billing_plans',
    key: 'id',
    values: { name: 'Solo', interval: 'month', ...price },
    change: { name: 'Solo plus', interval: 'year', price: '95.00', currency: 'EUR' },
    more: { limits: { disk_gb: 8, bandwidth_gb: null }, features: ['support'], maxProjects: 3, sortOrder: 7 },
    ...byActive,
  },
  {
    name: 'addons',
    of: of('addons'),
    table: 'addon_catalog',
    key: 'addonId',
    values: { name: 'Backups', type: 'backup' },
    change: { name: 'Backups by the minute', type: 'backup' },
    more: { variants: [{ variant: 'week', name: 'A week', ...price }], description: 'Point in time' },
    ...byActive,
  },
  {
    name: 'flags',
    of: of('flags'),
    table: 'feature_flags',
    key: 'flagKey',
    values: { flagName: 'New editor' },
    change: { flagName: 'The editor' },
    more: { enabled: true, defaultValue: true, rolloutPercentage: 20 },
    live: { archivedAt: null },
    archived: { archivedAt: expect.any(Date) as unknown },
  },
  {
    name: 'llms',
    of: of('llms'),
    table: 'llms',
    key: 'key',
    values: { name: 'Models Inc', provider: 'models-inc' },
    change: { name: 'Models Ltd', provider: 'models-inc' },
    more: { models: ['small', 'large'] },
    ...byActive,
  },
  {
    name: 'tools',
    of: of('tools'),
    table: 'tools',
    key: 'key',
    values: { name: 'Search' },
    change: { name: 'Find' },
    more: { inputSchema: { type: 'object', properties: { q: { type: 'string' } } }, description: 'Finds pages' },
    ...byActive,
  },
]

const newKey = () => `k${newId().replaceAll('-', '')}`
const count = async (table: string, column: string, key: string) =>
  (
    await teams.database.admin.query<{ count: number }>(
      `select count(*)::int as count from platform.${table} where ${column} = $1`,
      [key],
    )
  )[0]?.count

describe.each(cases)('catalog.$name', ({ of, name, table, key, values, change, more, live, archived }) => {
  test('upsert makes a row, then changes what is given and keeps the rest', async () => {
    const given = { [key]: newKey(), ...values, ...more }
    const made = await of().upsert(given)
    expect(made).toMatchObject({ ...given, ...live })
    const changed = await of().upsert({ [Object.keys(more)[0] ?? '']: undefined, [key]: given[key], ...change })
    expect(changed).toEqual({ ...made, ...change, updatedAt: changed.updatedAt })
    expect(changed.updatedAt).not.toEqual(made.updatedAt)
    const column = { id: 'id', addonId: 'addon_id', flagKey: 'flag_key', key: 'key' }[key] ?? ''
    expect(await count(table, column, String(given[key]))).toBe(1)
  })

  test('twenty upserts at once make one row', async () => {
    const given = { [key]: newKey(), ...values }
    const rows = await Promise.all(Array.from({ length: 20 }, () => of().upsert(given)))
    expect(new Set(rows.map(({ id }) => id)).size).toBe(1)
  })

  test('an archived row stays so through upsert, and restore brings it back; each again changes nothing', async () => {
    const given = { [key]: newKey(), ...values }
    const other = await of().upsert({ [key]: newKey(), ...values })
    await of().upsert(given)
    const first = await of().archive(String(given[key]))
    expect(first).toMatchObject(archived)
    expect(await of().archive(String(given[key]))).toEqual(first)
    expect(await of().upsert({ ...given, ...change })).toMatchObject({ ...change, ...archived })

    const back = await of().restore(String(given[key]))
    expect(back).toMatchObject({ ...change, ...live })
    expect(await of().restore(String(given[key]))).toEqual(back)
    expect(await of().upsert({ [key]: other[key], ...values })).toMatchObject(live)
  })

  test('a key that is not there is not found, and nothing is recorded', async () => {
    const gone = newKey()
    await expect(of().archive(gone)).rejects.toThrow(NotFoundError)
    await expect(of().restore(gone)).rejects.toThrow(NotFoundError)
    expect(await entries(gone)).toEqual([])
  })

  test('each change is recorded with the key', async () => {
    const given = { [key]: newKey(), ...values }
    await of().upsert(given)
    await of().archive(String(given[key]))
    await of().restore(String(given[key]))
    expect(await entries(String(given[key]))).toEqual(
      ['upsert', 'archive', 'restore'].map((verb) => ({ operation: `catalog.${name}.${verb}`, actor: 'test' })),
    )
  })

  test('a field that is missing or unknown is refused by name', async () => {
    const key = newKey()
    await expect(of().upsert({ ...values, rowId: key })).rejects.toThrow(InvalidInputError)
    await expect(of().archive('')).rejects.toThrow('key')
  })

  test('the login of the application reads it and writes nothing', async () => {
    const session = await openSession({ url: teams.database.appUrl })
    onTestFinished(() => session.close())
    await session.query(`select from platform.${table}`)
    for (const sql of [`update platform.${table} set updated_at = now()`, `delete from platform.${table}`]) {
      await expect(session.query(sql)).rejects.toMatchObject({ code: '42501' })
    }
  })
})

const entries = (key: string) =>
  teams.database.admin.query(
    `select operation, actor from platform.system_audit_logs where metadata = jsonb_build_object('key', $1::text) order by id`,
    [key],
  )

const plan = { id: 'tier_x', name: 'X', interval: 'month', ...price } as const
test.each<[string, () => Promise<unknown>, RegExp]>([
  ['a price that is a number', () => catalog().plans.upsert({ ...plan, price: 9.5 as never }), /price/],
  ['a price below zero', () => catalog().plans.upsert({ ...plan, price: '-1.00' }), /price/],
  [
    'a limit with a column of its own',
    () => catalog().plans.upsert({ ...plan, limits: { max_projects: 3 } }),
    /limits/,
  ],
  ['a currency that is none', () => catalog().plans.upsert({ ...plan, currency: 'euro' }), /currency/],
  [
    'a variant without a price',
    () => catalog().addons.upsert({ addonId: 'x', name: 'X', type: 'x', variants: [{ variant: 'a' } as never] }),
    /variants\.0\.price/,
  ],
  [
    'a share of more than all',
    () => catalog().flags.upsert({ flagKey: 'x', flagName: 'X', rolloutPercentage: 101 }),
    /rolloutPercentage/,
  ],
  [
    'models that are no names',
    () => catalog().llms.upsert({ key: 'x', name: 'X', provider: 'x', models: [1 as never] }),
    /models\.0/,
  ],
  [
    'a schema that is no object',
    () => catalog().tools.upsert({ key: 'x', name: 'X', inputSchema: ['x'] as never }),
    /inputSchema/,
  ],
])('%s is refused before anything is sent', async (_, call, field) => {
  await expect(call()).rejects.toThrow(InvalidInputError)
  await expect(call()).rejects.toThrow(field)
})

test('an archived plan cannot be subscribed to, and its subscribers keep it', async () => {
  const id = newKey()
  await catalog().plans.upsert({ ...plan, id })
  const team = await teams.newTeam({ plan: id })
  await catalog().plans.archive(id)
  await expect(teams.newTeam({ plan: id })).rejects.toThrow('plan: is not an active plan')
  const [kept] = await teams.database.admin.query('select plan_id from platform.subscriptions where org_id = $1', [
    team.id,
  ])
  expect(kept).toEqual({ plan_id: id })
})
