import type { Context, MiddlewareHandler } from 'hono'
import {
  NoActiveOrganizationError,
  NotFoundError,
  type Org,
  readRequest,
  type Tenancy,
  UnauthorizedError,
} from 'tenantry'
import type { AnyoneEnv } from 'tenantry/hono'

export interface ApiEnv {
  Variables: AnyoneEnv['Variables'] & {
    /** The organization that the request is about. */
    organization: Org
  }
}

/** Refuses a request without a key and without a session. */
export const withCredentials: MiddlewareHandler<ApiEnv> = async (c, next) => {
  if (c.var.org === undefined && c.var.user === undefined) throw new UnauthorizedError()
  await next()
}

/** The organization whose slug is in the path. */
export function inOrganization(tenancy: Tenancy): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    c.set('organization', await openBySlug(tenancy, c, c.req.param('slug') ?? ''))
    await next()
  }
}

/** The organization of the key; for a person the one whose slug is in the header X-Organization, or else the session's. */
export function inActiveOrganization(tenancy: Tenancy): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const slug = c.req.header('x-organization')
    const organization = slug === undefined ? c.var.org : await openBySlug(tenancy, c, slug)
    if (organization === undefined) throw new NoActiveOrganizationError()
    c.set('organization', organization)
    await next()
  }
}

/** A key opens its own organization, a person those in which they are a member. Any other is not found, whether it is there or not. */
async function openBySlug(tenancy: Tenancy, c: Context<ApiEnv>, slug: string): Promise<Org> {
  const { org, user, requestId } = c.var
  const id =
    user === undefined
      ? await tenancy.organizations.findIdBySlug(slug)
      : (await user.organizations.list()).find((one) => one.slug === slug)?.id
  if (id !== undefined && id === org?.id) return org
  if (id === undefined || user === undefined) throw new NotFoundError('organizations')
  const actor = await tenancy.forOrg(id).actorFor(user.id)
  const { request } = readRequest(c.req.raw.headers, { id: requestId })
  return tenancy.forOrg(id, { actor, request, signal: c.req.raw.signal })
}
