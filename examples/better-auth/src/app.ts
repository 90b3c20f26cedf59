import { Hono } from 'hono'
import { csrf } from 'hono/csrf'
import { requestId } from 'hono/request-id'
import { validator } from 'hono/validator'
import type { Tenancy } from 'tenantry'
import { problems } from 'tenantry/hono'
import type { NewAgent, NewInvitation } from 'tenantry/schema'
import type { Auth } from './auth.js'
import { inOrganization, type OrganizationEnv, type PersonEnv, signedIn } from './scopes.js'

export interface Parts {
  readonly tenancy: Tenancy
  readonly auth: Auth
  /** Brings the token to the invited address, and to nobody else. */
  readonly sendInvitation: (email: string, token: string) => Promise<void> | void
}

export function createApp({ tenancy, auth, sendInvitation }: Parts) {
  // tenantry checks the fields of a body: what is wrong is answered with 400.
  const organization = new Hono<OrganizationEnv>()
    .use(inOrganization(tenancy))
    .get('/agents', async (c) => c.json(await c.var.org.agents.list({ after: c.req.query('after') })))
    .post(
      '/agents',
      validator('json', (body: NewAgent) => body),
      async (c) => c.json(await c.var.org.agents.create(c.req.valid('json')), 201),
    )
    .get('/members', async (c) => c.json(await c.var.org.members.list()))
    .delete('/members/:id', async (c) => {
      await c.var.org.members.remove(c.req.param('id'))
      return c.body(null, 204)
    })
    .post(
      '/invitations',
      validator('json', (body: NewInvitation) => body),
      async (c) => {
        const { invitation, token } = await c.var.org.invitations.create(c.req.valid('json'))
        await sendInvitation(invitation.email, token)
        return c.json(invitation, 201)
      },
    )

  const person = new Hono<PersonEnv>()
    .use(signedIn(tenancy, auth))
    .get('/organizations', async (c) => c.json(await tenancy.forUser(c.var.userId).organizations.list()))
    .post(
      '/organizations',
      validator('json', (body: { name: string; slug: string }) => body),
      async (c) => {
        const { name, slug } = c.req.valid('json')
        const { userId } = c.var
        const { organizations } = tenancy.system({ actor: `user ${userId}`, reason: 'a customer signed up' })
        const values = { name, slug, plan: 'tier_free', owner: { userId } }
        const { organization } = await organizations.provision({ key: `${userId} ${slug}`, ...values })
        return c.json(organization, 201)
      },
    )
    .post(
      '/invitations/accept',
      validator('json', (body: { token: string }) => body),
      async (c) => c.json(await tenancy.forUser(c.var.userId).invitations.accept(c.req.valid('json').token)),
    )
    .route('/organizations/:slug', organization)

  const app = new Hono()
    .use(requestId(), csrf())
    .on(['GET', 'POST'], '/api/auth/*', (c) => auth.handler(c.req.raw))
    .route('/', person)
  app.onError(problems())
  return app
}
