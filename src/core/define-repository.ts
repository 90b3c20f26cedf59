import { is } from 'drizzle-orm'
import { PgTable } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import type { Row } from '../schema/shared/rows.js'
import { InvalidInputError } from './errors.js'
import { type AllButOne, type LinkChanges, setLinks } from './set-links.js'
import type { Query } from './query.js'
import type { Filter } from './statements/filters.js'
import type { UpdateOptions } from './statements/update-options.js'
import type { Scope } from './scope.js'
import { type RepositoryOptions, ScopedRepository } from './scoped-repository.js'
import { readTableOptions, tableOptionNames } from './table-options.js'
import type { NoRelations, RelatedRows, Relations } from './statements/relations.js'
import { planOf } from './statements/table-plan.js'
import { readOptions, touch, type Values } from './values.js'

export interface RepositoryDefinition<New, Patch, Declared extends Relations = Relations> extends RepositoryOptions {
  /** What `create` takes: a strict object, without the organization, the id, and the timestamps. */
  readonly create: New
  /** What `update` takes; usually the same, `.partial()`. */
  readonly patch: Patch
  readonly includes?: Declared | undefined
}

/** A table without an id, whose rows link two others. */
export interface LinkDefinition<Link, Declared extends Relations = Relations> extends RepositoryOptions {
  /** What `link` takes: a strict object with the columns of the primary key, without the organization. */
  readonly link: Link
  readonly includes?: Declared | undefined
}

/** A table of the host's own, read and written inside one organization. */
export type DefinedRepository<Row extends object, New, Patch, Related extends object = object> = ScopedRepository<
  Row,
  Related
> & {
  create(values: New): Query<Row>
  /** All or none, in one statement: 50,000 rows at most, each with the same fields. They come back in their order. */
  createMany(values: readonly New[]): Query<Row[]>
  /** Changes every row that matches and returns their number. A filter that asks for nothing is refused. */
  updateWhere(filter: Filter<Row>, patch: Patch): Query<number>
  /** Hides or deletes every row that matches, as `delete` does, and returns their number. */
  deleteWhere(filter: Filter<Row>): Query<number>
  /** Hides the row where the table has `deleted_at`; deletes it otherwise. */
  delete(id: string): Query<Row>
} & (Row extends { readonly revision: unknown } ? Revised<Row, Patch> : Updatable<Row, Patch>) &
  (Row extends { readonly deletedAt: unknown } ? SoftDeletable<Row> : unknown)

interface Updatable<Row, Patch> {
  update(id: string, patch: Patch): Query<Row>
}

interface Revised<Row, Patch> {
  /** With the `revision` that was read, throws VersionConflictError when the row was changed since. */
  update(id: string, patch: Patch, options?: UpdateOptions): Query<Row>
}

interface SoftDeletable<Row> {
  /** Brings a hidden row back. Throws ConflictError when a unique value of it was taken meanwhile. */
  restore(id: string): Query<Row>
  /** Deletes the row for good, hidden or not. */
  purge(id: string): Query<Row>
}

/** Links between rows of one organization. */
export interface LinkRepository<Row extends object, Link, Related extends object = object> extends Pick<
  ScopedRepository<Row, Related>,
  'list' | 'stream' | 'count' | 'exists' | 'countBy' | 'sum' | 'min' | 'max'
> {
  /** Makes the link, or returns the one that is there. */
  link(values: Link): Query<Row>
  /** Whether there was such a link. */
  unlink(values: Link): Query<boolean>
  /**
   * Makes these the only links of a row, all or nothing: `setLinks({ ticketId }, agentIds)`. Of two calls for one row at once, the links
   * of one are left. Throws NotFoundError for a row that is not there, BrokenReferenceError when one of the others is missing.
   */
  setLinks(of: AllButOne<Link>, ids: readonly string[]): Promise<LinkChanges>
}

type RepositoryClass<Repository> = new (scope: Scope) => Repository

/**
 * A repository over one table: `const Tickets = defineRepository(tickets, { create: newTicket, patch: ticketPatch })`, used as
 * `org.repository(Tickets)`. `class Tickets extends defineRepository(...) {}` does the same, and an editor shows it as `Tickets`.
 * For more than that, write a class that extends `ScopedRepository`.
 */
