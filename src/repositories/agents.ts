import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type Agent, agentPatch, type AgentPatch, agents, type NewAgent, newAgent } from '../schema/agents.js'
import { projects } from '../schema/projects.js'
import { referencesTo } from '../schema/references.js'
import { tasks } from '../schema/tasks.js'

/** The organization's agents. Archived agents are hidden from every read. */
export class Agents extends ScopedRepository<Agent> {
  constructor(scope: Scope) {
    super(scope, agents, { parents: { projectId: projects }, references: referencesTo(agents, [tasks]) })
  }

  findByUsername(username: string): Query<Agent | undefined> {
    return this.findWhere({ username })
  }

  /** Throws ConflictError when the username is taken. */
  create(values: NewAgent): Query<Agent> {
    return this.insert(newAgent, values)
  }

  /** With the `revision` that was read, throws VersionConflictError when the agent was changed since. */
  update(id: string, patch: AgentPatch, options: { revision?: number } = {}): Query<Agent> {
    return this.modify(agentPatch, id, patch, options)
  }

  activate(id: string): Query<Agent> {
    return this.transition(id, { verb: 'activate', from: ['draft', 'paused'], to: 'active' })
  }

  pause(id: string): Query<Agent> {
    return this.transition(id, { verb: 'pause', from: ['active'], to: 'paused' })
  }
}
