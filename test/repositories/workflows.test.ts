import { expect, test } from 'vitest'
import { BrokenReferenceError, ConflictError, NotFoundError, VersionConflictError } from '../../src/core/errors.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import { contend } from '../support/contenders.js'
import { useTenancy } from '../support/use-tenancy.js'

const { newOrg } = useTenancy()

const newWorkflow = (org: Org, slug = 'orders') => org.workflows.create({ name: 'Orders', slug })
const losers = (error: new (...args: never[]) => Error) =>
  Array.from({ length: 19 }, () => expect.any(error) as unknown)

test('a workflow is created as a draft, found by its slug, and changed', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  const definition = { steps: [{ run: 'mail' }] }
  const workflow = await org.workflows.create({ name: 'Orders', slug: 'orders', definition, projectId: project.id })
  expect(workflow).toMatchObject({ orgId: org.id, status: 'draft', definition, projectId: project.id, revision: 1 })
  expect(await org.workflows.findBySlug('orders')).toEqual(workflow)
  expect(await org.workflows.get(workflow.id)).toEqual(workflow)
  expect(await org.workflows.update(workflow.id, { description: 'x', definition: {} })).toMatchObject({
    description: 'x',
    definition: {},
    revision: 2,
  })
})

test('a slug is unique in its organization while the workflow lives', async () => {
  const org = await newOrg()
  const { won, lost } = await contend(() => newWorkflow(org))
  expect(won).toHaveLength(1)
  expect(lost).toEqual(losers(ConflictError))
  expect(await org.workflows.count()).toBe(1)

  await org.workflows.delete(won[0]?.id ?? '')
  await expect(newWorkflow(org)).resolves.toBeDefined()
  await expect(org.workflows.restore(won[0]?.id ?? '')).rejects.toThrow(ConflictError)
})

test('a deleted workflow is hidden until it is restored', async () => {
  const org = await newOrg()
  const workflow = await newWorkflow(org)
  await org.workflows.delete(workflow.id)
  expect(await org.workflows.find(workflow.id)).toBeUndefined()
  expect(await org.workflows.findBySlug('orders')).toBeUndefined()
  expect(await org.workflows.list()).toMatchObject({ items: [] })
  for (const call of [
    () => org.workflows.update(workflow.id, { name: 'x' }),
    () => org.workflows.update(workflow.id, { name: 'x' }, { revision: 2 }),
    () => org.workflows.activate(workflow.id),
    () => org.workflows.archive(workflow.id),
    () => org.workflows.delete(workflow.id),
  ]) {
    await expect(call()).rejects.toThrow(NotFoundError)
  }
  expect(await org.workflows.restore(workflow.id)).toMatchObject({ id: workflow.id, deletedAt: null })
})

test('of twenty changes to one revision, one is made', async () => {
  const org = await newOrg()
  const { id, revision } = await newWorkflow(org)
  const { won, lost } = await contend((contender) => org.workflows.update(id, { name: `${contender}` }, { revision }))
  expect(won).toMatchObject([{ revision: 2 }])
  expect(lost).toEqual(losers(VersionConflictError))
  expect(await org.workflows.get(id)).toEqual(won[0])
})

test('a change with a revision and a project of which one does not hold changes nothing', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  const workflow = await newWorkflow(org)
  const { id } = workflow
  const change = (projectId: string, revision: number) => org.workflows.update(id, { projectId }, { revision })
  await expect(change(project.id, 7)).rejects.toThrow(VersionConflictError)
  await expect(change(newId(), 1)).rejects.toThrow(BrokenReferenceError)
  expect(await org.workflows.get(id)).toEqual(workflow)
  expect(await change(project.id, 1)).toMatchObject({ projectId: project.id, revision: 2 })
})

test('a draft becomes active, and either is archived for good', async () => {
  const org = await newOrg()
  const { id } = await newWorkflow(org)
  expect(await org.workflows.activate(id)).toMatchObject({ status: 'active', revision: 2 })
  await expect(org.workflows.activate(id)).rejects.toThrow(
    'workflows: cannot activate while it is active; it must be draft',
  )
  expect(await org.workflows.archive(id)).toMatchObject({ status: 'archived', revision: 3 })
  await expect(org.workflows.archive(id)).rejects.toThrow('it must be draft or active')
  await expect(org.workflows.activate(id)).rejects.toThrow(ConflictError)
  expect(await org.workflows.get(id)).toMatchObject({ status: 'archived', revision: 3 })

  const draft = await newWorkflow(org, 'draft')
  expect(await org.workflows.archive(draft.id)).toMatchObject({ status: 'archived' })
  await expect(org.workflows.activate(newId())).rejects.toThrow(NotFoundError)
})

