import { expect, test } from 'vitest'
import { statusOf, takeStep, undoSteps } from '../../src/adoption/run-step.js'
import { withMigrationLock } from '../../src/database/session-lock.js'
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
