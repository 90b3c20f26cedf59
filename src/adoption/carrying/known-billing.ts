import { billingPlans } from '../../schema/billing-plans.js'
import { customerProfiles, taxIds } from '../../schema/billing-profiles.js'
import { creditEntries, credits } from '../../schema/credits.js'
import { invoices } from '../../schema/invoices.js'
import { paymentMethods } from '../../schema/payment-methods.js'
import { subscriptions } from '../../schema/subscriptions.js'
import { usageMetrics } from '../../schema/usage.js'
import { instantOf, type KnownTable } from './known-table.js'

/** -1 stands for unlimited in the earlier platform, and null here. */
const limit = (column: string) => `nullif(s.${column}, -1)`

const periodStart = `coalesce(${instantOf('current_period_start')}, date_trunc('month', s.created_at))`
const periodEnd = `coalesce(${instantOf('current_period_end')}, ${periodStart} + interval '1 month')`

const currency = ['upper(s.currency)', `'USD'`]

/** Plans, and what organizations owe and pay. */
export const billingBefore: readonly KnownTable[] = [
  {
    from: 'billing_plans',
    to: billingPlans,
    values: {
      currency,
      limits: `(select coalesce(jsonb_object_agg(l.key, case when l.value = '-1' then 'null'::jsonb else l.value end), '{}')
        from jsonb_each(s.limits - array['max_projects', 'max_members']) l)`,
      max_projects: limit('max_projects'),
      max_members: limit('max_members'),
    },
  },
  {
    from: 'subscriptions',
    to: subscriptions,
    values: {
      org_id: 's.organization_id',
      status: `case s.status when 'unpaid' then 'past_due' else s.status end`,
      current_period_start: periodStart,
      current_period_end: periodEnd,
    },
  },
  {
    from: 'invoices',
    to: invoices,
    values: {
      org_id: 's.organization_id',
      number: [`case when s.invoice_number ~ '^[1-9][0-9]{0,8}$' then s.invoice_number::int end`, 's.number'],
      subscription_id: [],
      currency,
      subtotal: ['s.subtotal', 's.amount_due'],
      tax: ['s.tax', '0'],
      total: ['s.total', 's.amount_due'],
      // There it is the whole amount, here what is left to be paid.
      amount_due: ['coalesce(s.amount_remaining, s.amount_due - coalesce(s.amount_paid, 0))'],
      amount_paid: 'coalesce(s.amount_paid, 0)',
      period_start: instantOf('period_start'),
      period_end: instantOf('period_end'),
      due_at: [instantOf('due_date'), 's.due_at'],
      paid_at: instantOf('paid_at'),
      hosted_url: ['s.hosted_invoice_url', 's.hosted_url'],
      pdf_url: ['s.invoice_pdf', 's.pdf_url'],
    },
  },
  { from: 'payment_methods', to: paymentMethods, values: { org_id: 's.organization_id' } },
  {
    from: 'tax_ids',
    to: taxIds,
    where: { holds: `s.status <> 'deleted'`, otherwise: 'are deleted' },
    values: {
      org_id: 's.organization_id',
      status: `case when s.status = 'active' then 'unverified' else s.status end`,
    },
  },
  {
    from: 'customer_profiles',
    to: customerProfiles,
    values: {
      org_id: 's.organization_id',
      line1: ['s.line1', 's.address_line1'],
      line2: ['s.line2', 's.address_line2'],
    },
  },
  {
    from: 'credits',
    to: credits,
    values: { org_id: 's.organization_id', currency, reason: ['s.reason', 's.description'] },
  },
  {
    // The grant of each credit. What of it was spent, and for what, is not recorded in the earlier platform.
    from: 'credits',
    to: creditEntries,
    values: {
      org_id: 's.organization_id',
      credit_id: 's.id',
      kind: `'grant'`,
      amount: 's.amount',
      reference: [],
      created_by: [],
    },
  },
  {
    from: 'usage_metrics',
    to: usageMetrics,
    where: { holds: 's.organization_id is not null', otherwise: 'name no organization' },
    values: {
      org_id: 's.organization_id',
      updated_at: ['s.updated_at', 's.created_at'],
    },
  },
]
