import { expect, test } from 'vitest'
import { openPGlite } from '../../src/database/pglite.js'

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
