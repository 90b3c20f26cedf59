import { ForbiddenError } from './errors.js'
import { ownOf } from './values.js'

/** The actors that this library has made: an object that only looks like one, or that a caller constructed, is none. */
const made = new WeakSet<object>()

/**
 * Who acts in a scope, with the rights that they had when the request began: rights are read once, so make one for each request. It
 * is made by `org.actorFor`, `tenancy.job`, and the authentication of a key or a session.
 */
export class Actor {
  readonly kind: ActorKind
  /** The id of the person or the key. Undefined for a job. */
  readonly id: string | undefined
  /** The organization in which the rights hold. Undefined for a job, which may work in any. */
  readonly orgId: string | undefined
  /** The name of a key or a job. A person has none here: names are personal data. */
  readonly label: string | undefined
  /** The person or the service that a key is made out to. Undefined for others. */
  readonly onBehalfOf: string | undefined
  /** The member's epoch when the rights were read. */
  readonly epoch: number | undefined
  /** Whether every permission is held, as by a job. */
  readonly isTrusted: boolean
  readonly #impersonation: Impersonation | undefined
  readonly #end: number | undefined
  readonly #permissions: ReadonlySet<string>
  readonly #projects: ReadonlyMap<string, ReadonlySet<string>>

  constructor(facts: ActorFacts) {
    const { kind, id, orgId, label, onBehalfOf, permissions, projects, epoch, isTrusted, impersonation } = ownOf(facts)
    this.kind = kind ?? 'user'
    this.id = id
    this.orgId = orgId
    this.label = label
    this.onBehalfOf = onBehalfOf
    this.epoch = epoch
    this.isTrusted = isTrusted === true
    this.#impersonation = impersonation
    this.#end = impersonation?.until.getTime()
    this.#permissions = new Set(permissions)
    this.#projects = new Map(Object.entries(projects ?? {}).map(([project, held]) => [project, new Set(held)]))
    Object.freeze(this)
  }

  /** Who acts in the person's name, and why. A copy: the end cannot be moved. */
  get impersonation(): Impersonation | undefined {
    if (this.#impersonation === undefined) return undefined
    return { ...this.#impersonation, until: new Date(this.#end ?? 0) }
  }

  /** The permissions in the whole organization. A copy: nothing can be added to the actor. */
  get permissions(): ReadonlySet<string> {
    return new Set(this.#permissions)
  }

  /** Further permissions in single projects, by the project's id. */
  get projects(): ReadonlyMap<string, ReadonlySet<string>> {
    return new Map([...this.#projects].map(([project, held]) => [project, new Set(held)]))
  }

  /** Whether the permission is held in the whole organization or, where a project is named, in that project. */
  can(permission: string, project?: string): boolean {
    if (this.hasEnded()) return false
    if (this.isTrusted || this.#permissions.has(permission)) return true
    return project !== undefined && this.#projects.get(project)?.has(permission) === true
  }

  /** The projects in which alone the permission is held. Undefined when it is held in the whole organization. */
  projectsWith(permission: string): readonly string[] | undefined {
    if (this.can(permission)) return undefined
    this.assertCurrent()
    return [...this.#projects].filter(([, held]) => held.has(permission)).map(([project]) => project)
  }

  /** Throws ForbiddenError once the time has passed until which somebody may act in the person's name. */
  assertCurrent(): void {
    if (this.hasEnded())
      throw new ForbiddenError(undefined, '`until` has passed: this actor may no longer act in the name of the person')
  }

  private hasEnded(): boolean {
    return this.#end !== undefined && Date.now() >= this.#end
  }
}

export function makeActor(facts: ActorFacts): Actor {
  const actor = new Actor(facts)
  made.add(actor)
  return actor
}

export const isActor = (value: unknown): value is Actor =>
  typeof value === 'object' && value !== null && made.has(value)

export type ActorKind = 'user' | 'api_key' | 'system'

export interface Impersonation {
  /** The person who acts. */
  readonly by: string
  readonly reason: string
  readonly until: Date
}

export interface ActorFacts {
  readonly kind: ActorKind
  readonly id?: string | undefined
  readonly orgId?: string | undefined
  readonly label?: string | undefined
  readonly onBehalfOf?: string | undefined
  readonly permissions: Iterable<string>
  readonly projects?: Readonly<Record<string, readonly string[]>> | undefined
  readonly epoch?: number | undefined
  readonly isTrusted?: boolean | undefined
  readonly impersonation?: Impersonation | undefined
}
