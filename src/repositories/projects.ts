import { randomInt } from 'node:crypto'
import type { Call } from '../core/executor.js'
import { ownerId } from '../core/owner-id.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type Agent, agents } from '../schema/agents.js'
import { gigabytesOf } from '../schema/infrastructure.js'
import { type ProjectMember, projectMembers } from '../schema/project-members.js'
import {
  type NewProject,
  newProject,
  type Project,
  projectPatch,
  type ProjectPatch,
  projects,
} from '../schema/projects.js'
import { referencesTo } from '../schema/references.js'
import { type Workflow, workflows } from '../schema/workflows.js'

export interface ProjectRelations {
  readonly agents: Agent[]
  readonly members: ProjectMember[]
  readonly workflows: Workflow[]
}

const options = {
  references: referencesTo(projects, [agents, workflows]),
  limit: 'max_projects',
  includes: {
    agents: { many: agents, by: 'projectId' },
    members: { many: projectMembers, by: 'projectId', permission: 'projects' },
    workflows: { many: workflows, by: 'projectId' },
  },
}

/** The organization's projects. A deleted one is hidden from every read until it is restored. */
export class Projects extends ScopedRepository<Project, ProjectRelations> {
  constructor(scope: Scope) {
    super(scope, projects, options)
  }

  findByRef(ref: string): Query<Project | undefined> {
    return this.findRow({ ref })
  }

  findBySlug(slug: string): Query<Project | undefined> {
    return this.findRow({ slug })
  }

  /** Throws PlanLimitError when the plan has no room for one more, ConflictError when the slug is taken. */
  create(values: NewProject): Query<Project> {
    return this.insertRow(projectWithRef, values)
  }

  update(id: string, patch: ProjectPatch): Query<Project> {
    return this.updateRow(projectPatch, id, patch)
  }

  /** Hides the project and frees its slug. Its agents, workflows and usage stay. */
  delete(id: string): Query<Project> {
    return this.hideRow(id)
  }

  /** Throws PlanLimitError when the plan has no room for it or its disk, ConflictError when another project has taken the slug. */
  restore(id: string): Query<Project> {
    return this.restoreRow(id, { reserves: (project) => this.diskRoom(project) })
  }

  /** Deletes the project and its child rows for good. Agents and workflows stay, without a project. */
  purge(id: string): Query<Project> {
    return this.purgeRow(id)
  }

  private diskRoom(project: string): readonly Call[] {
    return this.scope.context.rules.reserve({
      limit: 'disk_gb',
      used: gigabytesOf('p.deleted_at is null'),
      added: gigabytesOf('p.id = $2 and p.deleted_at is not null'),
      values: [ownerId(this.scope, 'org'), project],
    })
  }
}

const letters = 'abcdefghijklmnopqrstuvwxyz'
const refLength = 20

const randomRef = (): string => Array.from({ length: refLength }, () => letters[randomInt(letters.length)]).join('')

const projectWithRef = newProject.transform((project) => ({ ...project, ref: project.ref ?? randomRef() }))
