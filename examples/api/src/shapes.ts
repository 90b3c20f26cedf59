import { z } from '@hono/zod-openapi'

const moment = z.iso.datetime()
const id = z.uuid()

export const InOrganization = z.object({ slug: z.string().openapi({ example: 'lancio' }) })
export const InProject = z.object({ ref: z.string().openapi({ example: 'default' }) })
export const WithId = InOrganization.extend({ id })
/** Which organization a person means, where the path does not say it. A key has its own. */
export const Chosen = z.object({ 'x-organization': z.string().optional().openapi({ description: 'The slug' }) })

/** The cursor of the page, from `next` or `previous` of another one. */
export const PageOf = z.object({
  limit: z.coerce.number().int().min(1).max(1000).optional(),
  after: z.string().optional(),
  before: z.string().optional(),
})

export const page = <Item extends z.ZodType>(item: Item) =>
  z.object({ items: z.array(item), next: z.string().optional(), previous: z.string().optional() })

export const Profile = z
  .object({
    id,
    email: z.string(),
    username: z.string().nullable(),
    firstName: z.string().nullable(),
    lastName: z.string().nullable(),
    lastSignInAt: moment.nullable(),
  })
  .openapi('Profile')

export const MyOrganization = z
  .object({ id, slug: z.string(), name: z.string(), role: z.string(), status: z.string() })
  .openapi('MyOrganization')

export const Organization = z
  .object({ id, name: z.string(), slug: z.string(), status: z.string(), createdAt: moment })
  .openapi('Organization')

export const Member = z
  .object({ id, userId: id, kind: z.string(), email: z.string(), role: z.string(), status: z.string() })
  .openapi('Member')

export const Invitation = z.object({ id, email: z.string(), role: z.string(), expiresAt: moment }).openapi('Invitation')

/** The token is shown this once. */
export const SentInvitation = z.object({ invitation: Invitation, token: z.string() }).openapi('SentInvitation')

export const ApiKey = z
  .object({
    id,
    name: z.string(),
    keyPrefix: z.string(),
    lastFour: z.string(),
    scopes: z.array(z.string()),
    status: z.string(),
  })
  .openapi('ApiKey')

/** The token is shown this once. */
export const CreatedApiKey = z.object({ apiKey: ApiKey, token: z.string() }).openapi('CreatedApiKey')

export const AuditEntry = z
  .object({
    id,
    actorKind: z.string(),
    actorId: id.nullable(),
    eventType: z.string(),
    resourceType: z.string().nullable(),
    resourceId: z.string().nullable(),
    requestId: z.string().nullable(),
    createdAt: moment,
  })
  .openapi('AuditEntry')

export const Agent = z
  .object({ id, name: z.string(), username: z.string(), status: z.string(), revision: z.number(), createdAt: moment })
  .openapi('Agent')

export const Workflow = z
  .object({ id, name: z.string(), slug: z.string(), status: z.string(), revision: z.number() })
  .openapi('Workflow')

export const Task = z
  .object({ id, kind: z.string(), status: z.string(), priority: z.number(), attempt: z.number(), runAt: moment })
  .openapi('Task')

export const Schedule = z
  .object({
    id,
    workflowId: id,
    name: z.string(),
    cron: z.string(),
    timezone: z.string(),
    nextRunAt: moment.nullable(),
  })
  .openapi('Schedule')
