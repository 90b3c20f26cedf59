import { z } from '@hono/zod-openapi'
import { ForbiddenError, type User } from 'tenantry'
import { userPatch } from 'tenantry/schema'
import { body, group, route } from '../route.js'
import { MyOrganization, Profile } from '../shapes.js'

const tag = 'People'

/** What a person sees of themselves. A key is no person. */
export const people = () =>
  group()
    .openapi(route('get', { path: '/profile', tag, summary: 'Your profile' }, Profile), async (c) =>
      c.json(await person(c.var.user).profile.get(), 200),
    )
    .openapi(
      route('patch', { path: '/profile', tag, summary: 'Change your profile' }, Profile.omit({ lastSignInAt: true }), {
        body: body(userPatch),
      }),
      async (c) => c.json(await person(c.var.user).profile.update(c.req.valid('json')), 200),
    )
    .openapi(
      route('get', { path: '/organizations', tag, summary: 'Your organizations' }, z.array(MyOrganization)),
      async (c) => c.json(await person(c.var.user).organizations.list(), 200),
    )

function person(user: User | undefined): User {
  if (user === undefined) throw new ForbiddenError(undefined, 'a key is no person: use the token of a session')
  return user
}
