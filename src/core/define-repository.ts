import type { PgTable } from 'drizzle-orm/pg-core'
import type { z } from 'zod'
import type { Row } from '../schema/shared/rows.js'
import type { Query } from './query.js'
import type { UpdateOptions } from './revision.js'
import type { Scope } from './scope.js'
import { type RepositoryOptions, ScopedRepository } from './scoped-repository.js'

export interface RepositoryDefinition<New, Patch> extends RepositoryOptions {
  /** What `create` takes: a strict object, without the organization, the id, and the timestamps. */
  readonly create: New
  /** What `update` takes; usually the same, `.partial()`. */
  readonly patch: Patch
}

/** A table of the host's own, read and written inside one organization. */
export interface DefinedRepository<Table extends PgTable, New, Patch> extends ScopedRepository<Row<Table>> {
  create(values: New): Query<Row<Table>>
  update(id: string, patch: Patch, options?: UpdateOptions): Query<Row<Table>>
  /** Hides the row where the table has `deleted_at`; deletes it otherwise. */
  delete(id: string): Query<Row<Table>>
}

/**
 * A repository over one table: `const Tickets = defineRepository(tickets, { create: newTicket, patch: ticketPatch })`, used as
 * `org.repository(Tickets)`. For more than that, write a class that extends `ScopedRepository`.
 */
export function defineRepository<Table extends PgTable, New extends z.ZodObject, Patch extends z.ZodObject>(
  table: Table,
  { create, patch, ...options }: RepositoryDefinition<New, Patch>,
): new (scope: Scope) => DefinedRepository<Table, z.input<New>, z.input<Patch>> {
  return class extends ScopedRepository<Row<Table>> {
    constructor(scope: Scope) {
      super(scope, table, options)
    }

    create(values: z.input<New>): Query<Row<Table>> {
      return this.insert(create, values)
    }

    update(id: string, values: z.input<Patch>, given: UpdateOptions = {}): Query<Row<Table>> {
      return this.modify(patch, id, values, given)
    }

    delete(id: string): Query<Row<Table>> {
      return this.plan.softDelete ? this.hide(id) : this.erase(id)
    }
  }
}
