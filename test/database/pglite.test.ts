import { expect, test } from 'vitest'
import { CommitUnknownError, UnavailableError } from '../../src/core/errors.js'
import { openEmbedded } from '../../src/database/embedded.js'
import { openPGlite } from '../../src/database/pglite.js'
import { A, countItems, insertItem } from '../support/toy-schema.js'

test('each database in memory is an empty one, also those that are loaded from the image of another', async () => {
  for (let opened = 0; opened < 4; opened++) {
    const database = await openPGlite(true)
    await database.exec('create table left_behind (a int)')
    await database.close()
  }
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
