import type { PgTable } from 'drizzle-orm/pg-core'
import { pageByPage } from './page-by-page.js'
import type { Planned } from './planned.js'
import type { Query } from './query.js'
import type { TableUse } from './row-options.js'
import type { Scope } from './scope.js'
import { planCountBy, planExtreme, planSum } from './statements/aggregates.js'
import type { Filter, KeyValues } from './statements/filters.js'
import { including } from './statements/includes.js'
import {
  type ListOptions,
  type Page,
  type PageContent,
  type PageOf,
  planList,
  type StreamOptions,
} from './statements/pages.js'
import {
  planAllByIds,
  planByIds,
  planCount,
  planExists,
  planFind,
  planFindBy,
  planFindOnly,
  planGet,
  planGetBy,
  planGetOnly,
} from './statements/reads.js'
import { allSeen, type Among, eachSeen, narrowed, seen } from './statements/seen-projects.js'
import type { Field, Selected, SelectOptions } from './statements/selections.js'
import { planOf, type TablePlan } from './statements/table-plan.js'
import { type Target, targetOf } from './statements/target.js'
import { readTableOptions, type ReadTableOptions, type TableOptions } from './table-options.js'
import { ownOf, ownProperties, readOptions } from './values.js'

/** The reads of one table inside one scope. Each statement names the owner of its rows (`org_id = $1`), and row security checks it. */
export class ReadableTable<Row extends object> {
  readonly plan: TablePlan
  readonly permission: string
  protected readonly target: Target<Row>
  protected readonly options: ReadTableOptions
  protected readonly project: string | undefined

  constructor(
    readonly scope: Scope,
    table: PgTable,
    options?: TableOptions,
    use?: TableUse,
  ) {
    const { permission, plan, project } = ownOf(use)
    this.plan = plan ?? planOf(table)
    this.options = readTableOptions(this.plan, options)
    this.permission = this.options.permission ?? permission ?? this.plan.permission
    this.project = project
    this.target = targetOf(this.plan, scope.context.binding, this.options.parents, project)
  }

  find<Name extends Field<Row> = Field<Row>>(
    id: string,
    options?: SelectOptions<Name>,
  ): Query<Selected<Row, Name> | undefined> {
    return this.read((among) => {
      const { target, select } = this.asked(options)
      return seen(planFind(target, id, select), among, { id })
    })
  }

  get<Name extends Field<Row> = Field<Row>>(id: string, options?: SelectOptions<Name>): Query<Selected<Row, Name>> {
    return this.read((among) => {
      const { target, select } = this.asked(options)
      return allSeen(planGet(target, id, select), among, this.plan, { id })
    })
  }

  /** The row of an owner that has one at most. */
  findOnly(): Query<Row | undefined> {
    return this.read(() => planFindOnly(this.target))
  }

  /** The same. Throws NotFoundError where there is none. */
  getOnly(): Query<Row> {
    return this.read(() => planGetOnly(this.target))
  }

  findMany(ids: readonly string[]): Query<Row[]> {
    return this.read((among) => eachSeen(planByIds(this.target, ids), among))
  }

  getMany(ids: readonly string[]): Query<Row[]> {
    return this.read((among) => allSeen(planAllByIds(this.target, ids), among, this.plan))
  }

  list<Name extends Field<Row> = Field<Row>, Total extends boolean = false>(
    options?: ListOptions<Row> & PageContent<Name, Total>,
  ): Query<PageOf<Selected<Row, Name>, Total>> {
    return this.page(options) as Query<PageOf<Selected<Row, Name>, Total>>
  }

  stream<Name extends Field<Row> = Field<Row>>(
    options?: StreamOptions<Row, Name>,
  ): AsyncGenerator<Selected<Row, Name>, void, undefined> {
    return pageByPage(this.scope, (page) => this.page(page), options)
  }

  count(filter?: Filter<Row>): Query<number> {
    return this.read((among) => planCount(this.target, narrowed(filter, among)))
  }

  exists(filter?: Filter<Row>): Query<boolean> {
    return this.read((among) => planExists(this.target, narrowed(filter, among)))
  }

  countBy(field: string, filter?: Filter<Row>): Query<object[]> {
    return this.read((among) => planCountBy(this.target, field, narrowed(filter, among)))
  }

  sum<T>(field: string, filter?: Filter<Row>): Query<T | null> {
    return this.read((among) => planSum(this.target, field, narrowed(filter, among)))
  }

  extreme<T>(extreme: 'min' | 'max', field: string, filter?: Filter<Row>): Query<T | null> {
    return this.read((among) => planExtreme(this.target, extreme, field, narrowed(filter, among)))
  }

  findRow(key: KeyValues<Row>): Query<Row | undefined> {
    return this.read((among) => seen(planFindBy(this.target, key), among))
  }

  /** The row that a unique key names. Throws NotFoundError. */
  getRow(key: KeyValues<Row>): Query<Row> {
    return this.read((among) => allSeen(planGetBy(this.target, key), among, this.plan))
  }

  protected authorize(what: 'read' | 'write', id: string | undefined): void {
    const project = this.plan.isProject ? id : this.project
    this.scope.context.rules.authorize(`${this.permission}:${what}`, project)
  }

  /** `plan` gets the projects to which the actor's right to read is limited, where the rows are projects. */
  private read<T>(plan: (among: Among) => Planned<T>): Query<T> {
    return this.scope.query(() => {
      if (!this.plan.isProject) {
        this.authorize('read', undefined)
        return plan(undefined)
      }
      return plan(this.scope.context.rules.projectsWith(`${this.permission}:read`))
    })
  }

  private page(options: object | undefined): Query<Page<Row>> {
    return this.read((among) => {
      const { include, ...given } = ownProperties(options ?? {}, 'options')
      return planList(this.including(include), this.scope.context.cursorKeys, narrowed(given, among))
    })
  }

  /** The options of a read by id. */
  private asked(options: unknown): { readonly target: Target<Row>; readonly select: unknown } {
    const { include, select } = readOptions(options, ['include', 'select'])
    return { target: this.including(include), select }
  }

  private including(include: unknown): Target<Row> {
    return including(this.target, this.options.relations, include, this.scope.context.rules)
  }
}
