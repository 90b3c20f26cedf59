import { beforeAll, expect, test } from 'vitest'
import { takeBackfill, takeContract, takeExpand, takeProve } from '../../src/adoption/carrying/platform-steps.js'
import { takeSwap } from '../../src/adoption/carrying/swap.js'
import { lastStep, previewUndo, undoLast } from '../../src/adoption/carrying/undo-steps.js'
import type { Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { catalogOf, ownerSession, rowsOf } from '../support/adopting.js'
import { addFreePlan, carrying, carryingKeys, dataKeysFor } from '../support/carrying.js'
import { makeEarlierPlatform } from '../support/earlier-platform.js'
import { mortal } from '../support/mortal-session.js'

const database = useDatabase()
const keys = dataKeysFor(carryingKeys)

beforeAll(() => addFreePlan(database.admin))

/** Runs a piece of work again and again, each time killed one commit later, until it comes to its end. Returns the number of kills. */
async function killedAfterEachCommit(work: (session: Session) => Promise<unknown>): Promise<number> {
  for (let kills = 0; ; kills += 1) {
    let commits = 0
    const { session, died } = await mortal(
      database,
      (text) => (text === 'commit' || /^(?:insert|delete) .*"steps"/.test(text)) && ++commits > kills,
    )
    try {
      await work(session)
      if (!died()) return kills
    } catch (error) {
      if (!died()) throw error
    } finally {
      await session.close()
    }
  }
}

test('killed after every commit of every step and its way back, nothing is lost', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'cut', isLarge: false })
  const before = { rows: await rowsOf(session, 'cut'), catalog: await catalogOf(session, 'cut') }
  const kills = [
    await killedAfterEachCommit(async (mortalSession) => {
      await takeExpand(mortalSession, 'cut', [])
    }),
    await killedAfterEachCommit((mortalSession) => takeBackfill(mortalSession, 'cut', keys)),
    await killedAfterEachCommit((mortalSession) => takeProve(mortalSession, 'cut', keys)),
    await killedAfterEachCommit((mortalSession) => takeSwap(mortalSession, 'cut', keys)),
    await killedAfterEachCommit((mortalSession) => takeContract(mortalSession, 'cut', keys)),
  ]
  expect(kills.every((count) => count > 0)).toBe(true)
  const [clear] = await session.query(
    `select count(*)::int as clear from cut.credentials where jwt_secret not like 'sealed %'`,
  )
  expect(clear).toEqual({ clear: 0 })
  const back = await killedAfterEachCommit(async (mortalSession) => {
    while ((await undoLast(mortalSession, 'cut', keys)) !== undefined);
  })
  expect(back).toBeGreaterThan(2)
  expect({ rows: await rowsOf(session, 'cut'), catalog: await catalogOf(session, 'cut') }).toEqual(before)
})

test('a contract that was killed behind the first secrets that it emptied is undone', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'torn', isLarge: false })
  const before = await rowsOf(session, 'torn')
  await takeExpand(session, 'torn', [])
  await takeBackfill(session, 'torn', keys)
  await takeProve(session, 'torn', keys)
  await takeSwap(session, 'torn', keys)
  const { session: killed, died } = await mortal(database, (text) => text === 'commit')
  await expect(takeContract(killed, 'torn', keys)).rejects.toThrow()
  await killed.close()
  expect(died()).toBe(true)
  expect(await rowsOf(session, 'torn')).not.toEqual(before)
  expect(await lastStep(session, 'torn')).toBe('contract')
  expect(await undoLast(session, 'torn', keys)).toBe('contract')
  expect(await rowsOf(session, 'torn')).toEqual(before)
})

test('where the tables of tenantry were dropped meanwhile, the earlier ones are opened and no longer watched', async () => {
  const session = await ownerSession(database.adminUrl)
  await makeEarlierPlatform(session, { schema: 'alone', isLarge: false })
  const before = { rows: await rowsOf(session, 'alone'), catalog: await catalogOf(session, 'alone') }
  const { expand, backfill, prove, swap, down, downAll } = carrying(session, 'alone')
  await expand()
  await backfill()
  await prove()
  await swap()
  await session.query('alter schema platform rename to dropped')
  try {
    expect(await previewUndo(session, 'alone', keys)).toEqual({ step: 'swap', obstacles: [] })
    expect(await down()).toBe('swap')
    await downAll()
  } finally {
    await session.query('alter schema dropped rename to platform')
  }
  expect({ rows: await rowsOf(session, 'alone'), catalog: await catalogOf(session, 'alone') }).toEqual(before)
})
