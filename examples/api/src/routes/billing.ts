import { z } from '@hono/zod-openapi'
import type { Tenancy } from 'tenantry'
import { newUsageEvent } from 'tenantry/schema'
import { body, group, route } from '../route.js'
import { InOrganization, Plan, Subscription, UsageEvent, UsageSummary } from '../shapes.js'

const tag = 'Billing'
const range = z.strictObject({
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
  by: z.enum(['metric', 'project', 'day', 'month']).optional(),
})

/** What the organization uses, its plan, and the plans that there are. */
export const billing = (tenancy: Tenancy) =>
  group()
    .openapi(
      route('get', { path: '/usage', tag, summary: 'What was used, by default in this period' }, UsageSummary, {
        params: InOrganization,
        query: range,
      }),
      async (c) => c.json(await c.var.organization.usage.summary(c.req.valid('query')), 200),
    )
    .openapi(
      route('post', { path: '/usage', tag, summary: 'Record usage, once for each key' }, UsageEvent, {
        params: InOrganization,
        body: body(newUsageEvent),
      }),
      async (c) => c.json(await c.var.organization.usage.record(c.req.valid('json')), 201),
    )
    .openapi(
      route('get', { path: '/billing/subscription', tag, summary: 'The plan of the organization' }, Subscription, {
        params: InOrganization,
      }),
      async (c) => c.json(await c.var.organization.subscription.get(), 200),
    )
    .openapi(
      route('get', { path: '/billing/plans', tag, summary: 'The plans that there are' }, z.array(Plan), {
        params: InOrganization,
      }),
      async (c) => c.json(await tenancy.plans.list(), 200),
    )