test('a status cannot be given', async () => {
  const org = await newOrg()
  const { id } = await newWorkflow(org)
  const refusal = { code: 'invalid_input', faults: [{ field: 'status' }] }
  await expect(org.workflows.update(id, { status: 'archived' } as never)).rejects.toMatchObject(refusal)
  await expect(org.workflows.create({ name: 'x', slug: 'x', status: 'active' } as never)).rejects.toMatchObject(refusal)
})

test('twenty archive and activate a workflow, and each step is taken once', async () => {
  const org = await newOrg()
  const { id } = await newWorkflow(org)
  const { won, lost } = await contend((contender) =>
    contender % 2 === 0 ? org.workflows.archive(id) : org.workflows.activate(id),
  )
  expect(won.map(({ status }) => status).filter((status) => status === 'archived')).toHaveLength(1)
  expect(won.length).toBeLessThanOrEqual(2)
  expect(lost).toEqual(Array.from({ length: 20 - won.length }, () => expect.any(ConflictError) as unknown))
  expect(await org.workflows.get(id)).toMatchObject({ status: 'archived', revision: 1 + won.length })
})

test('a project that is missing, deleted or another organization’s is refused in the same words', async () => {
  const org = await newOrg()
  const theirs = await (await newOrg()).projects.create({ name: 'Theirs', slug: 'theirs' })
  const deleted = await org.projects.create({ name: 'Gone', slug: 'gone' })
  await org.projects.delete(deleted.id)
  const { id } = await newWorkflow(org)
  for (const projectId of [newId(), deleted.id, theirs.id]) {
    for (const call of [
      () => org.workflows.create({ name: 'x', slug: 'x', projectId }),
      () => org.workflows.update(id, { projectId }),
    ]) {
      await expect(call()).rejects.toMatchObject({
        name: 'BrokenReferenceError',
        message: 'workflows: projectId does not refer to a row of this organization',
      })
    }
  }
})

test('no workflow is made in a project after the project was deleted', async () => {
  const org = await newOrg()
  const project = await org.projects.create({ name: 'Shop', slug: 'shop' })
  const create = (contender: number) =>
    org.workflows.create({ name: 'x', slug: `x-${contender}`, projectId: project.id })
  const [{ won, lost }] = await Promise.all([contend(create), org.projects.delete(project.id)])
  expect(lost.filter((error) => !(error instanceof BrokenReferenceError))).toEqual([])
  await expect(create(20)).rejects.toThrow(BrokenReferenceError)
  expect(await org.workflows.count({ projectId: project.id })).toBe(won.length)
})

test('a purge takes the workflow and its schedules, and leaves the tasks, also of their runs, without them', async () => {
  const org = await newOrg()
  const { id } = await newWorkflow(org)
  const schedule = await org.schedules.create({ workflowId: id, name: 'hourly', cron: '0 * * * *', timezone: 'UTC' })
  const { taskId = '' } = await org.schedules.fire(schedule.id, schedule.nextRunAt as Date)
  const task = await org.tasks.enqueue({ kind: 'x', workflowId: id })
  const other = await newWorkflow(org, 'other')
  const kept = await org.schedules.create({ workflowId: other.id, name: 'kept', cron: '0 * * * *', timezone: 'UTC' })
  const { taskId: keptTask = '' } = await org.schedules.fire(kept.id, kept.nextRunAt as Date)

  expect(await org.workflows.purge(id)).toMatchObject({ id })
  expect(await org.tasks.get(task.id)).toMatchObject({ workflowId: null })
  expect(await org.tasks.get(taskId)).toMatchObject({ workflowId: null, scheduleId: null })
  expect(await org.schedules.find(schedule.id)).toBeUndefined()
  expect(await org.tasks.get(keptTask)).toMatchObject({ workflowId: other.id, scheduleId: kept.id })
  await expect(org.workflows.purge(id)).rejects.toThrow(NotFoundError)
})
