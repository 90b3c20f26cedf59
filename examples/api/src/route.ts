import { createRoute, OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { InvalidInputError } from 'tenantry'
import type { ApiEnv } from './scopes.js'

/** Answered for every error, in one place: `app.onError`. */
const Problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number(),
    detail: z.string().optional(),
    instance: z.string().optional(),
    code: z.string(),
    field: z.string().optional(),
    faults: z.array(z.object({ field: z.string(), reason: z.string() })).optional(),
    permission: z.string().optional(),
    retryAfter: z.number().optional(),
    limitName: z.string().optional(),
    limit: z.number().optional(),
    current: z.number().optional(),
  })
  .openapi('Problem')

const problem = { description: 'What is wrong', content: { 'application/problem+json': { schema: Problem } } }

interface Description<Path extends string> {
  readonly path: Path
  readonly tag: string
  readonly summary: string
}

/** A route that answers 200 with JSON, and of it only the fields that `answer` names. */
export const route = <
  Method extends 'get' | 'post' | 'patch' | 'delete',
  Path extends string,
  Answer extends z.ZodType,
  Request extends RouteConfig['request'] = undefined,
>(
  method: Method,
  { path, tag, summary }: Description<Path>,
  answer: Answer,
  request?: Request,
) =>
  createRoute({
    method,
    path,
    tags: [tag],
    summary,
    security: [{ bearer: [] }],
    middleware: onlyFieldsOf(answer),
    request: request as Request extends undefined ? object : Request,
    responses: {
      200: { description: summary, content: { 'application/json': { schema: answer } } },
      default: problem,
    },
  })

/** Rows have more columns than a client is to see, and may get further ones. */
function onlyFieldsOf(answer: z.ZodType): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    await next()
    if (c.error === undefined && c.res.ok) c.res = c.json(answer.parse(await c.res.json()) as object)
  }
}

export const body = <Schema extends z.ZodType>(schema: Schema) => ({
  content: { 'application/json': { schema } },
  required: true,
})

/** A group of routes. What does not fit its schema is answered as every other bad input is. */
export const group = () =>
  new OpenAPIHono<ApiEnv>({
    defaultHook: (result) => {
      if (result.success) return
      throw new InvalidInputError(
        result.error.issues.map(({ path, message }) => ({ field: path.join('.'), reason: message })),
      )
    },
  })
