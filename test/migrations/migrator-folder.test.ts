import { appendFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MigrationError } from '../../src/core/errors.js'
import { readFolder } from '../../src/migrations/folder.js'
import { writeFolder } from './migrations-folder.js'

const two = [
  { tag: '0000_first', up: 'create table first ()', down: 'drop table first' },
  { tag: '0001_second', up: 'create table second ()', down: 'drop table second' },
]

test('a folder is read oldest first, each file statement by statement', async () => {
  const up = ['-- a comment\ncreate table a ()', '-- nothing but a comment', "insert into a select ';'"]
  const folder = await writeFolder([...two, { tag: '0002_third', up }])
  const [first, , third] = await readFolder(folder)
  expect(first).toMatchObject({ index: 0, tag: '0000_first', down: { file: join(folder, '0000_first.down.sql') } })
  expect(third?.down).toBeUndefined()
  expect(third?.up).toMatchObject({
    transactional: true,
    statements: [
      { text: '-- a comment\ncreate table a ()', line: 1 },
      { text: "insert into a select ';'", line: 6 },
    ],
  })
})

test('every fault of a folder is named at once', async () => {
  const folder = await writeFolder(two)
  await rm(join(folder, '0000_first.sql'))
  await writeFile(join(folder, '0002_stray.sql'), '')
  await writeFile(join(folder, '0003_stray.down.sql'), '')
  await writeFile(join(folder, 'schema.sql'), '')
  const refused = readFolder(folder)
  await expect(refused).rejects.toThrow(MigrationError)
  await expect(refused).rejects.toThrow(
    [
      `${folder}/0000_first.sql is in the journal, but the file is missing: restore it, or take it out of meta/_journal.json together with its snapshot`,
      `${folder}/0002_stray.sql is not in the journal`,
      `${folder}/0003_stray.down.sql is not in the journal`,
    ].join('\n'),
  )
})

test.each([1_700_000_000_000, 1_699_999_999_999])(
  'a migration dated %i, not after the one before it, is refused',
  async (when) => {
    const [first, second] = two as [(typeof two)[0], (typeof two)[0]]
    await expect(readFolder(await writeFolder([first, { ...second, when }]))).rejects.toThrow(
      '0001_second.sql is not newer than 0000_first.sql',
    )
  },
)

test('a journal whose entries are out of place, doubled, or without breakpoints is refused', async () => {
  const folder = await writeFolder(two)
  const entry = { idx: 3, when: 1_700_000_009_000, tag: '0000_first', breakpoints: false }
  const entries = [{ idx: 0, when: 1_700_000_000_000, tag: '0000_first', breakpoints: true }, entry]
  await writeFile(join(folder, 'meta/_journal.json'), JSON.stringify({ entries }))
  const refused = readFolder(folder)
  await expect(refused).rejects.toThrow('0000_first.sql has idx 3 in the journal, where 1 is expected')
  await expect(refused).rejects.toThrow('0000_first.sql is in the journal twice')
  await expect(refused).rejects.toThrow('0000_first.sql was generated without breakpoints')
})

test.each(['', '{', '{"entries": [{"tag": "../../etc/passwd"}]}'])('%j is not a journal', async (journal) => {
  const folder = await writeFolder(two)
  await writeFile(join(folder, 'meta/_journal.json'), journal)
  await expect(readFolder(folder)).rejects.toThrow('_journal.json is not a journal of drizzle-kit')
})

test('a folder without a journal is refused', async () => {
  const folder = await writeFolder(two)
  await rm(join(folder, 'meta'), { recursive: true })
  await expect(readFolder(folder)).rejects.toThrow('_journal.json cannot be read')
})

test('-- no-transaction counts on the first line, for up and down apart', async () => {
  const [marked, late] = await readFolder(
    await writeFolder([
      { tag: '0000_marked', up: '-- no-transaction\nvacuum', down: 'select 1' },
      { tag: '0001_late', up: 'select 1\n-- no-transaction', down: '-- no-transaction: a big table\nselect 1' },
    ]),
  )
  expect([marked?.up.transactional, marked?.down?.transactional]).toEqual([false, true])
  expect([late?.up.transactional, late?.down?.transactional]).toEqual([true, false])
})

test.each([
  'begin',
  'BEGIN work',
  'start transaction',
  '/* x */ commit',
  'end',
  'rollback',
  'savepoint a',
  "prepare transaction 'a'",
])('a file with `%s` in it is refused', async (statement) => {
  const folder = await writeFolder([{ tag: '0000_own', up: ['select 1', statement] }])
  await expect(readFolder(folder)).rejects.toThrow(
    `${folder}/0000_own.sql, line 3: a migration must not begin or end transactions`,
  )
})

test.each([
  'create index concurrently a_idx on a (b)',
  'create unique index concurrently on a (b)',
  'drop index concurrently a_idx',
  'reindex table concurrently a',
  'reindex (verbose) index concurrently a_idx',
  'alter table a detach partition b concurrently',
])('`%s` is refused, because it cannot be repeated after an interruption', async (statement) => {
  const folder = await writeFolder([{ tag: '0000_index', up: `-- no-transaction\n${statement}` }])
  await expect(readFolder(folder)).rejects.toThrow('0000_index.sql, line 1: this could not be repeated')
})

test.each([
  'create index concurrently if not exists a_idx on a (b)',
  'drop index concurrently if exists a_idx',
  'vacuum a',
])('`%s` needs a file without a transaction', async (statement) => {
  const folder = await writeFolder([{ tag: '0000_index', up: statement }])
  await expect(readFolder(folder)).rejects.toThrow('make `-- no-transaction` the first line')
  await writeFile(join(folder, '0000_index.sql'), `-- no-transaction\n${statement}`)
  expect((await readFolder(folder))[0]?.up.statements).toMatchObject([{ alone: true }])
})

test('the hash is over the bytes of the up file alone', async () => {
  const folder = await writeFolder(two)
  const hash = async () => (await readFolder(folder))[0]?.hash
  const before = await hash()
  await appendFile(join(folder, '0000_first.down.sql'), '\n')
  expect(await hash()).toBe(before)
  await appendFile(join(folder, '0000_first.sql'), '\n')
  expect(await hash()).not.toBe(before)
})
