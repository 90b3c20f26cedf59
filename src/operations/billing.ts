import { z } from 'zod'
import { parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { parseInput } from '../core/values.js'
import { billingEvents, providerEvent, type ProviderEvent } from '../schema/billing-events.js'
import * as shape from '../schema/shared/shapes.js'
import { type Subscription, subscriptions } from '../schema/subscriptions.js'
import { lockBilling, receiveEvent, type ReceivedEvent } from './receive-event.js'
import { allRows, operate, type SystemWork } from './system-operation.js'

const received = z.strictObject({
  /** Its name, such as `stripe`: event ids are unique for each provider. */
  provider: shape.label(63),
  event: providerEvent,
  orgId: shape.uuid.optional(),
})

const link = z.strictObject({ customerId: shape.label(255).nullable() })

/** What a payment provider tells about organizations. Each call is recorded in `system_audit_logs`, except a link that changes nothing. */
export class Billing {
  constructor(private readonly work: SystemWork) {}

  /**
   * Notes an event of the provider and what it says of the subscription, an invoice or a payment method: all of it, or nothing. An event
   * that comes again changes nothing, and neither does one that is not newer than what is known. The organization is the one with the
   * customer of the event, or `orgId`. `{ ignored: true }` when no organization has that customer. Throws InvalidInputError for an event
   * more than a day in the future, and for an unknown plan. Throws ConflictError for an event of another customer than the organization's,
   * or where the link changes while the event is received, and for a newer event in another currency than its invoice has.
   */
  async receive(input: {
    readonly provider: string
    readonly event: ProviderEvent
    readonly orgId?: string | undefined
  }): Promise<ReceivedEvent> {
    return receiveEvent(this.work, parseInput(received, input))
  }

  /**
   * Links the organization to a customer of the provider; null unlinks it. A new link forgets the subscription of the previous customer.
   * The organization keeps its plan and status, and maintenance begins the next periods: call `org.subscription.changePlan` or `cancel`
   * where nobody pays for it. From then on a subscription of that customer is applied only where its event is newer than each earlier
   * one of the customer, whichever organization received it. Throws ConflictError when another organization is that customer.
   */
  async link(orgId: string, customer: { readonly customerId: string | null }): Promise<Subscription> {
    const about = { kind: 'org', id: parseId(orgId, 'orgId') } as const
    const { customerId } = parseInput(link, customer)
    const change = async (scope: Scope) => {
      const known = await lockBilling(scope)
      if (known.stripeCustomerId === customerId) return { linked: known, isNew: false }
      const providerUpdatedAt = customerId === null ? null : await lastHeardOf(scope, customerId)
      const managed = { stripeCustomerId: customerId, stripeSubscriptionId: null, providerUpdatedAt }
      const rows = new ScopedTable<Subscription>(scope, subscriptions)
      return { linked: await rows.updateRow(shape.noInput, known.id, {}, { managed, event: 'link' }), isNew: true }
    }
    const { linked } = await operate(this.work, 'billing.link', about, change, { isRecorded: ({ isNew }) => isNew })
    return linked
  }
}

/**
 * The time of the newest event with a subscription that this customer sent, to any organization. No index has the customer, so it reads
 * all events; a link is rare. Events from the future are left out: one would hide all others until then.
 */
function lastHeardOf(scope: Scope, customerId: string): Query<Date | null> {
  const rows = allRows(scope, billingEvents)
  const newest = ownStatement(
    rows.plan,
    Billing,
    'newest',
    false,
    ({ sql }) => `select max("provider_created_at") from ${sql}
      where "payload" ->> 'customerId' = $1::text and "payload" ? 'subscription' and "provider_created_at" <= statement_timestamp()`,
  )
  return rows.run(
    newest,
    () => [customerId],
    ({ rows: [row] }) => (typeof row?.[0] === 'string' ? new Date(row[0]) : null),
  )
}
