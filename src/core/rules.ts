import type { Actor } from './actor.js'
import type { Acting } from './author.js'
import { DefinitionError, ForbiddenError } from './errors.js'
import type { Call, Result } from './executor.js'
import type { SealedPlace } from './sealing.js'
import type { SharedReads } from './shared-reads.js'
import type { ChangeCall } from './statements/inserts.js'
import type { TablePlan } from './statements/table-plan.js'

/** A change of an audited table. */
export interface Change {
  readonly plan: TablePlan
  /** What was done, in the domain's own word: `activate`. */
  readonly event: string
  /** False: the entry lists ids, and has old and new values only if one row changed. */
  readonly isOne: boolean
  /** Which rows, where the call names them by a filter. */
  readonly filter?: unknown
  /** Which columns, where it only reads. */
  readonly columns?: readonly string[]
}

/** A write that counts towards a limit of the plan, as SQL over the rows of one organization. */
export interface Reservation {
  /** The name of the limit in the plan. */
  readonly limit: string
  /** A sub-select that measures what is in use. `$1` is the organization. */
  readonly used: string
  /** An expression for what the write adds. */
  readonly added: string
  /** The parameters of both. The first is the organization. */
  readonly values: readonly unknown[]
}

/** Texts for sealed columns: those of one statement, all of one organization. */
export interface Sealing {
  readonly orgId: string
  /** In the order of the cells. */
  readonly cells: readonly CellToSeal[]
}

export interface CellToSeal extends Omit<SealedPlace, 'orgId'> {
  readonly text: string
}

/** What is written instead of the texts. */
export interface Sealed {
  readonly values: readonly Uint8Array[]
  /** Sent in front of the write, in the same round trip: they fail when the key is not the organization's active one any more. */
  readonly before: readonly Call[]
}

/** The steps of sealing. */
export interface SealingSteps {
  /** The query for the organization's key. Undefined where it is in memory. */
  readonly ask: Call | undefined
  readonly seal: (answer: Result | undefined) => Promise<Sealed>
}

/** A sealed cell as it was read, together with what `wrappedKey` selected for it. */
export interface SealedCell extends SealedPlace {
  readonly sealed: Uint8Array
  readonly key: unknown
}

/**
 * The checks and additions of every scope: permissions, audit entries, plan limits, sealed columns. The core only calls them;
 * whoever makes a scope provides them.
 */
export interface Rules {
  /** Throws ForbiddenError when the actor has the permission neither in the organization nor in the project, where one is named. */
  authorize(permission: string, project: string | undefined): void
  /** The projects in which alone the actor has the permission. Undefined when they have it in the whole organization. */
  projectsWith(permission: string): readonly string[] | undefined
  /** Returns the same call with its audit entry in the same statement. The statement returns the same rows. */
  audit(change: Change, call: ChangeCall, acting: Acting): Call
  /** Calls to send in front of a write, in the same round trip. They fail when the plan leaves no room for it. */
  reserve(reservation: Reservation): readonly Call[]
  /** The id of the fallback plan, from `openTenancy`. */
  readonly fallbackPlan: string | undefined
  /** The reads of feature flags that callers share. Undefined: each evaluation reads for itself. */
  readonly flags: SharedReads<unknown> | undefined
  /** Encrypts texts under the organization's active data key. */
  seal(sealing: Sealing): SealingSteps
  /** A sub-select for the key of a sealed column, so that one statement reads both. `$1` is the organization. */
  wrappedKey(column: string): string
  /** Decrypts a cell. Throws DecryptError. */
  open(cell: SealedCell): Promise<string>
}

/** The call with its audit entry, where the table is audited. */
export const auditedCall = (context: Acting & { readonly rules: Rules }, change: Change, call: ChangeCall): Call =>
  change.plan.audited ? context.rules.audit(change, call, context) : call

const nothing: readonly Call[] = []

/** The rules of backend code: everything is allowed, nothing is counted or recorded, and nothing can be sealed. */
export const trusted: Rules = {
  authorize: () => undefined,
  projectsWith: () => undefined,
  audit: (_change, call) => call,
  reserve: () => nothing,
  fallbackPlan: undefined,
  flags: undefined,
  seal: noKeys,
  wrappedKey: noKeys,
  open: noKeys,
}

function noKeys(): never {
  throw new DefinitionError('a column of this table is sealed, and there are no keys to seal it with')
}

/** The rules of an organization's scope: the actor's permissions are checked in memory. Without an actor it is backend code. */
export const rulesOf = (actor: Actor | undefined, backend: Rules, allPermissions: ReadonlySet<string>): Rules =>
  actor === undefined || actor.isTrusted ? backend : new ActorRules(actor, backend, allPermissions)

/** A class, because a scope is made for each request: to copy all rules into an object takes longer than the checks of a call. */
class ActorRules implements Rules {
  constructor(
    private readonly actor: Actor,
    private readonly backend: Rules,
    private readonly allPermissions: ReadonlySet<string>,
  ) {}

  authorize(permission: string, project: string | undefined): void {
    const { actor } = this
    if (actor.can(permission, project)) return
    actor.assertCurrent()
    // Nobody could ever hold it, so the repository is at fault and not whoever calls.
    if (!this.allPermissions.has(permission)) throw new DefinitionError(unknownPermission(permission))
    throw new ForbiddenError(permission)
  }

  projectsWith(permission: string): readonly string[] | undefined {
    return this.actor.projectsWith(permission)
  }

  audit(change: Change, call: ChangeCall, acting: Acting): Call {
    return this.backend.audit(change, call, acting)
  }

  reserve(reservation: Reservation): readonly Call[] {
    return this.backend.reserve(reservation)
  }

  get fallbackPlan(): string | undefined {
    return this.backend.fallbackPlan
  }

  get flags(): SharedReads<unknown> | undefined {
    return this.backend.flags
  }

  seal(sealing: Sealing): SealingSteps {
    return this.backend.seal(sealing)
  }

  wrappedKey(column: string): string {
    return this.backend.wrappedKey(column)
  }

  open(cell: SealedCell): Promise<string> {
    return this.backend.open(cell)
  }
}

const unknownPermission = (permission: string) =>
  `${permission} is not a permission: add it to \`permissions\` of tenantry.config.ts and of \`own\` of openTenancy, or name another resource with defineRepository(table, { permission })`
