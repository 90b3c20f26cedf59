import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import { openSession } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { containing, tenantry } from './command-line.js'

const database = useDatabase()

const shop = [
  'create schema shop',
  'create table shop.orders (id int primary key, note text)',
  'create table shop.lines (order_id int, place int, note text, primary key (order_id, place))',
  'create table shop.events (at timestamptz)',
  `insert into shop.orders select n, 'secret ' || n from generate_series(1, 20001) n`,
  `insert into shop.lines values (1, 1, 'one')`,
]

beforeAll(async () => {
  for (const statement of shop) await database.admin.query(statement)
})

/** A folder of its own, where the command is run again and again. */
function newFolder() {
  const cwd = mkdtempSync(join(tmpdir(), 'tenantry-verify-'))
  onTestFinished(() => {
    rmSync(cwd, { recursive: true })
  })
  return {
    cwd,
    path: join(cwd, 'tenantry.adopt.before.json'),
    verify: (...args: string[]) =>
      tenantry(['adopt', 'verify', ...args], { cwd, env: { DATABASE_ADMIN_URL: database.adminUrl } }),
  }
}

test('what --before has written is compared, told by range, and ends with 3 if it differs', async () => {
  const { path, verify } = newFolder()
  const before = await verify('--before', '--schema', 'shop')
  expect(before).toMatchObject({ code: 0, stderr: '' })
  expect(before.stdout).toBe(
    [
      'lines  1 row in 1 range',
      'orders  20001 rows in 3 ranges',
      'events  not compared: it has no primary key',
      '',
      'Written: tenantry.adopt.before.json. Keep it until the adoption is done.',
      '',
    ].join('\n'),
  )
  expect(readFileSync(path, 'utf8')).not.toContain('secret')

  const equal = await verify()
  expect(equal).toMatchObject({ code: 0, stderr: '' })
  expect(equal.stdout).toMatch(
    /^lines {2}1 row in 1 range: equal\norders {2}20001 rows in 3 ranges: equal\nevents {2}not compared: .*\n\nNo row of before has lost or changed a value since 2\d{3}-\S+Z\.\n$/,
  )

  for (const statement of [
    `update shop.orders set note = 'another' where id = 10001`,
    'delete from shop.orders where id in (1, 20001)',
    `insert into shop.orders values (20002, 'new')`,
    `update shop.lines set note = 'two'`,
  ])
    await database.admin.query(statement)
  const differs = await verify('--schema', 'shop')
  expect(differs.code).toBe(3)
  expect(differs.stdout.split('\n')).toEqual([
    'lines  1 row in 1 range: 1 differ, 0 equal',
    '- ["1","1"] to ["1","1"]: 1 row before and now',
    'orders  20001 rows in 3 ranges: 3 differ, 0 equal; 1 new row',
    '- 1 to 10000: 10000 rows before, 9999 now',
    '- 10001 to 20000: 10000 rows before and now',
    '- 20001 to 20001: 1 row before, 0 now',
    'events  not compared: it has no primary key',
    '',
    containing('Something differs from what was there at 2'),
    '',
  ])
  expect((await verify('--json')).json()).toMatchObject({
    schema: 'shop',
    isEqual: false,
    tables: [{ name: 'lines' }, { name: 'orders', newRows: 1, ranges: 3 }],
  })
  await database.admin.query('alter table shop.orders rename note to remark')
  await database.admin.query('drop table shop.lines')
  expect(await verify()).toMatchObject({
    code: 3,
    stdout: containing('lines  is missing, with 1 row\norders  not compared, because of missing columns: note\n'),
  })
})

test('--dry-run writes no file, and a file that is there is never written over', async () => {
  const { path, verify } = newFolder()
  for (const statement of ['create schema small', 'create table small.items (id int primary key)'])
    await database.admin.query(statement)
  const dry = await verify('--before', '--schema', 'small', '--dry-run', '--json')
  expect(dry).toMatchObject({ code: 0, stderr: '' })
  expect(existsSync(path)).toBe(false)
  await verify('--before', '--schema', 'small')
  const text = readFileSync(path, 'utf8')
  expect({ ...JSON.parse(text), takenAt: '' }).toEqual({ ...(dry.json() as object), takenAt: '' })
  expect(await verify('--before', '--schema', 'small')).toMatchObject({
    code: 2,
    stderr: containing('is there already'),
  })
  expect(readFileSync(path, 'utf8')).toBe(text)
  expect(await verify('--dry-run')).toMatchObject({ code: 2, stderr: containing('--dry-run: is for --before') })
})

test('a file that is missing, about another schema, or not as it was written is refused', async () => {
  const { path, verify } = newFolder()
  expect(await verify()).toMatchObject({
    code: 2,
    stderr: containing('is not there: `tenantry adopt verify --before`'),
  })
  const range = { first: ['1'], last: ['2'], rows: 2, hash: '1 -2' }
  const table = { name: 'orders', key: ['id'], columns: ['id'], ranges: [range] }
  const file = { version: 1, schema: 'shop', takenAt: '', tables: [table], leftOut: [] }
  const refused: [unknown, string][] = [
    ['{', 'JSON'],
    [{ ...file, version: 2 }, 'version'],
    [{ ...file, tables: [{ ...table, key: [] }] }, 'tables.0.key'],
    [{ ...file, tables: [{ ...table, key: ['other'] }] }, 'a column of the key is no column'],
    [{ ...file, tables: [{ ...table, ranges: [{ ...range, last: ['1', '2'] }] }] }, 'for each column of the key'],
    [{ ...file, tables: [{ ...table, ranges: [{ ...range, hash: '' }] }] }, 'tables.0.ranges.0.hash'],
    [{ ...file, tables: [{ ...table, ranges: [{ ...range, rows: 0 }] }] }, 'tables.0.ranges.0.rows'],
  ]
  for (const [content, said] of refused) {
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
    const { code, stderr } = await verify()
    expect(code).toBe(2)
    expect(stderr).toContain(said)
    expect(stderr).toContain('bring that file back')
  }
  writeFileSync(path, JSON.stringify(file))
  expect(await verify('--schema', 'other')).toMatchObject({ code: 2, stderr: containing('is about the schema shop') })
})

test('works on an embedded database, and names none that is not there', async () => {
  const { cwd, verify } = newFolder()
  expect(await verify('--before', '--embedded', 'data')).toMatchObject({ code: 2, stderr: containing('--embedded') })
  const session = await openSession({ embedded: join(cwd, 'data') })
  await session.query('create table items (id int primary key)')
  await session.close()
  expect(await verify('--before', '--embedded', 'data')).toMatchObject({ code: 0, stderr: '' })
  expect(await verify('--embedded', 'data')).toMatchObject({
    code: 0,
    stdout: containing('items  0 rows in 0 ranges: equal'),
  })
})
