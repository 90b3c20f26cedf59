import { z } from 'zod'
import { ConflictError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { UpdateOptions } from '../core/statements/update-options.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import type { ScopedTable } from '../core/scoped-table.js'
import { ownItems, parseInput } from '../core/values.js'
import {
  type Agent,
  agentPatch,
  type AgentPatch,
  agents,
  type AgentTool,
  agentTools,
  type NewAgent,
  newAgent,
} from '../schema/agents.js'
import { type OrganizationLlm, organizationLlms } from '../schema/llms.js'
import { type Project, projects } from '../schema/projects.js'
import { referencesTo } from '../schema/references.js'
import * as shape from '../schema/shared/shapes.js'
import { type Task, tasks } from '../schema/tasks.js'
import { type OrganizationTool, organizationTools } from '../schema/tools.js'

export interface AgentRelations {
  readonly llm: OrganizationLlm | null
  readonly project: Project | null
  readonly tasks: Task[]
  readonly tools: OrganizationTool[]
}

const options = {
  references: referencesTo(agents, [tasks]),
  includes: {
    llm: { one: organizationLlms, by: 'organizationLlmId', permission: 'llms' },
    project: { one: projects, by: 'projectId' },
    tasks: { many: tasks, by: 'agentId' },
    tools: { many: organizationTools, through: agentTools, permission: 'tools' },
  },
}

const copyName = newAgent.pick({ username: true, name: true }).partial({ name: true })

/** The organization's agents. Deleted agents are hidden from every read. */
export class Agents extends ScopedRepository<Agent, AgentRelations> {
  constructor(scope: Scope) {
    super(scope, agents, options)
  }

  findByUsername(username: string): Query<Agent | undefined> {
    return this.findRow({ username })
  }

  /** Throws ConflictError when the username is taken. */
  create(values: NewAgent): Query<Agent> {
    return this.insertRow(newAgent, values)
  }

  /** Throws VersionConflictError when `revision` is given and the agent was changed since. */
  update(id: string, patch: AgentPatch, options?: UpdateOptions): Query<Agent> {
    return this.updateRow(agentPatch, id, patch, { options })
  }

  activate(id: string): Query<Agent> {
    return this.transitionRow(id, { verb: 'activate', from: ['draft', 'paused'], to: 'active' })
  }

  pause(id: string): Query<Agent> {
    return this.transitionRow(id, { verb: 'pause', from: ['active'], to: 'paused' })
  }

  /** A draft with the same configuration and tools under another username. */
  duplicate(id: string, as: { username: string; name?: string }): Promise<Agent> {
    return this.atomically(async (inner) => {
      const { username, name } = parseInput(copyName, as)
      const agent = await inner.get(id)
      const { instructions, projectId, organizationLlmId, model, settings } = agent
      const values = { instructions, projectId, organizationLlmId, model, settings }
      const copy = await inner.create({ ...values, username, name: name ?? agent.name })
      const tools = await inner.tools(id)
      await inner.lockEnabled(tools)
      await inner.links.linkRows(
        toolLink,
        tools.map((tool) => linkOf(copy.id, tool)),
      )
      return copy
    })
  }

  /** The tools that the agent may call, by the ids of the organization's tools: none for a deleted agent. */
  tools(id: string): Query<string[]> {
    const statement = this.query('tools', (table) => {
      const a = table.as('a')
      const l = this.links.plan.as('l')
      return `select l."organization_tool_id" from ${l.sql} where ${l.visible} and l."agent_id" = $2
        and exists (select from ${a.sql} where ${a.visible} and a."id" = $2) order by l."organization_tool_id"`
    })
    return this.run(
      statement,
      () => [parseId(id)],
      ({ rows }) => rows.map(([tool]) => tool as string),
    )
  }

  /**
   * Sets the tools that the agent may call, by the ids of `org.tools`: these and no others. Throws BrokenReferenceError for a tool that
   * the organization does not have, ConflictError for one that is not enabled, and DefinitionError in a transaction at another isolation
   * than read committed, which would not see the tools that another call set.
   */
  setTools(id: string, toolIds: readonly string[]): Promise<void> {
    return this.atomically(async (inner) => {
      const agentId = parseId(id)
      const tools = ownItems(toolIds, 'toolIds', maxTools).map((tool) => parseId(tool, 'toolIds'))
      // Two concurrent calls do not merge their lists.
      await inner.links.lockReferred('agentId', agentId)
      await inner.lockEnabled(tools)
      await inner.links.deleteRows({ agentId, not: { organizationToolId: { in: tools } } })
      await inner.links.linkRows(
        toolLink,
        tools.map((tool) => linkOf(agentId, tool)),
      )
    })
  }

  /** Hides the agent and frees its username. */
  delete(id: string): Query<Agent> {
    return this.hideRow(id)
  }

  /** Throws ConflictError when another agent has taken the username. */
  restore(id: string): Query<Agent> {
    return this.restoreRow(id)
  }

  /** Deletes the agent for good. Its tasks stay, without the agent. */
  purge(id: string): Query<Agent> {
    return this.purgeRow(id)
  }

  private get links(): ScopedTable<AgentTool> {
    return this.child(agentTools)
  }

  /** None of the tools can be disabled until the transaction ends. */
  private async lockEnabled(toolIds: readonly string[]): Promise<void> {
    const { plan } = this.child(organizationTools)
    const statement = this.query(
      'lock tools',
      () => `select "enabled" from ${plan.sql} where ${plan.visible} and "id" = any($2::uuid[]) for share`,
    )
    const found = await this.run(
      statement,
      () => [toolIds],
      ({ rows }) => rows.map(([isEnabled]) => isEnabled as boolean),
    )
    if (!found.includes(false)) return
    throw new ConflictError(
      'organization_tools',
      ['enabled'],
      'organization_tools: a tool that is not enabled cannot be given to an agent',
    )
  }
}

const maxTools = 1000
const toolLink = z.strictObject({ agentId: shape.uuid, organizationToolId: shape.uuid })
const linkOf = (agentId: string, organizationToolId: string) => ({ agentId, organizationToolId })
