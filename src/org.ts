import { type ScopedDatabase, scopedDatabase } from './core/scoped-database.js'
import { DefinitionError, InvalidInputError } from './core/errors.js'
import type { Batched } from './core/query.js'
import { DebugScope } from './core/scopes/debug-scope.js'
import type { BatchResults, Scope, TransactionOptions } from './core/scope.js'
import type { ScopedRepository } from './core/scoped-repository.js'
import { Agents } from './repositories/agents.js'
import { Projects } from './repositories/projects.js'
import { FirableSchedules } from './operations/fire-schedule.js'
import { Tasks } from './repositories/tasks.js'
import { Workflows } from './repositories/workflows.js'
import * as schema from './schema/index.js'

type RepositoryClass<Repository> = new (scope: Scope) => Repository

/** One organization. Nothing of another one can be reached through it. */
export class Org {
  private readonly made = new Map<RepositoryClass<unknown>, unknown>()
  private database: ScopedDatabase<typeof schema> | undefined

  private readonly orgId: string

  constructor(private readonly scope: Scope) {
    const { binding } = scope.context
    if (binding.kind !== 'org') throw new DefinitionError('an organization needs a scope that is bound to one')
    this.orgId = binding.id
  }

  get id(): string {
    return this.orgId
  }

  get agents(): Agents {
    return this.repository(Agents)
  }

  get projects(): Projects {
    return this.repository(Projects)
  }

  get schedules(): FirableSchedules {
    return this.repository(FirableSchedules)
  }

  get tasks(): Tasks {
    return this.repository(Tasks)
  }

  get workflows(): Workflows {
    return this.repository(Workflows)
  }

  /** A repository of your own, in this organization: `org.repository(Notes).list()`. */
  repository<Repository>(type: RepositoryClass<Repository>): Repository {
    let repository = this.made.get(type)
    if (repository === undefined) {
      repository = make(type, this.scope)
      this.made.set(type, repository)
    }
    return repository as Repository
  }

  /**
   * Drizzle's builder, closed to this organization by row security alone. It sees deleted rows, and is left out of permissions
   * and audit. SQL text in it is trusted code.
   */
  get db(): ScopedDatabase<typeof schema> {
    if (this.scope instanceof DebugScope) return scopedDatabase(this.scope.here(), schema)
    this.database ??= scopedDatabase(this.scope, schema)
    return this.database
  }

  /**
   * All of it takes effect, or none. Inside another transaction it is a savepoint. The handle ends with the function.
   *
   * Inside, everything goes out in the order in which it is called: what is called beside a nested transaction or a method of
   * several steps waits until that has ended. While the function of a nested transaction runs, the outer handle is refused: use
   * the handle that the function received, or await the nested transaction first.
   */
  transaction<T>(work: (org: Org) => Promise<T>, options?: TransactionOptions): Promise<T> {
    return this.scope.transaction(ofScope(work), options)
  }

  /**
   * Several calls of one statement each in one round trip: `org.batch((org) => [org.agents.find(id), org.tasks.list()])`. All of
   * them take effect, or none; where one that finds no row would be refused after another has written, that takes a second trip.
   */
  batch<const Calls extends readonly unknown[]>(collect: (org: BatchOrg) => Calls): Promise<BatchResults<Calls>> {
    return this.scope.batch(ofScope(collect))
  }
}

/** What is no function is left to the scope, whose rejection says so. */
const ofScope = <T>(use: (org: Org) => T): ((scope: Scope) => T) =>
  isFunction(use) ? (scope) => use(new Org(scope)) : (use as never)

const isFunction = (value: unknown): boolean => typeof value === 'function'

/** Its own errors are those of its constructor. */
function make<Repository>(type: RepositoryClass<Repository>, scope: Scope): Repository {
  try {
    return new type(scope)
  } catch (error) {
    if (isClass(type)) throw error
    throw new InvalidInputError('repository', 'takes a class, as defineRepository() makes one')
  }
}

/** Asked by making something else in its name, so that it is not called. */
function isClass(value: unknown): boolean {
  try {
    Reflect.construct(Object, [], value as RepositoryClass<unknown>)
    return true
  } catch {
    return false
  }
}

/** An organization inside of a batch: what has one statement can be called, and is sent with the others. */
export type BatchOrg = {
  readonly [Name in keyof Org as Org[Name] extends ScopedRepository<object> ? Name : never]: Batched<Org[Name]>
} & {
  repository<Repository>(type: RepositoryClass<Repository>): Batched<Repository>
}
