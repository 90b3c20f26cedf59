import type { MiddlewareHandler } from 'hono'
import type { RequestIdVariables } from 'hono/request-id'
import { NotFoundError, type Org, readRequest, type Tenancy, UnauthorizedError } from 'tenantry'
import type { Auth } from './auth.js'
import { personOf } from './person.js'

export interface PersonEnv {
  Variables: RequestIdVariables & { userId: string }
}

export interface OrganizationEnv {
  Variables: PersonEnv['Variables'] & { org: Org }
}

/** Lets through whoever better-auth has signed in. `c.var.userId` is the id of their row in `users`. */
export function signedIn(tenancy: Tenancy, auth: Auth): MiddlewareHandler<PersonEnv> {
  return async (c, next) => {
    const session = await auth.api.getSession({ headers: c.req.raw.headers })
    if (session === null) throw new UnauthorizedError()
    c.set('userId', await personOf(tenancy, session.user))
    await next()
  }
}

/** Lets through members of the organization in the path. `c.var.org` is its scope, and the member is the actor. */
export function inOrganization(tenancy: Tenancy): MiddlewareHandler<OrganizationEnv> {
  return async (c, next) => {
    const orgId = await tenancy.organizations.findIdBySlug(c.req.param('slug') ?? '')
    if (orgId === undefined) throw new NotFoundError('organizations')
    // Reads the rights now, in each request. Throws ForbiddenError for somebody who is not an active member.
    const actor = await tenancy.forOrg(orgId).actorFor(c.var.userId)
    const { request } = readRequest(c.req.raw.headers, { id: c.var.requestId })
    c.set('org', tenancy.forOrg(orgId, { actor, request, signal: c.req.raw.signal }))
    await next()
  }
}
