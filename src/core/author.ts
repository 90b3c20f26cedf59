import type { Actor, ActorKind } from './actor.js'
import type { RequestContext } from './request-context.js'

/** Who made a change, as an entry of the audit log names them. */
export interface Author {
  readonly actorKind: ActorKind
  /** The id of the person or the key. Undefined for a job and for the backend. */
  readonly actorId: string | undefined
  /** The name of a key or a job, or `backend`. Undefined for a person: names are looked up when the log is read. */
  readonly actorLabel: string | undefined
  /** The person or the service that the key is made out to, or the person in whose name somebody else acts. */
  readonly onBehalfOf: string | undefined
  /** Why somebody acts in the name of that person. */
  readonly reason: string | undefined
  readonly ipAddress: string | undefined
  readonly userAgent: string | undefined
  readonly requestId: string | undefined
}

/** Who acts in a scope without an actor. */
export type NamedAuthor = Pick<Author, 'actorKind' | 'actorId' | 'actorLabel'>

/** What a scope knows of who acts in it. */
export interface Acting {
  readonly actor: Actor | undefined
  /** Who acts without an actor: a person in their own scope, or the system. Undefined for the backend. */
  readonly author: NamedAuthor | undefined
  readonly request: RequestContext | undefined
}

/** The author of what a scope does. Whoever acts in another person's name is the actor. */
export function authorOf({ actor, author, request }: Acting): Author {
  const impersonation = actor?.impersonation
  return {
    actorKind: actor?.kind ?? 'system',
    actorId: impersonation?.by ?? actor?.id,
    actorLabel: actor === undefined ? 'backend' : actor.label,
    onBehalfOf: impersonation === undefined ? actor?.onBehalfOf : actor?.id,
    reason: impersonation?.reason,
    ...author,
    ipAddress: request?.ip,
    userAgent: request?.userAgent,
    requestId: request?.id,
  }
}
