import { billingPlans } from '../../schema/billing-plans.js'
import { customerProfiles, taxIds } from '../../schema/billing-profiles.js'
import { creditEntries, credits } from '../../schema/credits.js'
import { invoices } from '../../schema/invoices.js'
import { paymentMethods } from '../../schema/payment-methods.js'
import { subscriptions } from '../../schema/subscriptions.js'
import { usageMetrics } from '../../schema/usage.js'
import type { KnownTable } from './known-table.js'

/** -1 stands for unlimited in the earlier platform, and null here. A limit may stand in a column of its own, or among the others. */
const limit = (column: string): string[] => [
  `nullif(coalesce(s.${column}, (s.limits ->> '${column}')::int), -1)`,
  `nullif(s.${column}, -1)`,
  `nullif((s.limits ->> '${column}')::int, -1)`,
]

const periodStart = `coalesce({instant s.current_period_start}, date_trunc('month', s.created_at))`
const periodEnd = `coalesce({instant s.current_period_end}, ${periodStart} + interval '1 month')`

const currency = ['upper(s.currency)', `'USD'`]

/** A text is kept where it is a plain number. */
const numberIn = (column: string) =>
  `case when ${column}::text collate "C" ~ '^[1-9][0-9]{0,8}$' then ${column}::text::int end`

const isSettled = `s.status::text in ('paid', 'void')`

const isKnownCredit = `s.status::text in ('active', 'consumed', 'expired', 'void', 'voided', 'canceled', 'cancelled')`

/** What is left of a credit: nothing of one that is consumed. */
const remaining = `case when s.status::text = 'consumed' then 0 else s.remaining end`

/** Plans, and what organizations owe and pay. */
export const billingBefore: readonly KnownTable[] = [
  {
    from: 'billing_plans',
    to: billingPlans,
    conditions: [
      { holds: 's.price >= 0', otherwise: 'have a negative price', isFault: true },
      ...['max_projects', 'max_members'].map((column) => ({
        holds: `coalesce(s.${column}, 0) >= -1`,
        otherwise: `have a negative ${column} other than -1`,
        isFault: true,
      })),
    ],
    values: {
      currency,
      limits: `(select coalesce(jsonb_object_agg(l.key, case when l.value = '-1' then 'null'::jsonb else l.value end), '{}')
        from jsonb_each(s.limits::jsonb - array['max_projects', 'max_members']) l)`,
      max_projects: limit('max_projects'),
      max_members: limit('max_members'),
    },
  },
  {
    from: 'subscriptions',
    to: subscriptions,
    values: {
      org_id: 's.organization_id',
      status: `case s.status::text when 'unpaid' then 'past_due' else s.status::text end`,
      current_period_start: periodStart,
      current_period_end: periodEnd,
      next_invoice_number: [],
    },
  },
  {
    from: 'invoices',
    to: invoices,
    values: {
      org_id: 's.organization_id',
      subscription_id: ['(select b.id from {schema}.subscriptions b where b.id = s.subscription_id)'],
      number: [numberIn('s.invoice_number'), numberIn('s.number')],
      currency,
      subtotal: ['s.subtotal', 's.amount_due'],
      tax: ['s.tax', '0'],
      total: ['s.total', 's.amount_due'],
      // There it is the whole amount, here what is left to be paid.
      amount_due: [
        `case when ${isSettled} then 0 else coalesce(s.amount_remaining, s.amount_due - coalesce(s.amount_paid, 0)) end`,
        `case when ${isSettled} then 0 else s.amount_due - coalesce(s.amount_paid, 0) end`,
        `case when ${isSettled} then 0 else s.amount_due end`,
      ],
      amount_paid: ['coalesce(s.amount_paid, 0)', '0'],
      due_at: ['{instant s.due_date}', '{instant s.due_at}'],
      finalized_at: ['{instant s.finalized_at}', `case when s.status::text <> 'draft' then s.created_at end`],
      hosted_url: ['s.hosted_invoice_url', 's.hosted_url'],
      pdf_url: ['s.invoice_pdf', 's.pdf_url'],
    },
  },
  { from: 'payment_methods', to: paymentMethods, values: { org_id: 's.organization_id' } },
  {
    from: 'tax_ids',
    to: taxIds,
    conditions: [{ holds: `s.status::text is distinct from 'deleted'`, otherwise: 'are deleted' }],
    values: {
      org_id: 's.organization_id',
      status: `case when s.status is null or s.status::text = 'active' then 'unverified' else s.status::text end`,
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
    conditions: [
      {
        holds: isKnownCredit,
        otherwise: 'have a status that tenantry does not know',
        isFault: true,
      },
    ],
    values: {
      org_id: 's.organization_id',
      currency,
      remaining,
      // Where nobody recorded when it expired, it has expired by now.
      expires_at: [
        `coalesce({instant s.expires_at}, case when s.status::text = 'expired' then coalesce(s.updated_at, s.created_at, 'epoch') end)`,
        '{instant s.expires_at}',
        `case when s.status::text = 'expired' then coalesce(s.updated_at, s.created_at, 'epoch') end`,
      ],
      reason: ['s.reason', 's.description'],
      voided_at: [
        's.voided_at',
        `case when s.status::text in ('void', 'voided', 'canceled', 'cancelled') then coalesce(s.updated_at, s.created_at, 'epoch') end`,
      ],
    },
  },
  {
    from: 'credits',
    to: creditEntries,
    conditions: [{ holds: isKnownCredit }],
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
    // What was spent of it, in one entry: for what is not recorded in the earlier platform.
    from: 'credits',
    to: creditEntries,
    conditions: [{ holds: isKnownCredit }, { holds: `${remaining} < s.amount` }],
    values: {
      org_id: 's.organization_id',
      id: `md5('spent of ' || s.id)::uuid`,
      credit_id: 's.id',
      kind: `'spend'`,
      amount: `s.amount - ${remaining}`,
      reference: [],
      created_by: [],
    },
  },
  {
    from: 'usage_metrics',
    to: usageMetrics,
    conditions: [
      { holds: 's.organization_id is not null', otherwise: 'name no organization' },
      {
        holds: `s.period_start = date_trunc('day', s.period_start, 'UTC') and s.period_end = s.period_start + interval '24 hours'`,
        otherwise: 'are not about one day of UTC, as tenantry counts usage',
        isFault: true,
      },
    ],
    values: { org_id: 's.organization_id', updated_at: ['s.updated_at', 's.created_at'] },
  },
]
