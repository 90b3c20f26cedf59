import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type Task, tasks } from '../schema/tasks.js'

export class Tasks extends ScopedRepository<Task> {
  constructor(scope: Scope) {
    super(scope, tasks)
  }
}
