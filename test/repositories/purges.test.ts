import { expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import { useTenancy } from '../support/use-tenancy.js'
import { behindChange } from '../support/waiting.js'

const { newOrg, database } = useTenancy()

const hourly = { name: 'hourly', cron: '0 * * * *', timezone: 'UTC' }

async function scheduled(org: Org): Promise<{ workflowId: string; scheduleId: string }> {
  const { id: workflowId } = await org.workflows.create({ name: 'Triage', slug: 'triage' })
  const { id: scheduleId } = await org.schedules.create({ workflowId, ...hourly })
  return { workflowId, scheduleId }
}

/** As a firing does, which holds its schedule while it queues the run. */
async function fireSlowly(orgId: string, { workflowId, scheduleId }: { workflowId: string; scheduleId: string }) {
  const { admin } = database
  await admin.query('select from platform.schedules where org_id = $1 and id = $2 for no key update', [
    orgId,
    scheduleId,
  ])
  await admin.query('select from platform.workflows where org_id = $1 and id = $2 for share', [orgId, workflowId])
  await admin.query(
    `insert into platform.tasks (org_id, id, kind, workflow_id, schedule_id, scheduled_for) values ($1, $2, 'schedule', $3, $4, now())`,
    [orgId, newId(), workflowId, scheduleId],
  )
}

test.each(['schedules', 'workflows'] as const)(
  'a purge of %s that meets the firing of a schedule waits for it, and leaves the task that it queued',
  async (table) => {
    const org = await newOrg()
    const made = await scheduled(org)
    const purge = async () => {
      if (table === 'schedules') await org.schedules.purge(made.scheduleId)
      else await org.workflows.purge(made.workflowId)
    }
    await behindChange(database.admin, () => fireSlowly(org.id, made), purge)
    const { items } = await org.tasks.list()
    expect(items).toMatchObject([{ kind: 'schedule', scheduleId: null }])
    expect(await org.schedules.count()).toBe(0)
  },
)

test('a purge of an agent that meets a new task of it waits for it, and leaves the task', async () => {
  const org = await newOrg()
  const { id } = await org.agents.create({ name: 'Ada', username: 'ada' })
  const enqueue = async () => {
    await database.admin.query('select from platform.agents where org_id = $1 and id = $2 for share', [org.id, id])
    await database.admin.query(`insert into platform.tasks (org_id, id, kind, agent_id) values ($1, $2, 'mail', $3)`, [
      org.id,
      newId(),
      id,
    ])
  }
  await behindChange(database.admin, enqueue, () => org.agents.purge(id))
  expect((await org.tasks.list()).items).toMatchObject([{ kind: 'mail', agentId: null }])
  expect(await org.agents.count()).toBe(0)
})
