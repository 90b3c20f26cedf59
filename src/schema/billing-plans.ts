import { boolean, check, index, integer, text } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { currency, literal, money, numberCheck, platform, state, stateCheck, timestamps } from './shared/columns.js'
import { json } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

export const billingIntervals = ['month', 'year'] as const

/** Limits by metric: null is unlimited, 0 allows none. */
export type PlanLimits = Record<string, number | null>

/** A plan that an organization can subscribe to. The limits of projects and members are columns, all others are in `limits`. */
export const billingPlans = platform.table(
  'billing_plans',
  {
    id: text('id').primaryKey(),
    name: text('name').notNull(),
    description: text('description'),
    price: money('price').notNull(),
    currency: currency().notNull(),
    interval: state('interval', billingIntervals).notNull(),
    features: json<string[]>('features').notNull().default([]),
    limits: json<PlanLimits>('limits').notNull().default({}),
    maxProjects: integer('max_projects'),
    maxMembers: integer('max_members'),
    active: boolean('active').notNull().default(true),
    sortOrder: integer('sort_order').notNull().default(0),
    ...timestamps(),
  },
  (t) => [
    index('billing_plans_active_idx').on(t.active, t.sortOrder),
    numberCheck('billing_plans_price_check', 'price'),
    stateCheck('billing_plans_interval_check', 'interval', billingIntervals),
    check('billing_plans_limits_check', literal(`not (limits ?| array['max_projects','max_members'])`)),
  ],
)
declareTable(billingPlans, { kind: 'catalog' })

const limitKey = shape.key.refine((key) => key !== 'max_projects' && key !== 'max_members', 'has a column of its own')
const limits = z
  .record(limitKey, shape.int(0, Number.MAX_SAFE_INTEGER).nullable())
  .refine((values) => Object.keys(values).length <= 200, 'has more than 200 limits')

export const newBillingPlan = z.strictObject({
  id: shape.key,
  name: shape.label(),
  description: shape.text(1000).nullish(),
  price: shape.money,
  currency: shape.currency,
  interval: z.enum(billingIntervals),
  features: z.array(shape.label()).max(200).optional(),
  limits: limits.optional(),
  maxProjects: shape.int(0, shape.maxInt).nullish(),
  maxMembers: shape.int(0, shape.maxInt).nullish(),
  active: z.boolean().optional(),
  sortOrder: shape.int(-shape.maxInt, shape.maxInt).optional(),
})
export const billingPlanPatch = newBillingPlan.omit({ id: true }).partial()

export interface BillingPlan extends Row<typeof billingPlans> {}
export interface NewBillingPlan extends z.input<typeof newBillingPlan> {}
export interface BillingPlanPatch extends z.input<typeof billingPlanPatch> {}
