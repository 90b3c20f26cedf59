import { NotFoundError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { UpdateOptions } from '../core/statements/update-options.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { ownItems, parseInput } from '../core/values.js'
import { type Agent, agentPatch, type AgentPatch, agents, type NewAgent, newAgent } from '../schema/agents.js'
import { projects } from '../schema/projects.js'
import { referencesTo } from '../schema/references.js'
import { tasks } from '../schema/tasks.js'

const references = referencesTo(agents, [tasks])

const copyName = newAgent.pick({ username: true, name: true }).partial({ name: true })

/** The organization's agents. Archived agents are hidden from every read. */
export class Agents extends ScopedRepository<Agent> {
  constructor(scope: Scope) {
    super(scope, agents, { parents: { projectId: projects }, references })
  }

  findByUsername(username: string): Query<Agent | undefined> {
    return this.findWhere({ username })
  }

  /** Throws ConflictError when the username is taken. */
  create(values: NewAgent): Query<Agent> {
    return this.insert(newAgent, values)
  }

  /** With the `revision` that was read, throws VersionConflictError when the agent was changed since. */
  update(id: string, patch: AgentPatch, options?: UpdateOptions): Query<Agent> {
    return this.modify(agentPatch, id, patch, options)
  }

  activate(id: string): Query<Agent> {
    return this.transition(id, { verb: 'activate', from: ['draft', 'paused'], to: 'active' })
  }

  pause(id: string): Query<Agent> {
    return this.transition(id, { verb: 'pause', from: ['active'], to: 'paused' })
  }

  /** A draft with the same configuration and tools under another username. */
  duplicate(id: string, as: { username: string; name?: string }): Promise<Agent> {
    return this.scope.steps(async (scope) => {
      const inner = new Agents(scope)
      const { username, name } = parseInput(copyName, as)
      const agent = await inner.get(id)
      const { instructions, projectId, organizationLlmId, model, settings } = agent
      const values = { instructions, projectId, organizationLlmId, model, settings }
      const copy = await inner.create({ ...values, username, name: name ?? agent.name })
      await inner.setTools(copy.id, await inner.toolsOf(id))
      return copy
    })
  }

  /** The tools that the agent may call, by the ids of the organization's tools. */
  toolsOf(id: string): Query<string[]> {
    return this.run(
      'read',
      this.toolsStatement(),
      () => [parseId(id)],
      ({ rows }) => rows.map((row) => row[0] as string),
    )
  }

  /** Lets the agent call these tools and no others. Throws BrokenReferenceError for one that the organization does not have. */
  setTools(id: string, organizationToolIds: readonly string[]): Promise<void> {
    return this.scope.steps(async (scope) => {
      const inner = new Agents(scope)
      const tools = ownItems(organizationToolIds, 'organizationToolIds', maxTools).map((tool) =>
        parseId(tool, 'organizationToolIds'),
      )
      await inner.lock(id)
      await inner.replaceTools(id, tools)
    })
  }

  /** Hides the agent and frees its username. */
  archive(id: string): Query<Agent> {
    return this.hide(id)
  }

  /** Throws ConflictError when the username was taken meanwhile. */
  restore(id: string): Query<Agent> {
    return this.unhide(id)
  }

  /** Deletes the agent for good; its tasks stay, without it. */
  override purge(id: string): Query<Agent> {
    return super.purge(id)
  }

  private toolsStatement() {
    return this.statement(
      'tools',
      () => `select "organization_tool_id" from "platform"."agent_tools"
        where "org_id" = $1 and "agent_id" = $2 order by "organization_tool_id"`,
    )
  }

  /** So that two lists that are set at once do not become one. */
  private async lock(id: string): Promise<void> {
    const statement = this.statement(
      'lock',
      ({ sql, visible }) => `select "id" from ${sql} where ${visible} and "id" = $2 for no key update`,
    )
    await this.run(
      'write',
      statement,
      () => [parseId(id)],
      ({ rows }) => {
        if (rows.length === 0) throw new NotFoundError('agents')
      },
    )
  }

  private async replaceTools(id: string, tools: readonly string[]): Promise<void> {
    const remove = this.statement(
      'remove tools',
      () => `delete from "platform"."agent_tools"
        where "org_id" = $1 and "agent_id" = $2 and "organization_tool_id" <> all($3::uuid[])`,
    )
    const add = this.statement(
      'add tools',
      () => `insert into "platform"."agent_tools" ("org_id", "agent_id", "organization_tool_id")
        select a."org_id", a."id", tool from "platform"."agents" a, unnest($3::uuid[]) tool
        where a."org_id" = $1 and a."id" = $2
        on conflict do nothing`,
    )
    await this.run('write', remove, () => [id, tools], ignore)
    await this.run('write', add, () => [id, tools], ignore)
  }
}

const maxTools = 1000
const ignore = () => undefined
