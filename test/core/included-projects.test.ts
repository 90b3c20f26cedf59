import { foreignKey, pgSchema, primaryKey, uuid } from 'drizzle-orm/pg-core'
import { beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { defineRepository } from '../../src/core/define-repository.js'
import { ForbiddenError } from '../../src/core/errors.js'
import { type Project, projects, workflows } from '../../src/schema/index.js'
import { orgId } from '../../src/schema/shared/columns.js'
import { declareTable } from '../../src/schema/shared/kinds.js'
import { newActor, newRole, type Team, useTeams } from '../support/use-teams.js'

const teams = useTeams()
const links = pgSchema('linked').table(
  'links',
  { orgId: orgId(), workflowId: uuid('workflow_id').notNull(), projectId: uuid('project_id').notNull() },
  (t) => [
    primaryKey({ name: 'links_pkey', columns: [t.orgId, t.workflowId, t.projectId] }),
    foreignKey({ columns: [t.orgId, t.workflowId], foreignColumns: [workflows.orgId, workflows.id] }),
    foreignKey({ columns: [t.orgId, t.projectId], foreignColumns: [projects.orgId, projects.id] }),
  ],
)
declareTable(links, { kind: 'tenant', permission: 'agents' })
const made = `
create schema linked;;
grant usage on schema linked to tenantry_app;;
create table linked.links (org_id uuid, workflow_id uuid, project_id uuid, primary key (org_id, workflow_id, project_id));;
alter table linked.links enable row level security;;
create policy org_isolation on linked.links to tenantry_app using (org_id = platform.current_org());;
grant select, insert, delete on linked.links to tenantry_app`

const Links = defineRepository(links, { link: z.strictObject({ workflowId: z.uuid(), projectId: z.uuid() }) })
const Linking = defineRepository(workflows, {
  create: z.looseObject({}),
  patch: z.looseObject({}),
  includes: { projects: { many: projects, through: links } },
})

let team: Team
let workflowId: string
let one: Project
let two: Project
beforeAll(async () => {
  for (const text of made.split(';;')) await teams.database.admin.query(text)
  team = await teams.newTeam()
  const { org } = team
  workflowId = (await org.workflows.create({ name: 'Triage', slug: 'triage' })).id
  one = await org.projects.create({ name: 'One', slug: 'one' })
  two = await org.projects.create({ name: 'Two', slug: 'two' })
  for (const { id } of [one, two]) await org.repository(Links).link({ workflowId, projectId: id })
})

const read = (org: Team['org']) => org.repository(Linking).get(workflowId, { include: { projects: true } })

test('of linked projects an actor sees those that they may read', async () => {
  const inProjects = [[one.id, await newRole(team, ['projects:read'])]] as const
  const actor = await newActor(team, ['workflows:read', 'agents:read'], inProjects)
  expect((await read(actor)).projects.map(({ slug }) => slug)).toEqual(['one'])
  const ordered = { limit: 7, orderBy: 'slug', where: { slug: { in: ['one', 'two'] } } } as const
  const { items } = await actor.repository(Linking).list({ include: { projects: ordered } })
  expect(items[0]?.projects.map(({ slug }) => slug)).toEqual(['one'])
  expect((await read(team.org)).projects).toHaveLength(2)
})

test('a right to the links in a single project is none to read them', async () => {
  const actor = await newActor(
    team,
    ['workflows:read'],
    [
      [one.id, await newRole(team, ['projects:read'])],
      [two.id, await newRole(team, ['agents:read'])],
    ],
  )
  await expect(read(actor)).rejects.toEqual(new ForbiddenError('agents:read'))
})