export function defineRepository<
  Table extends PgTable,
  New extends z.ZodObject,
  Patch extends z.ZodObject,
  const Declared extends Relations = NoRelations,
>(
  table: Table,
  definition: RepositoryDefinition<New, Patch, Declared>,
): RepositoryClass<DefinedRepository<Row<Table>, z.input<New>, z.input<Patch>, RelatedRows<Declared>>>
export function defineRepository<
  Table extends PgTable,
  Link extends z.ZodObject,
  const Declared extends Relations = NoRelations,
>(
  table: Table,
  definition: LinkDefinition<Link, Declared>,
): RepositoryClass<LinkRepository<Row<Table>, z.input<Link>, RelatedRows<Declared>>>
export function defineRepository(table: PgTable, definition: object): RepositoryClass<object> {
  const { create, patch, link, options } = readDefinition(table, definition)
  const made = link === undefined ? rowsOver(table, create, patch, options) : linksOver(table, link, options)
  // The isolation contract and stacks name a repository by its class.
  return Object.defineProperty(made, 'name', { value: planOf(table).resource })
}

function rowsOver(table: PgTable, created: z.ZodType, patched: z.ZodType, options: RepositoryOptions) {
  class Rows extends ScopedRepository<object> {
    constructor(scope: Scope) {
      super(scope, table, options)
    }

    create(values: unknown): Query<object> {
      return this.insertRow(created, values)
    }

    createMany(values: readonly unknown[]): Query<object[]> {
      return this.insertRows(created, values)
    }

    updateWhere(filter: Filter<object>, patch: Values): Query<number> {
      return this.updateRows(filter, patch, patched)
    }

    deleteWhere(filter: Filter<object>): Query<number> {
      return this.deleteRows(filter)
    }

    update(id: string, patch: unknown, given: UpdateOptions = {}): Query<object> {
      return this.updateRow(patched, id, patch, { options: given })
    }

    delete(id: string): Query<object> {
      return this.deleteRow(id)
    }
  }
  if (!planOf(table).softDelete) return Rows
  return class extends Rows {
    override delete(id: string): Query<object> {
      return this.hideRow(id)
    }

    override deleteWhere(filter: Filter<object>): Query<number> {
      return this.hideRows(filter)
    }

    restore(id: string): Query<object> {
      return this.restoreRow(id)
    }

    purge(id: string): Query<object> {
      return this.purgeRow(id)
    }
  }
}

const linksOver = (table: PgTable, linked: z.ZodType, options: RepositoryOptions) =>
  class extends ScopedRepository<object> {
    constructor(scope: Scope) {
      super(scope, table, options)
    }

    link(values: unknown): Query<object> {
      return this.linkRow(linked, values)
    }

    unlink(values: unknown): Query<boolean> {
      return this.unlinkRow(linked, values)
    }

    setLinks(of: object, ids: readonly string[]): Promise<LinkChanges> {
      return setLinks(this.rows, linked, of, ids)
    }
  }

/** Checks the definition where it is made, so that a mistake does not wait for the first request. */
function readDefinition(table: unknown, given: object) {
  const { create, patch, link, ...others } = readOptions(given, definitionNames, 'definition')
  for (const [name, schema] of Object.entries(link === undefined ? { create, patch } : { link })) {
    if (!isSchema(schema)) throw new InvalidInputError(name, 'must be a zod schema')
  }
  assertTable('table', table)
  const options = Object.freeze(others) as RepositoryOptions
  readTableOptions(planOf(table as PgTable), options)
  const schemas = { create, patch, link } as { create: z.ZodType; patch: z.ZodType; link: z.ZodType | undefined }
  return { ...schemas, options }
}

const definitionNames = ['create', 'patch', 'link', ...tableOptionNames] as const

function assertTable(name: string, value: unknown): void {
  if (!touch(name, () => is(value, PgTable))) throw new InvalidInputError(name, 'must be a table')
}

const isSchema = (value: unknown): boolean => touch('definition', () => value instanceof z.ZodType)
