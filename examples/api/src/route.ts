import { createRoute, OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { type InputFault, InvalidInputError } from 'tenantry'
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

type Verb = 'get' | 'post' | 'patch' | 'delete'
type Success<Method extends Verb> = Method extends 'post' ? 201 : 200

/** A POST answers 201, also where usage with the same key was recorded before. */
const successOf = <Method extends Verb>(method: Method) => (method === 'post' ? 201 : 200) as Success<Method>

/** A route that answers with JSON, and of it only the fields that `answer` names: a POST with 201, the others with 200. */
export const route = <
  Method extends Verb,
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
    middleware: [...(request?.body === undefined ? [] : [onlyJson]), onlyFieldsOf(answer)],
    // A misspelt parameter is refused, where a route takes none too.
    request: { query: z.strictObject({}), ...request } as Request extends undefined ? object : Request,
    responses: {
      ...answered(successOf(method), summary, answer),
      default: problem,
    },
  })

const answered = <Status extends number, Answer extends z.ZodType>(
  status: Status,
  description: string,
  schema: Answer,
) =>
  ({ [status]: { description, content: { 'application/json': { schema } } } }) as Record<
    Status,
    { readonly description: string; readonly content: { readonly 'application/json': { readonly schema: Answer } } }
  >

/** Otherwise Hono would check an empty object in place of the body. */
const onlyJson: MiddlewareHandler<ApiEnv> = async (c, next) => {
  if (!/^application\/(?:[\w.-]+\+)?json\b/i.test(c.req.header('content-type') ?? ''))
    throw new HTTPException(415, { message: 'the body has to be JSON, with Content-Type: application/json' })
  await next()
}

/** Rows have more columns than a client is to see, and may get further ones. */
function onlyFieldsOf(answer: z.ZodType): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    await next()
    if (c.error !== undefined || !c.res.ok) return
    c.res = c.json(answer.parse(await c.res.json()) as object, c.res.status as ContentfulStatusCode)
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
      throw new InvalidInputError(result.error.issues.flatMap(faultsOf).slice(0, mostFaults))
    },
  })

/** A body may have any number of fields that are not known. */
const mostFaults = 20

function faultsOf(issue: z.core.$ZodIssue): InputFault[] {
  if (issue.code !== 'unrecognized_keys') return [{ field: issue.path.join('.'), reason: issue.message }]
  return issue.keys.slice(0, mostFaults).map((key) => ({
    field: [...issue.path, key.slice(0, 60)].join('.'),
    reason: 'is not known here',
  }))
}
