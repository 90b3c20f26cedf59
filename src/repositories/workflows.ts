import type { Query } from '../core/query.js'
import type { UpdateOptions } from '../core/statements/update-options.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type Project, projects } from '../schema/projects.js'
import { referencesTo } from '../schema/references.js'
import { type Schedule, schedules } from '../schema/schedules.js'
import { type Task, tasks } from '../schema/tasks.js'
import {
  type NewWorkflow,
  newWorkflow,
  type Workflow,
  workflowPatch,
  type WorkflowPatch,
  workflows,
} from '../schema/workflows.js'

const references = [
  ...referencesTo(workflows, [tasks]),
  // A workflow is deleted with its schedules. The tasks of their runs stay.
  ...referencesTo(schedules, [tasks]).map((reference) => ({
    ...reference,
    through: { table: schedules, property: 'workflowId' },
  })),
]

export interface WorkflowRelations {
  readonly project: Project | null
  readonly schedules: Schedule[]
  readonly tasks: Task[]
}

const options = {
  references,
  includes: {
    project: { one: projects, by: 'projectId' },
    schedules: { many: schedules, by: 'workflowId' },
    tasks: { many: tasks, by: 'workflowId' },
  },
}

/** The organization's workflows: `draft`, then `active`, then `archived` for good. */
export class Workflows extends ScopedRepository<Workflow, WorkflowRelations> {
  constructor(scope: Scope) {
    super(scope, workflows, options)
  }

  findBySlug(slug: string): Query<Workflow | undefined> {
    return this.findRow({ slug })
  }

  /** Throws ConflictError when the slug is taken. */
  create(values: NewWorkflow): Query<Workflow> {
    return this.insertRow(newWorkflow, values)
  }

  /** Throws VersionConflictError when `revision` is given and the workflow was changed since. */
  update(id: string, patch: WorkflowPatch, options?: UpdateOptions): Query<Workflow> {
    return this.updateRow(workflowPatch, id, patch, { options })
  }

  activate(id: string): Query<Workflow> {
    return this.transitionRow(id, { verb: 'activate', from: ['draft'], to: 'active' })
  }

  /** Ends the workflow for good: its schedules are no longer due, and its queued tasks are not claimed. */
  archive(id: string): Query<Workflow> {
    return this.transitionRow(id, { verb: 'archive', from: ['draft', 'active'], to: 'archived' })
  }

  /** Hides the workflow and frees its slug. */
  delete(id: string): Query<Workflow> {
    return this.hideRow(id)
  }

  /** Throws ConflictError when another workflow has taken the slug. */
  restore(id: string): Query<Workflow> {
    return this.restoreRow(id)
  }

  /** Deletes the workflow and its schedules for good. Its tasks stay, without the workflow. */
  purge(id: string): Query<Workflow> {
    return this.purgeRow(id)
  }
}
