import { randomInt } from 'node:crypto'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { parseInput } from '../core/values.js'
import { agents } from '../schema/agents.js'
import {
  type NewProject,
  newProject,
  type Project,
  projectPatch,
  type ProjectPatch,
  projects,
} from '../schema/projects.js'
import { referencesTo } from '../schema/references.js'
import { workflows } from '../schema/workflows.js'

const references = referencesTo(projects, [agents, workflows])

/** The organization's projects. A deleted one is hidden from every read until it is restored. */
export class Projects extends ScopedRepository<Project> {
  constructor(scope: Scope) {
    super(scope, projects, { references })
  }

  findByRef(ref: string): Query<Project | undefined> {
    return this.findWhere({ ref })
  }

  findBySlug(slug: string): Query<Project | undefined> {
    return this.findWhere({ slug })
  }

  /** Throws ConflictError when the slug is taken, and PlanLimitError when the plan has no room for one more. */
  create(values: NewProject): Promise<Project> {
    return this.scope.track(this.reserveAndInsert(values))
  }

  update(id: string, patch: ProjectPatch): Query<Project> {
    return this.modify(projectPatch, id, patch)
  }

  /** Hides the project and frees its slug. Its agents, workflows and usage stay. */
  delete(id: string): Query<Project> {
    return this.hide(id)
  }

  /** Throws ConflictError when the slug was taken meanwhile. */
  restore(id: string): Query<Project> {
    return this.unhide(id)
  }

  /** Deletes the project and everything in it for good; agents and workflows stay, without it. */
  override purge(id: string): Query<Project> {
    return super.purge(id)
  }

  private async reserveAndInsert(values: NewProject): Promise<Project> {
    const { ports } = this.scope.context
    if (ports.reserve === undefined) return this.insertOne(values)
    const project = parseInput(projectWithRef, values)
    return this.scope.steps(async (scope) => {
      await ports.reserve?.('max_projects', scope)
      return new Projects(scope).insertOne(project)
    })
  }

  private insertOne(values: NewProject): Query<Project> {
    return this.insert(projectWithRef, values)
  }
}

const letters = 'abcdefghijklmnopqrstuvwxyz'
const refLength = 20

const randomRef = (): string => Array.from({ length: refLength }, () => letters[randomInt(letters.length)]).join('')

const projectWithRef = newProject.transform((project) => ({ ...project, ref: project.ref ?? randomRef() }))
