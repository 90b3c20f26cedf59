import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { newId } from '../../src/core/ids.js'
import type { Org } from '../../src/org.js'
import { newProject, projectPatch, projects, tasks } from '../../src/schema/index.js'
import { apply, type Entry } from './bad-input-side.js'

const strict = z.strictObject({ kind: z.string().max(50) })

export const ofTenancy: Entry[] = [
  {
    name: 'forOrg',
    args: ({ org }) => [
      org.id,
      { readOnly: false, signal: new AbortController().signal, request: { id: 'r', ip: '::1', userAgent: 'curl' } },
    ],
    call: ({ tenancy }, args) => (apply(tenancy, 'forOrg', args) as Org).agents.count(),
  },
  {
    name: 'transaction options',
    args: () => [{ isolation: 'serializable', retries: 1 }],
    call: ({ org }, [options]) => org.transaction((inner) => inner.agents.count(), options as never),
  },
  {
    name: 'transaction',
    args: () => ['no function'],
    call: ({ org }, [work]) => org.transaction((typeof work === 'function' ? undefined : work) as never),
  },
  {
    name: 'savepoint',
    args: () => ['no function'],
    call: ({ org }, [work]) =>
      org.transaction((inner) => inner.transaction((typeof work === 'function' ? undefined : work) as never)),
  },
  {
    name: 'batch',
    args: () => ['no function'],
    call: ({ org }, [collect]) => org.batch((typeof collect === 'function' ? undefined : collect) as never),
  },
  {
    name: 'batch of what is no list',
    args: () => [[]],
    call: ({ org }, [list]) => org.batch(() => list as never),
  },
  {
    name: 'batch of what is no call',
    args: () => ['no call'],
    call: ({ org, ids }, [item]) => org.batch((inner) => [inner.agents.find(ids.agents), item]),
  },
  {
    name: 'batch of calls',
    args: (ours) => [ours.ids.agents, { kind: 'greet' }, { limit: 5, name: { prefix: 'a' } }],
    call: ({ org }, [agent, task, options]) =>
      org.batch((inner) => [
        inner.agents.find(agent as never),
        inner.tasks.enqueue(task as never),
        inner.projects.list(options as never),
      ]),
  },
  {
    name: 'defineRepository',
    args: () => [
      {
        create: strict,
        patch: strict.partial(),
        permission: 'tasks',
        limit: 'max_tasks',
        unlockedParents: {},
        references: [],
        includes: { parent: { one: tasks, by: 'parentId' } },
      },
    ],
    call: ({ org }, [definition]) =>
      org.repository(defineRepository(tasks, definition as never)).create({ kind: 'defined' }),
  },
  {
    name: 'defineRepository over no table',
    args: () => ['no table'],
    call: ({ org }, [table]) =>
      org.repository(defineRepository(table as typeof tasks, { create: strict, patch: strict.partial() })).count(),
  },
  {
    name: 'create of a defined repository',
    args: () => [{ name: 'Four', slug: `s-${newId()}`, ref: newId() }],
    call: ({ org }, args) => apply(org.repository(Defined), 'create', args),
  },
  {
    name: 'update of a defined repository',
    args: ({ ids }) => [ids.projects, { name: 'Four' }, {}],
    call: ({ org }, args) => apply(org.repository(Defined), 'update', args),
  },
  {
    name: 'delete of a defined repository',
    args: ({ ids }) => [ids.projects],
    call: ({ org }, args) => apply(org.repository(Defined), 'delete', args),
  },
]

const Defined = defineRepository(projects, { create: newProject.required({ ref: true }), patch: projectPatch })
