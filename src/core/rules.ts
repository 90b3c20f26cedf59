import type { PgTable } from 'drizzle-orm/pg-core'
import type { Actor } from './actor.js'
import type { Acting } from './author.js'
import { DefinitionError, ForbiddenError, InvalidInputError } from './errors.js'
import type { Call } from './executor.js'
import type { ChangeCall } from './statements/inserts.js'
import type { TablePlan } from './statements/table-plan.js'
import type { Values } from './values.js'

/** A change of an audited table. */
export interface Change {
  readonly plan: TablePlan
  /** What was done, in the domain's own word: `activate`. */
  readonly verb: string
  /** Whether the call changes one row. Otherwise the entry lists the rows, and their old and new values only where it is one. */
  readonly isOne: boolean
  /** Which rows, where the call names them by a filter. */
  readonly filter: unknown
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

/**
 * The checks and additions of every scope: permissions, audit entries, plan limits, sealed columns. The core only calls them;
 * whoever makes a scope provides them. Sealed columns are not written yet.
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
  /** Encrypts the values of sealed columns for the row with that id. */
  seal(table: PgTable, rowId: string, values: Values): Promise<Values>
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
  seal: () =>
    Promise.reject(
      new InvalidInputError('', 'a column of this table is sealed, and there are no keys to seal it with'),
    ),
}

/** The rules of an organization's scope: the actor's permissions are checked in memory. Without an actor it is backend code. */
export const rulesOf = (actor: Actor | undefined, backend: Rules, allPermissions: ReadonlySet<string>): Rules =>
  actor === undefined || actor.isTrusted ? backend : { ...backend, ...permissionsOf(actor, allPermissions) }

const permissionsOf = (
  actor: Actor,
  allPermissions: ReadonlySet<string>,
): Pick<Rules, 'authorize' | 'projectsWith'> => ({
  authorize(permission, project) {
    if (actor.can(permission, project)) return
    actor.assertCurrent()
    // Nobody could ever hold it, so the repository is at fault and not whoever calls.
    if (!allPermissions.has(permission)) throw new DefinitionError(unknownPermission(permission))
    throw new ForbiddenError(permission)
  },
  projectsWith: (permission) => actor.projectsWith(permission),
})

const unknownPermission = (permission: string) =>
  `${permission} is not a permission: add it to \`permissions\` of tenantry.config.ts and of \`own\` of openTenancy, or name another resource with defineRepository(table, { permission })`
