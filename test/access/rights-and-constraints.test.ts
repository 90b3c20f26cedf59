import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { platformTables } from '../../src/schema/tables.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { fillEveryTable, nameOf, twinIds } from '../support/every-table.js'
import { connectionsOf } from '../isolation/attempts.js'
import { rightFaults, type Setting, systemFaults } from '../isolation/behaviour.js'
import { checkFaults, uniqueFaults } from '../isolation/constraint-behaviour.js'

const database = useDatabase()
let setting: Setting
let end: () => Promise<unknown>

beforeAll(async () => {
  const twins = twinIds()
  const ours = await fillEveryTable(database.admin, twins())
  const theirs = await fillEveryTable(database.admin, twins())
  const connections = connectionsOf(database, ours)
  end = connections.end
  setting = { attempt: connections.attempt, ours, theirs, strangers: theirs }
})
afterAll(() => end())

describe.each(platformTables.map((table) => ({ name: nameOf(table), table })))('$name', ({ table }) => {
  test('both roles may do what they are granted, column by column, and nothing else', async () => {
    expect(await rightFaults(setting, table)).toEqual([])
  })

  test('the system sees all of its rows', async () => {
    expect(await systemFaults(setting, table)).toEqual([])
  })

  test('each check refuses what breaks it', async () => {
    expect(await checkFaults(setting, table)).toEqual([])
  })

  test('each unique key refuses a second row', async () => {
    expect(await uniqueFaults(setting, table)).toEqual([])
  })
})
