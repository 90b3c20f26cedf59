import { is } from 'drizzle-orm'
import { PgTable } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import type { Row } from '../schema/shared/rows.js'
import { InvalidInputError } from './errors.js'
import type { Query } from './query.js'
import type { UpdateOptions } from './statements/update-options.js'
import type { Scope } from './scope.js'
import { type RepositoryOptions, ScopedRepository } from './scoped-repository.js'
import { ownItems, ownProperties, readOptions, touch } from './values.js'

export interface RepositoryDefinition<New, Patch> extends RepositoryOptions {
  /** What `create` takes: a strict object, without the organization, the id, and the timestamps. */
  readonly create: New
  /** What `update` takes; usually the same, `.partial()`. */
  readonly patch: Patch
}

/** A table of the host's own, read and written inside one organization. */
export interface DefinedRepository<Row extends object, New, Patch> extends ScopedRepository<Row> {
  create(values: New): Query<Row>
  /** With the `revision` that was read, throws VersionConflictError when the row was changed since. */
  update(id: string, patch: Patch, options?: UpdateOptions): Query<Row>
  /** Hides the row where the table has `deleted_at`; deletes it otherwise. */
  delete(id: string): Query<Row>
}

/**
 * A repository over one table: `const Tickets = defineRepository(tickets, { create: newTicket, patch: ticketPatch })`, used as
 * `org.repository(Tickets)`. For more than that, write a class that extends `ScopedRepository`.
 */
export function defineRepository<Table extends PgTable, New extends z.ZodObject, Patch extends z.ZodObject>(
  table: Table,
  definition: RepositoryDefinition<New, Patch>,
): new (scope: Scope) => DefinedRepository<Row<Table>, z.input<New>, z.input<Patch>> {
  const { create, patch, ...options } = readDefinition(table, definition)
  return class extends ScopedRepository<Row<Table>> {
    constructor(scope: Scope) {
      super(scope, table, options)
    }

    create(values: z.input<New>): Query<Row<Table>> {
      return this.insert(create, values)
    }

    update(id: string, values: z.input<Patch>, given?: UpdateOptions): Query<Row<Table>> {
      return this.modify(patch, id, values, given)
    }

    delete(id: string): Query<Row<Table>> {
      return this.plan.softDelete ? this.hide(id) : this.erase(id)
    }
  }
}

/** Where it is defined, and not in the first request that uses it. */
function readDefinition<New, Patch>(table: unknown, given: RepositoryDefinition<New, Patch>) {
  const definition = readOptions(given, definitionNames, 'definition')
  const { create, patch, permission, parents, references } = definition
  assertTable('table', table)
  for (const [name, schema] of Object.entries({ create, patch })) {
    if (!isSchema(schema)) throw new InvalidInputError(name, 'must be a zod schema')
  }
  if (permission !== undefined && typeof permission !== 'string') {
    throw new InvalidInputError('permission', 'must be the name of a permission')
  }
  if (parents !== undefined) {
    for (const parent of Object.values(ownProperties(parents, 'parents'))) assertTable('parents', parent)
  }
  if (references !== undefined) {
    for (const one of ownItems(references, 'references', 1000)) {
      assertTable('references', ownProperties(one, 'references').table)
    }
  }
  return definition as RepositoryDefinition<New, Patch>
}

const definitionNames = ['create', 'patch', 'permission', 'parents', 'references'] as const

function assertTable(name: string, value: unknown): void {
  if (!touch(name, () => is(value, PgTable))) throw new InvalidInputError(name, 'must be a table')
}

const isSchema = (value: unknown): boolean => touch('definition', () => value instanceof z.ZodType)
