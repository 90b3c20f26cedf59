import { z } from '@hono/zod-openapi'

const moment = z.iso.datetime()
const id = z.uuid()

export const InOrganization = z.object({ slug: z.string().openapi({ example: 'lancio' }) })
export const InProject = z.object({ ref: z.string().openapi({ example: 'default' }) })
export const WithId = InOrganization.extend({ id })
/** Which organization a person means, where the path does not say it. A key has its own. */
export const Chosen = z.object({ 'x-organization': z.string().optional().openapi({ description: 'The slug' }) })

/** The cursor of the page, from `next` or `previous` of another one. */
export const PageOf = z.strictObject({
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

export const Invitation = z
  .object({
    id,
    email: z.string(),
    role: z.string(),
    expiresAt: moment,
    acceptedAt: moment.nullable(),
    declinedAt: moment.nullable(),
    revokedAt: moment.nullable(),
  })
  .openapi('Invitation')

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

export const Project = z
  .object({ id, name: z.string(), slug: z.string(), ref: z.string(), status: z.string(), createdAt: moment })
  .openapi('Project')

/** Money and quantities are exact decimals as text. */
const decimal = z.string().openapi({ example: '12.50' })

export const AddonBill = z
  .object({
    items: z
      .array(
        z.object({
          addonId: z.string(),
          addonVariant: z.string().nullable(),
          quantity: z.number(),
          pricePerUnit: decimal.nullable(),
          amount: decimal.nullable(),
          currency: z.string(),
          status: z.string(),
        }),
      )
      .readonly(),
    totals: z.array(z.object({ currency: z.string(), amount: decimal })).readonly(),
  })
  .openapi('AddonBill')

const measured = z.object({
  min: z.number().nullable(),
  max: z.number().nullable(),
  avg: z.number().nullable(),
  last: z.number().nullable(),
})

export const MetricBucket = z
  .object({ at: moment, count: z.number(), cpuUsage: measured.optional(), memoryUsage: measured.optional() })
  .openapi('MetricBucket')

export const UsageSummary = z
  .object({
    from: moment,
    to: moment,
    totals: z
      .array(
        z.object({
          metric: z.string(),
          quantity: decimal,
          projectId: id.nullable().optional(),
          start: moment.optional(),
          limit: z.number().nullable().optional(),
        }),
      )
      .readonly(),
  })
  .openapi('UsageSummary')

export const UsageEvent = z
  .object({ id, metricType: z.string(), quantity: decimal, projectId: id.nullable(), occurredAt: moment })
  .openapi('UsageEvent')

export const Subscription = z
  .object({
    planId: z.string(),
    planName: z.string(),
    status: z.string(),
    currentPeriodStart: moment,
    currentPeriodEnd: moment,
    cancelAtPeriodEnd: z.boolean(),
  })
  .openapi('Subscription')

export const Plan = z
  .object({
    id: z.string(),
    name: z.string(),
    price: decimal,
    currency: z.string(),
    interval: z.string(),
    features: z.array(z.string()),
    maxProjects: z.number().nullable(),
    maxMembers: z.number().nullable(),
  })
  .openapi('Plan')
