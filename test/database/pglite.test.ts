import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { CommitUnknownError, UnavailableError } from '../../src/core/errors.js'
import { openEmbedded } from '../../src/database/embedded.js'
import { openPGlite } from '../../src/database/pglite.js'
import { A, countItems, insertItem } from '../support/toy-schema.js'

afterEach(() => vi.unstubAllEnvs())

test('each database in memory is an empty one, also those that are loaded from the image of another', async () => {
  vi.stubEnv('TENANTRY_EMBEDDED_CACHE', undefined)
  for (let opened = 0; opened < 3; opened++) {
    const database = await openPGlite(true)
    await database.exec('create table left_behind (a int)')
    await database.close()
  }
})

/** A cache of its own, with the image of an empty database that the tests of this run share. */
async function copiedCache(): Promise<{ cache: string; file: string }> {
  await (await openPGlite(true)).close()
  const shared = process.env.TENANTRY_EMBEDDED_CACHE ?? ''
  const [image = ''] = readdirSync(shared).filter((name) => /^pglite-[\d.]+-empty\.image$/.test(name))
  const cache = mkdtempSync(join(tmpdir(), 'tenantry-cache-'))
  onTestFinished(() => {
    rmSync(cache, { recursive: true })
  })
  copyFileSync(join(shared, image), join(cache, image))
  vi.stubEnv('TENANTRY_EMBEDDED_CACHE', cache)
  return { cache, file: join(cache, image) }
}

test('databases in memory and in directories are loaded from the image in the cache, which stays that of an empty one', async () => {
  const { cache, file } = await copiedCache()
  const before = readFileSync(file)
  const folder = join(cache, 'one')
  for (const place of [true, folder] as const) {
    const database = await openPGlite(place)
    await database.exec('create table left_behind (a int)')
    await database.close()
  }
  expect(readFileSync(file).equals(before)).toBe(true)
  const again = await openPGlite(folder)
  expect((await again.query('select from left_behind')).rows).toEqual([])

  // What stands in the cache is what the next one begins with.
  const image = Buffer.from(await (await again.dumpDataDir('none')).arrayBuffer())
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(image))
  writeFileSync(file, Buffer.concat([sum, image]))
  await again.close()
  for (const place of [true, join(cache, 'two')] as const) {
    const copied = await openPGlite(place)
    expect((await copied.query('select from left_behind')).rows).toEqual([])
    await copied.close()
  }
})

test('an image that is garbage is made again', async () => {
  const { cache, file } = await copiedCache()
  const [whole, name] = [readFileSync(file), readdirSync(cache)]
  writeFileSync(file, Buffer.concat([whole.subarray(0, 5000), Buffer.alloc(whole.length - 5000, 65)]))
  const database = await openPGlite(true)
  expect((await database.query('select 1 as one')).rows).toEqual([{ one: 1 }])
  await database.close()
  expect(readdirSync(cache)).toEqual(name)
  expect(statSync(file).size).toBeGreaterThan(1_000_000)
})

test('a cache that cannot be written to is no fault', async () => {
  vi.stubEnv('TENANTRY_EMBEDDED_CACHE', '/dev/null/cache')
  const database = await openPGlite(true)
  await database.close()
})

test('databases in memory that are opened at once do not share anything', async () => {
  const all = await Promise.all([1, 2, 3].map(() => openPGlite(true)))
  for (const [index, database] of all.entries()) await database.exec(`create table mine as select ${index} as a`)
  for (const [index, database] of all.entries()) {
    expect((await database.query('select a from mine')).rows).toEqual([{ a: index }])
    await database.close()
  }
})

test('a database that is closed below the executor is a typed error, for a call as for a transaction', async () => {
  const database = await openPGlite(true)
  await database.exec('create role tenantry_app')
  const executor = await openEmbedded(database)
  const transaction = await executor.begin(A)
  await database.close()
  await expect(transaction.run([countItems])).rejects.toThrow(UnavailableError)
  await expect(executor.run(A, [countItems])).rejects.toThrow(UnavailableError)
  await expect(executor.run(A, [insertItem(A, 'unknown')])).rejects.toThrow(CommitUnknownError)
})
