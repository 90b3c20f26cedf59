import { getTableConfig, type PgTable } from 'drizzle-orm/pg-core'
import { isDeepStrictEqual } from 'node:util'
import { DefinitionError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import type { Scope } from '../core/scope.js'
import type { Session } from '../database/session.js'
import type { Org } from '../org.js'
import { type OpenedWithout, openWithout, type Wall } from './walls.js'

/**
 * A call of each public method; `sum` may be left out where no column holds numbers. `id` is that of a row which the repository may
 * see, of another organization's row, or of no row.
 */
export type ContractCalls<Repository> = Called<Repository, Exclude<keyof Repository, 'sum'>> &
  Partial<Called<Repository, Extract<keyof Repository, 'sum'>>>

type Called<Repository, Names extends keyof Repository> = {
  readonly [Name in Names as Repository[Name] extends (...args: never[]) => unknown ? Name : never]: (
    repository: Repository,
    id: string,
  ) => unknown
}

export interface ContractCase<Repository> {
  readonly repository: new (scope: Scope) => Repository
  /**
   * The repository's own table, the tables that a row needs, and those with rows that depend on it. A table comes before those that
   * refer to it.
   */
  readonly tables: readonly PgTable[]
  /** Creates a row through the scope and returns its id. `admin` is a session of the owner, for rows that no scope can make. */
  readonly make: (org: Org, admin: Session) => Promise<string>
  /** A method without a call does not compile. Each call must succeed with the id of the organization's own row. */
  readonly calls: ContractCalls<Repository>
  /**
   * Brings the row into the state that a method needs before it is called: `restore: (org, id) => org.tickets.delete(id)`. A
   * returned string is the id for the call, such as that of a parent for `create`.
   */
  readonly prepare?: {
    readonly [Name in keyof ContractCalls<Repository>]?: (org: Org, id: string) => Promise<unknown>
  }
}

/** A repository with a call for each of its methods. */
export interface IsolationCase {
  readonly name: string
  /**
   * Calls every method across organizations: with the id of a row that only the other one has, which must behave like a missing
   * row, and with the id of a twin, which the other one has too. Returns the faults as text; nothing when the walls held. A call
   * that throws for the organization's own row is also a fault, because it tested nothing. So is one that sends nothing.
   */
  readonly faults: (options: ContractOptions) => Promise<string[]>
}

/** `isolationCase({ repository: Tickets, tables: [tickets], make, calls })` */
export const isolationCase = <Repository>(one: ContractCase<Repository>): IsolationCase => ({
  name: one.repository.name,
  faults: (options) => faultsOf(one, options),
})

export interface ContractOptions {
  readonly appUrl: string
  /** A session of the owner, to look at rows beside the repositories. */
  readonly admin: Session
  /** A wall to remove, so that the other one must hold alone. */
  readonly without?: Wall
}

async function faultsOf<Repository>(one: ContractCase<Repository>, options: ContractOptions): Promise<string[]> {
  const served = await openWithout(options)
  try {
    const faults = withoutCall(one).map((name) => `${one.repository.name}.${name}: has no call`)
    const names = Object.keys(one.calls) as (keyof ContractCalls<Repository> & string)[]
    for (const name of names) {
      const attempt = new Attempt(one, options.admin, served)
      const found = [...(await attempt.foreign(name)), ...(await attempt.twin(name))]
      faults.push(...found.map((fault) => `${one.repository.name}.${name}: ${fault}`))
    }
    return faults
  } finally {
    await served.tenancy.close({ drain: 0 })
  }
}

const methodsById = ['find', 'get', 'findMany', 'getMany']
/** Test runners do not check types, which want a call of each method. At run time only these are known to be public. */
const publicMethods = [
  ...methodsById,
  ...['list', 'stream', 'count', 'exists', 'countBy', 'min', 'max'],
  ...['create', 'createMany', 'update', 'updateWhere', 'delete', 'deleteWhere', 'restore', 'purge', 'setLinks'],
]

function withoutCall<Repository>({ repository, calls }: ContractCase<Repository>): string[] {
  const has = (name: string) => typeof Reflect.get(repository.prototype as object, name) === 'function'
  // A link has no id.
  const methods = has('unlink') ? publicMethods.filter((name) => !methodsById.includes(name)) : publicMethods
  return methods.filter((name) => has(name) && !Object.hasOwn(calls as object, name))
}

interface Outcome {
  readonly value: unknown
  readonly error: string | undefined
  readonly queries: number
}

class Attempt<Repository> {
  constructor(
    private readonly one: ContractCase<Repository>,
    private readonly admin: Session,
    private readonly served: OpenedWithout,
  ) {}

  /**
   * Another organization's row must behave like a missing one, with the same error text, the same number of queries, and the same counts
   * and sums as before it was made.
   */
  async foreign(name: keyof ContractCalls<Repository>): Promise<string[]> {
    const nobodys = await this.call(name, await this.newOrganization(), newId())
    const theirs = await this.newOrganization()
    const id = await this.make(name, theirs)
    const before = await this.photograph(theirs)
    const ours = await this.newOrganization()
    const foreign = await this.call(name, ours, id)
    return [
      ...(isDeepStrictEqual(await this.photograph(theirs), before) ? [] : ['changed another organization’s rows']),
      ...strangersIn(foreign.value, ours),
      ...(isDeepStrictEqual(figuresIn(foreign.value), figuresIn(nobodys.value))
        ? []
        : ['returns other numbers once another organization has a row']),
      ...(foreign.error === nobodys.error
        ? []
        : [`says "${foreign.error ?? 'nothing'}", not "${nobodys.error ?? 'nothing'}"`]),
      ...(foreign.queries === nobodys.queries ? [] : [`takes ${foreign.queries} queries, not ${nobodys.queries}`]),
    ]
  }

  /**
   * Both organizations have the same id: only our row may change. Their rows come first, in tables and in indexes, so that what reads
   * one row of any organization gets theirs.
   */
  async twin(name: keyof ContractCalls<Repository>): Promise<string[]> {
    const theirs = await this.newOrganization()
    const ours = await this.newOrganization()
    const id = await this.make(name, ours)
    for (const table of this.one.tables) await this.copy(table, ours, theirs)
    for (const table of this.one.tables)
      await this.admin.query(`update ${sqlOf(table)} set org_id = org_id where org_id = $1`, [ours])
    const before = await this.photograph(theirs)
    const { value, error, queries } = await this.call(name, ours, id)
    return [
      ...(error === undefined ? [] : [`tested nothing, because its call throws ${error}`]),
      ...(error === undefined && queries === 0 ? ['tested nothing, because its call sent nothing'] : []),
      ...(isDeepStrictEqual(await this.photograph(theirs), before) ? [] : ['changed the twin of another organization']),
      ...strangersIn(value, ours),
    ]
  }

  private newOrganization(): Promise<string> {
    return this.served.newOrganization()
  }

  private async make(name: keyof ContractCalls<Repository>, orgId: string): Promise<string> {
    const org = this.served.tenancy.forOrg(orgId)
    const id = await this.one.make(org, this.admin)
    const prepare: ((org: Org, id: string) => Promise<unknown>) | undefined = this.one.prepare?.[name]
    const prepared = await prepare?.(org, id)
    return typeof prepared === 'string' ? prepared : id
  }

  private async call(name: keyof ContractCalls<Repository>, orgId: string, id: string): Promise<Outcome> {
    const repository = this.served.tenancy.forOrg(orgId).repository(this.one.repository)
    const before = this.served.count()
    try {
      const value = await collected(this.one.calls[name]?.(repository, id))
      return { value, error: undefined, queries: this.served.count() - before }
    } catch (error) {
      return { value: undefined, error: String(error), queries: this.served.count() - before }
    }
  }

  private async copy(table: PgTable, from: string, to: string): Promise<void> {
    const sql = sqlOf(table)
    const written = getTableConfig(table).columns.filter(({ generated }) => generated === undefined)
    const columns = written.map(({ name }) => `"${name}"`)
    const copied = written.map(({ name }) => (name === 'org_id' ? '$2::uuid' : `"${name}"`))
    const text = `insert into ${sql} (${columns.join()}) select ${copied.join()} from ${sql} where org_id = $1`
    try {
      await this.admin.query(text, [from, to])
    } catch (error) {
      if ((error as { code?: unknown }).code !== foreignKeyViolation) throw error
      const { message } = error as Error
      throw new DefinitionError(
        `the rows of ${sql} cannot be copied: ${message}. In \`tables\`, name the tables that it refers to, and before it`,
      )
    }
  }

  private async photograph(orgId: string): Promise<string[]> {
    const photos: string[] = []
    for (const table of this.one.tables) {
      const rows = await this.admin.query<{ row: string }>(
        `select t::text as row from ${sqlOf(table)} t where org_id = $1 order by 1`,
        [orgId],
      )
      photos.push(...rows.map(({ row }) => row))
    }
    return photos
  }
}

const foreignKeyViolation = '23503'

function sqlOf(table: PgTable): string {
  const { schema = 'public', name } = getTableConfig(table)
  return `"${schema}"."${name}"`
}

async function collected(value: unknown): Promise<unknown> {
  const awaited = await value
  if (typeof awaited !== 'object' || awaited === null || !(Symbol.asyncIterator in awaited)) return awaited
  const items: unknown[] = []
  for await (const item of awaited as AsyncIterable<unknown>) items.push(item)
  return items
}

/** The numbers and booleans anywhere in the answer. Exact numbers come as text. */
function figuresIn(value: unknown): unknown[] {
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(figuresIn)
  const isFigure = ['number', 'bigint', 'boolean'].includes(typeof value)
  return isFigure || (typeof value === 'string' && /^-?\d+(?:\.\d+)?$/.test(value)) ? [value] : []
}

/** Finds rows anywhere in the answer that have another organization's id. */
function strangersIn(value: unknown, orgId: string): string[] {
  if (typeof value !== 'object' || value === null) return []
  const own = 'orgId' in value && value.orgId !== orgId ? ['returned a row of another organization'] : []
  return [...own, ...Object.values(value).flatMap((item: unknown) => strangersIn(item, orgId))]
}
