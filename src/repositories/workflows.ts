import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type Workflow, workflows } from '../schema/workflows.js'

export class Workflows extends ScopedRepository<Workflow> {
  constructor(scope: Scope) {
    super(scope, workflows)
  }
}
