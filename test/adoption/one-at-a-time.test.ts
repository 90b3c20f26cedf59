import { describe, expect, test } from 'vitest'
import { fillRows, statusOf, takeStep, undoSteps } from '../../src/adoption/run-step.js'
import { withMigrationLock } from '../../src/database/session-lock.js'
import type { Session } from '../../src/database/session.js'
import { useDatabase } from '../../src/testing/vitest.js'
import { adopting, ownerSession } from '../support/adopting.js'

const database = useDatabase()

test('a step that waited while another session undid those before it is refused', async () => {
  await database.admin.query('create schema turns')
  await database.admin.query('create table turns.notes (id int primary key)')
  const { session, plan, take } = await adopting(database.adminUrl, 'turns', {
    organizations: { constant: { name: 'Acme', slug: 'acme' } },
  })
  await take('expand', 'prove', 'swap', 'observe')
  const other = await ownerSession(database.adminUrl)
  let taking: Promise<string> | undefined
  await withMigrationLock(session, {}, async () => {
    await new Promise<void>((resolve) => {
      taking = takeStep(other, plan, 'enforce', {
        onProgress: ({ kind }) => {
          if (kind === 'waiting') resolve()
        },
      }).then(
        (taken) => taken.map(({ tag }) => tag).join(),
        (error: unknown) => String(error),
      )
    })
    await undoSteps(session, plan, { all: true })
  })
  expect(await taking).toContain('expand comes before enforce, and is pending: run tenantry adopt expand')
  const { steps } = await statusOf(session, plan)
  expect(steps.filter(({ state }) => state !== 'pending')).toEqual([])
})

/** A session before whose first statement with this part something else happens. */
function interrupted(session: Session, part: string, work: () => Promise<void>): Session {
  let isDone = false
  return {
    ...session,
    async query(text, params) {
      if (text.includes(part) && !isDone) {
        isDone = true
        await work()
      }
      return session.query(text, params)
    },
  }
}

describe('rows that are filled', () => {
  const teams = async (schema: string) => {
    for (const statement of [
      `create schema ${schema}`,
      `create table ${schema}.teams (id int primary key, name text)`,
      `create table ${schema}.notes (id int primary key, team_id int references ${schema}.teams)`,
      `insert into ${schema}.teams values (1, '${schema}')`,
      `insert into ${schema}.notes values (1, 1)`,
    ])
      await database.admin.query(statement)
    const adoption = await adopting(database.adminUrl, schema, {
      organizations: { table: 'teams', id: 'id', externalIds: 'none' },
    })
    await adoption.take('expand')
    await adoption.fill()
    return { ...adoption, other: await ownerSession(database.adminUrl) }
  }

  test('are not filled again while prove checks them', async () => {
    const { session, plan, other } = await teams('checked')
    const proving = interrupted(session, 'as wrong', async () => {
      await expect(fillRows(other, plan, { again: true })).rejects.toThrow(
        'another backfill of these tables is running, or the step prove. Nothing was done',
      )
    })
    expect((await takeStep(proving, plan, 'prove')).map(({ tag }) => tag)).toEqual(['0001_prove'])
    const { backfill } = await statusOf(session, plan)
    expect(backfill.map(({ isDone }) => isDone)).toEqual([true, true])
  })

  test('are not filled again after prove has begun, whenever they were looked at', async () => {
    const { session, plan, take, other } = await teams('begun')
    const filling = interrupted(other, 'pg_try_advisory_lock', () => take('prove'))
    await expect(fillRows(filling, plan, { again: true })).rejects.toThrow('prove has begun')
    const { backfill } = await statusOf(session, plan)
    expect(backfill.map(({ isDone }) => isDone)).toEqual([true, true])
  })

  test('are not checked by prove while they are filled again', async () => {
    const { plan, take, other } = await teams('filling')
    const filling = interrupted(other, 'delete from', async () => {
      await expect(take('prove')).rejects.toThrow('another backfill of these tables is running')
    })
    expect(await fillRows(filling, plan, { again: true })).toMatchObject({ isComplete: true })
    await take('prove')
  })
})
