import type { Session } from '../../src/database/session.js'
import { newId } from '../../src/core/ids.js'
import type { Tenancy } from '../../src/tenancy.js'
import { createOrganization } from '../../src/testing/fixtures.js'
import { type Kind, type Member, type Random, World } from './world.js'

const controls = 4

/** Organizations with a few rows each, of which every other one has twins of the first one's, with the same ids. */
export async function populate(
  tenancy: Pick<Tenancy, 'forOrg'>,
  admin: Session,
  organizations: number,
  random: Random,
): Promise<World> {
  const world = new World()
  const tools = [newId(), newId()]
  await admin.query(
    `insert into platform.tools (id, key, name) select id, 'tool-' || id, 'Tool' from unnest($1::uuid[]) id`,
    [tools],
  )
  for (let made = 0; made < organizations; made++) {
    const member = world.join(await createOrganization(admin), made < controls ? 'control' : 'busy')
    for (const id of tools) await giveTool(world, admin, member, id, random)
  }
  await Promise.all(world.members.map((member) => giveRows(world, tenancy, member, random)))
  for (const [index, member] of world.members.entries()) {
    const [first] = world.members
    if (first !== undefined && member !== first && index % 2 === 0) await giveTwins(world, admin, first, member, random)
  }
  await admin.query(
    `insert into platform.agent_tools (org_id, agent_id, organization_tool_id)
     select a.org_id, a.id, t.id from platform.agents a join platform.organization_tools t using (org_id)
     where a.org_id = any($1::uuid[])`,
    [world.members.map(({ id }) => id)],
  )
  return world
}

/** The first one is a twin in every organization. */
async function giveTool(world: World, admin: Session, member: Member, toolId: string, random: Random): Promise<void> {
  const id = random.chance(0.5) ? toolId : newId()
  await admin.query(
    `insert into platform.organization_tools (org_id, id, tool_id, custom_config)
     values ($1, $2, $3, json_build_object('of', $1::uuid))`,
    [member.id, id, toolId],
  )
  world.hold(member, 'tools', id, random)
}

async function giveRows(world: World, tenancy: Pick<Tenancy, 'forOrg'>, member: Member, random: Random): Promise<void> {
  const org = tenancy.forOrg(member.id)
  const mark = { of: member.id }
  const hold = (kind: Kind, id: string) => {
    world.hold(member, kind, id, random)
    return id
  }
  for (let row = 0; row < 4; row++) {
    const name = `${member.id} first-${row}`
    const slug = `first-${row}`
    const projectId = hold('projects', (await org.projects.create({ name, slug, metadata: mark })).id)
    const agentId = hold('agents', (await org.agents.create({ name, username: slug, settings: mark, projectId })).id)
    const workflow = await org.workflows.create({ name, slug, definition: mark, projectId })
    const workflowId = hold('workflows', workflow.id)
    const cron = { cron: '*/5 * * * *', timezone: 'Europe/Berlin' }
    hold('schedules', (await org.schedules.create({ workflowId, name, input: mark, ...cron })).id)
    hold('tasks', (await org.tasks.enqueue({ kind: name, input: mark, workflowId, agentId })).id)
  }
}

const tables: readonly Kind[] = ['projects', 'agents', 'workflows', 'schedules', 'tasks']

/** The same rows, ids and references and all, but for the organization, and under other names. */
async function giveTwins(world: World, admin: Session, from: Member, to: Member, random: Random): Promise<void> {
  for (const kind of tables) {
    const rows = await admin.query<{ id: string }>(
      `insert into platform.${kind}
       select (json_populate_record(t, replace(replace(to_json(t)::text, $1, $2), 'first-', 'twin-')::json)).*
       from platform.${kind} t where org_id::text = $1
       returning id`,
      [from.id, to.id],
    )
    for (const { id } of rows) world.hold(to, kind, id, random)
  }
}
