import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type Schedule, schedules } from '../schema/schedules.js'

export class Schedules extends ScopedRepository<Schedule> {
  constructor(scope: Scope) {
    super(scope, schedules)
  }
}
