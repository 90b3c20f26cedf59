import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { CommitUnknownError, UnavailableError } from '../../src/core/errors.js'
import { openEmbedded } from '../../src/database/embedded.js'
import { openPGlite } from '../../src/database/pglite.js'
import { A, countItems, insertItem } from '../support/toy-schema.js'

test.each([
  ['of this process', () => undefined],
  ['in the cache', () => mkdtempSync(join(tmpdir(), 'tenantry-cache-'))],
])('each database is an empty one, also those that are loaded from the image %s', async (_, makeCache) => {
  const cache = makeCache()
  vi.stubEnv('TENANTRY_EMBEDDED_CACHE', cache)
  const inDirectory = mkdtempSync(join(tmpdir(), 'tenantry-database-'))
  for (const place of [true, true, true, join(inDirectory, 'one'), join(inDirectory, 'two')] as const) {
    const database = await openPGlite(place)
    await database.exec('create table left_behind (a int)')
    await database.close()
    if (cache !== undefined) expect(readdirSync(cache)).toEqual([expect.stringMatching(/^pglite-[\d.]+\.tar$/)])
  }
  const again = await openPGlite(join(inDirectory, 'two'))
  expect((await again.query('select from left_behind')).rows).toEqual([])
  await again.close()
  vi.unstubAllEnvs()
  rmSync(inDirectory, { recursive: true })
})

test('a cache that cannot be written to is no fault', async () => {
  vi.stubEnv('TENANTRY_EMBEDDED_CACHE', '/dev/null/cache')
  const database = await openPGlite(true)
  await database.close()
  vi.unstubAllEnvs()
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
