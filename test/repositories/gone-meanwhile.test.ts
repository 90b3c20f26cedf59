import { describe, expect, test } from 'vitest'
import { BrokenReferenceError, NotFoundError, VersionConflictError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import type { Lease } from '../../src/repositories/tasks.js'
import { useTenancy } from '../support/use-tenancy.js'
import { behindChange } from '../support/waiting.js'

const { newOrg, database } = useTenancy()

const newAgent = (org: Org) => org.agents.create({ name: 'Ada', username: 'ada' })
const newWorkflow = (org: Org) => org.workflows.create({ name: 'Triage', slug: 'triage' })

/** What a change says for which a row had to wait until somebody else ended it. */
const meeting = (statement: string, id: string, work: () => Promise<unknown>) =>
  behindChange(database.admin, () => database.admin.query(statement, [id]), work)

const ends = {
  'that was purged': (table: string) => `delete from platform.${table} where id = $1`,
  'that was hidden': (table: string) => `update platform.${table} set deleted_at = now() where id = $1`,
}

describe.each(Object.entries(ends))('a row %s while a change waited for it is not found', (_, ended) => {
  test('by a change', async () => {
    const org = await newOrg()
    const { id } = await newAgent(org)
    await expect(meeting(ended('agents'), id, () => org.agents.update(id, { name: 'Eve' }))).rejects.toThrow(
      NotFoundError,
    )
  })

  test('an update with a revision is told that the row is gone', async () => {
    const org = await newOrg()
    const { id, revision } = await newAgent(org)
    const change = () => org.agents.update(id, { name: 'Eve' }, { revision })
    await expect(meeting(ended('agents'), id, change)).rejects.toThrow(NotFoundError)
  })

  test('by a change that refers to another row', async () => {
    const org = await newOrg()
    const { id } = await newAgent(org)
    const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
    const change = () => org.agents.update(id, { projectId: project.id })
    await expect(meeting(ended('agents'), id, change)).rejects.toThrow(NotFoundError)
  })

  test('by a change of its status', async () => {
    const org = await newOrg()
    const { id } = await newAgent(org)
    await expect(meeting(ended('agents'), id, () => org.agents.activate(id))).rejects.toThrow(NotFoundError)
  })

  test('by another one that ends it', async () => {
    const org = await newOrg()
    const { id } = await newAgent(org)
    await expect(meeting(ended('agents'), id, () => org.agents.delete(id))).rejects.toThrow(NotFoundError)
  })

  test('by the change of a schedule, nor by its firing', async () => {
    const org = await newOrg()
    const { id: workflowId } = await newWorkflow(org)
    for (const call of [
      (id: string) => org.schedules.update(id, { name: 'late' }),
      (id: string) => org.schedules.fire(id, new Date(Date.UTC(2100, 0, 1))),
    ]) {
      const { id } = await org.schedules.create({ workflowId, name: 'hourly', cron: '0 * * * *', timezone: 'UTC' })
      await expect(meeting(ended('schedules'), id, () => call(id))).rejects.toThrow(NotFoundError)
    }
    expect(await org.tasks.count()).toBe(0)
  })

  test('as a parent: the reference is broken', async () => {
    const org = await newOrg()
    const { id, revision } = await newAgent(org)
    for (const [slug, call] of Object.entries({
      create: (projectId: string) => org.agents.create({ name: 'Eve', username: 'eve', projectId }),
      change: (projectId: string) => org.agents.update(id, { projectId }),
      revision: (projectId: string) => org.agents.update(id, { projectId }, { revision }),
    })) {
      const project = await org.projects.create({ name: 'Shop', slug })
      await expect(meeting(ended('projects'), project.id, () => call(project.id))).rejects.toThrow(BrokenReferenceError)
    }
  })
})

test.each([
  ['update', (org: Org, { id }: Lease) => org.tasks.update(id, { priority: 1 })],
  ['cancel', (org: Org, { id }: Lease) => org.tasks.cancel(id)],
  ['heartbeat', (org: Org, lease: Lease) => org.tasks.heartbeat(lease)],
  ['complete', (org: Org, lease: Lease) => org.tasks.complete(lease)],
  ['fail', (org: Org, lease: Lease) => org.tasks.fail(lease)],
])('a task that was deleted while %s waited for it is not found', async (verb, call) => {
  const org = await newOrg()
  const { id } = await org.tasks.enqueue({ kind: 'mail' })
  const [claimed] = verb === 'update' ? [] : await org.tasks.claim({ owner: 'worker' })
  const lease = claimed ?? { id, leaseToken: newId() }
  const change = meeting('delete from platform.tasks where id = $1', id, () => call(org, lease))
  await expect(change).rejects.toThrow(NotFoundError)
})

test('a row that was changed while a change of its revision waited for it says so', async () => {
  const org = await newOrg()
  const { id, revision } = await newAgent(org)
  const changed = 'update platform.agents set revision = revision + 1 where id = $1'
  const change = () => org.agents.update(id, { name: 'Eve' }, { revision })
  await expect(meeting(changed, id, change)).rejects.toThrow(VersionConflictError)
  expect(await org.agents.get(id)).toMatchObject({ name: 'Ada', revision: revision + 1 })
})
