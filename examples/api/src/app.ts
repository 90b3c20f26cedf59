import { OpenAPIHono } from '@hono/zod-openapi'
import { HTTPException } from 'hono/http-exception'
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
  api.use('/organizations/:slug/*', inOrganization(tenancy))
  api.use('/projects/*', inActiveOrganization(tenancy))
  api.route('/', people())
  api.route('/organizations/:slug', organization())
  api.route('/organizations/:slug', work())
  api.route('/organizations/:slug', billing(tenancy))
  api.route('/projects', projects())

  const app = new OpenAPIHono()
  app.use(requestId())
  app.route('/api/platform', api)
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' })
  app.doc31('/openapi.json', { openapi: '3.1.0', info: { title: 'Platform', version: '1' } })
  app.route('/', apiPage('/openapi.json'))
  const answer = problems()
  app.onError((error, c) => answer(isMalformed(error) ? new InvalidInputError('', 'the body is not JSON') : error, c))
  app.notFound((c) => answer(new NotFoundError('route'), c))
  return app
}

/** Hono refuses a body that is not JSON with an error of its own. */
const isMalformed = (error: Error) => error instanceof HTTPException && error.status === 400
