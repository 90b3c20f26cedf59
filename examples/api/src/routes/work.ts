import {
  agentPatch,
  newAgent,
  newSchedule,
  newTask,
  newWorkflow,
  schedulePatch,
  taskPatch,
  workflowPatch,
} from 'tenantry/schema'
import { body, group, route } from '../route.js'
import { Agent, InOrganization, page, PageOf, Schedule, Task, WithId, Workflow } from '../shapes.js'

const tag = 'Work'
const list = { params: InOrganization, query: PageOf }
const one = { params: WithId }

/** Agents, workflows, tasks and schedules. */
export const work = () =>
  group()
    .openapi(route('get', { path: '/agents', tag, summary: 'Agents' }, page(Agent), list), async (c) =>
      c.json(await c.var.organization.agents.list(c.req.valid('query')), 200),
    )
    .openapi(
      route('post', { path: '/agents', tag, summary: 'Make an agent' }, Agent, {
        params: InOrganization,
        body: body(newAgent),
      }),
      async (c) => c.json(await c.var.organization.agents.create(c.req.valid('json')), 201),
    )
    .openapi(route('get', { path: '/agents/{id}', tag, summary: 'Get an agent' }, Agent, one), async (c) =>
      c.json(await c.var.organization.agents.get(c.req.valid('param').id), 200),
    )
    .openapi(
      route('patch', { path: '/agents/{id}', tag, summary: 'Change an agent' }, Agent, {
        params: WithId,
        body: body(agentPatch),
      }),
      async (c) => c.json(await c.var.organization.agents.update(c.req.valid('param').id, c.req.valid('json')), 200),
    )
    .openapi(route('delete', { path: '/agents/{id}', tag, summary: 'Delete an agent' }, Agent, one), async (c) =>
      c.json(await c.var.organization.agents.delete(c.req.valid('param').id), 200),
    )
    .openapi(route('get', { path: '/workflows', tag, summary: 'Workflows' }, page(Workflow), list), async (c) =>
      c.json(await c.var.organization.workflows.list(c.req.valid('query')), 200),
    )
    .openapi(
      route('post', { path: '/workflows', tag, summary: 'Make a workflow' }, Workflow, {
        params: InOrganization,
        body: body(newWorkflow),
      }),
      async (c) => c.json(await c.var.organization.workflows.create(c.req.valid('json')), 201),
    )
    .openapi(route('get', { path: '/workflows/{id}', tag, summary: 'Get a workflow' }, Workflow, one), async (c) =>
      c.json(await c.var.organization.workflows.get(c.req.valid('param').id), 200),
    )
    .openapi(
      route('patch', { path: '/workflows/{id}', tag, summary: 'Change a workflow' }, Workflow, {
        params: WithId,
        body: body(workflowPatch),
      }),
      async (c) => c.json(await c.var.organization.workflows.update(c.req.valid('param').id, c.req.valid('json')), 200),
    )
    .openapi(
      route('delete', { path: '/workflows/{id}', tag, summary: 'Delete a workflow' }, Workflow, one),
      async (c) => c.json(await c.var.organization.workflows.delete(c.req.valid('param').id), 200),
    )
    .openapi(route('get', { path: '/tasks', tag, summary: 'Tasks' }, page(Task), list), async (c) =>
      c.json(await c.var.organization.tasks.list(c.req.valid('query')), 200),
    )
    .openapi(
      route('post', { path: '/tasks', tag, summary: 'Make a task' }, Task, {
        params: InOrganization,
        body: body(newTask),
      }),
      async (c) => c.json(await c.var.organization.tasks.enqueue(c.req.valid('json')), 201),
    )
    .openapi(route('get', { path: '/tasks/{id}', tag, summary: 'Get a task' }, Task, one), async (c) =>
      c.json(await c.var.organization.tasks.get(c.req.valid('param').id), 200),
    )
    .openapi(
      route('patch', { path: '/tasks/{id}', tag, summary: 'Change a task' }, Task, {
        params: WithId,
        body: body(taskPatch),
      }),
      async (c) => c.json(await c.var.organization.tasks.update(c.req.valid('param').id, c.req.valid('json')), 200),
    )
    .openapi(route('delete', { path: '/tasks/{id}', tag, summary: 'Cancel a task' }, Task, one), async (c) =>
      c.json(await c.var.organization.tasks.cancel(c.req.valid('param').id), 200),
    )
    .openapi(route('get', { path: '/schedules', tag, summary: 'Schedules' }, page(Schedule), list), async (c) =>
      c.json(await c.var.organization.schedules.list(c.req.valid('query')), 200),
    )
    .openapi(
      route('post', { path: '/schedules', tag, summary: 'Make a schedule' }, Schedule, {
        params: InOrganization,
        body: body(newSchedule),
      }),
      async (c) => c.json(await c.var.organization.schedules.create(c.req.valid('json')), 201),
    )
    .openapi(route('get', { path: '/schedules/{id}', tag, summary: 'Get a schedule' }, Schedule, one), async (c) =>
      c.json(await c.var.organization.schedules.get(c.req.valid('param').id), 200),
    )
    .openapi(
      route('patch', { path: '/schedules/{id}', tag, summary: 'Change a schedule' }, Schedule, {
        params: WithId,
        body: body(schedulePatch),
      }),
      async (c) => c.json(await c.var.organization.schedules.update(c.req.valid('param').id, c.req.valid('json')), 200),
    )
    .openapi(
      route('delete', { path: '/schedules/{id}', tag, summary: 'Delete a schedule' }, Schedule, one),
      async (c) => c.json(await c.var.organization.schedules.delete(c.req.valid('param').id), 200),
    )
