import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { HTTPException } from 'hono/http-exception'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { requestId } from 'hono/request-id'
import { InvalidInputError, NotFoundError, type Tenancy } from 'tenantry'
import { anyone, problems } from 'tenantry/hono'
import { apiPage } from './api-page.js'
import { billing } from './routes/billing.js'
import { organization } from './routes/organization.js'
import { people } from './routes/people.js'
import { projects } from './routes/projects.js'
import { work } from './routes/work.js'
import { type ApiEnv, inActiveOrganization, inOrganization, withCredentials } from './scopes.js'

/** Everything under /api/platform needs a key or a session. The page that describes it is public. */
export function createApp(tenancy: Tenancy) {
  const api = new OpenAPIHono<ApiEnv>()
  api.use(anyone(tenancy), withCredentials)
  api.use(bodyLimit({ maxSize: mostBytes, onError: tooLarge }))
  api.use('/organizations/:slug/*', inOrganization(tenancy))
  api.use('/projects/*', inActiveOrganization(tenancy))
  api.route('/', people())
  api.route('/organizations/:slug', organization())
  api.route('/organizations/:slug', work())
  api.route('/organizations/:slug', billing(tenancy))
  api.route('/projects', projects())

  const app = new OpenAPIHono()
  app.use(requestId())
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed(c, methods) {
        c.header('Allow', methods.join(', '))
        return refusal(c, 405, `this path takes ${methods.join(', ')}`)
      },
    }),
  )
  app.route('/api/platform', api)
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' })
  app.doc31('/openapi.json', { openapi: '3.1.0', info: { title: 'Platform', version: '1' } })
  app.route('/', apiPage('/openapi.json'))
  const answer = problems()
  app.onError((error, c) => {
    if (!(error instanceof HTTPException)) return answer(error, c)
    // Hono refuses a body that is not JSON with an error of its own.
    if (error.status === 400) return answer(new InvalidInputError('', 'the body is not JSON'), c)
    return error.status === 415 ? refusal(c, 415, error.message) : answer(error, c)
  })
  app.notFound((c) => answer(new NotFoundError('route'), c))
  return app
}

const mostBytes = 1024 * 1024

function tooLarge(c: Context): Response {
  // The rest of the body is not read, so that the connection cannot be used again.
  c.header('Connection', 'close')
  return refusal(c, 413, 'the body is larger than 1 MB')
}

const refusals = {
  405: { code: 'method_not_allowed', title: 'Method Not Allowed' },
  413: { code: 'content_too_large', title: 'Content Too Large' },
  415: { code: 'unsupported_media_type', title: 'Unsupported Media Type' },
} as const

/** A problem of HTTP itself, which is none of the library's errors. */
function refusal(c: Context, status: keyof typeof refusals, detail: string): Response {
  c.header('Content-Type', 'application/problem+json')
  return c.body(JSON.stringify({ type: 'about:blank', status, ...refusals[status], detail }), status)
}
