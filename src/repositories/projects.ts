import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type Project, projects } from '../schema/projects.js'

export class Projects extends ScopedRepository<Project> {
  constructor(scope: Scope) {
    super(scope, projects)
  }
}
