import { z } from 'zod'
import { type Actor, makeActor } from '../core/actor.js'
import { ForbiddenError, InvalidInputError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { statement } from '../core/statement.js'
import { parseInput } from '../core/values.js'
import * as shape from '../schema/shared/shapes.js'

const impersonation = z.strictObject({
  /** The id of the person who acts. */
  by: shape.uuid,
  reason: shape.label(1000),
  until: shape.instant,
})

/** Whoever acts in another person's name, why, and until when. */
export interface ImpersonationOptions extends z.input<typeof impersonation> {}

/** The actor for a person, with the rights that they have in the organization now. Throws ForbiddenError when they have none. */
export function actorFor(scope: Scope, userId: string, options?: ImpersonationOptions): Query<Actor> {
  return scope.query(() => {
    const { actor } = scope.context
    const person = parseId(userId, 'userId')
    const as = options === undefined ? undefined : parseInput(impersonation, options)
    if (actor !== undefined && !actor.isTrusted) {
      throw new ForbiddenError(undefined, 'an actor cannot make another one: use a scope without an actor')
    }
    return planned({ statement: memberActor, values: [person, as?.until ?? null] }, ({ rows: [row] }) => {
      if (row === undefined)
        throw new ForbiddenError(undefined, 'this person is not an active member of the organization')
      const [epoch, permissions, projects, isPast] = row as [number, string[], Record<string, string[]>, boolean]
      if (isPast) throw new InvalidInputError('until', 'is in the past')
      const kept = as === undefined ? everything : isAllowedInName
      return makeActor({
        kind: 'user',
        id: person,
        orgId: ownerId(scope, 'org'),
        permissions: permissions.filter(kept),
        projects: Object.fromEntries(Object.entries(projects).map(([project, held]) => [project, held.filter(kept)])),
        epoch,
        impersonation: as,
      })
    })
  })
}

const memberActor = statement(
  `select a.auth_epoch, a.permissions, a.projects, coalesce($2::timestamptz <= statement_timestamp(), false)
   from platform.member_actor($1) a`,
  'read',
)

const everything = () => true

const neverImpersonated = new Set(
  [
    'api_keys',
    'members',
    'roles',
    'invitations',
    'subscriptions',
    'payment_methods',
    'tax_ids',
    'customer_profiles',
    'credits',
    'billing_events',
    'invoices',
    'organization',
  ].map((name) => `${name}:write`),
)

/**
 * Whether somebody who acts in a person's name has the permission: all but revealing secrets and changing keys, members, roles,
 * invitations, the organization and payments.
 */
const isAllowedInName = (permission: string): boolean =>
  !permission.endsWith(':reveal') && !neverImpersonated.has(permission)
