import { databaseTime } from '../core/database-time.js'
import { ConflictError, InvalidInputError, NotFoundError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { planOfAllOwners, type TablePlan } from '../core/statements/table-plan.js'
import { systemAuditLogs } from '../schema/audit-logs.js'
import { type BillingEvent, billingEvents, newBillingEvent } from '../schema/billing-events.js'
import { organizations } from '../schema/organizations.js'
import type { JsonObject } from '../schema/shared/json.js'
import { type Subscription, subscriptions } from '../schema/subscriptions.js'
import type { Applying, Event } from './applied-event.js'
import { receiveInvoice } from './receive-invoice.js'
import { receivePaymentMethod } from './receive-payment-method.js'
import { receiveSubscription } from './receive-subscription.js'
import { allRows, operate, type SystemWork } from './system-operation.js'

export type ReceivedPart = 'subscription' | 'invoice' | 'paymentMethod'

/** What became of an event. */
export type ReceivedEvent =
  /** No organization is linked to the customer of the event. Nothing is kept of it. */
  | { readonly ignored: true }
  | {
      readonly ignored: false
      readonly orgId: string
      /** False for an event that came before, to this organization or to the one that its customer was linked to then. */
      readonly isNew: boolean
      /** What was changed. Empty when later or equally old events had come before. */
      readonly applied: readonly ReceivedPart[]
    }

interface Received {
  readonly provider: string
  readonly event: Event
  readonly orgId?: string | undefined
}

const day = 24 * 3_600_000

export async function receiveEvent(work: SystemWork, received: Received): Promise<ReceivedEvent> {
  const { provider, event } = received
  const orgId = await organizationOf(work, received)
  const told = { provider, eventId: event.id, type: event.type }
  if (orgId === undefined) {
    const ignored = () => Promise.resolve({ ignored: true } as const)
    return operate(work, 'billing.receive', undefined, ignored, { metadata: () => ({ ...told, ignored: true }) })
  }
  const apply = async (scope: Scope): Promise<ReceivedEvent & { readonly ignored: false }> => {
    const subscription = await lockBilling(scope)
    await assertOwnCustomer(scope, received, subscription)
    const now = await databaseTime(scope)
    if (event.createdAt.getTime() - now.getTime() > day)
      throw new InvalidInputError('event.createdAt', 'is more than a day in the future')
    if ((await cameBeforeLink(scope, received, subscription)) || !(await keep(scope, received, now)))
      return { ignored: false, orgId, isNew: false, applied: [] }
    const applied = await applyParts({ scope, provider, event, subscription })
    return { ignored: false, orgId, isNew: true, applied }
  }
  return operate(work, 'billing.receive', { kind: 'org', id: orgId }, apply, {
    metadata: ({ isNew, applied }) => ({ ...told, isNew, applied: [...applied] }),
  })
}

/** The given organization, or the one with the customer of the event. */
async function organizationOf(work: SystemWork, { event, orgId }: Received): Promise<string | undefined> {
  if (orgId !== undefined) return orgId
  return (await linkedTo(work.scopeAbout(undefined), event.customerId))?.orgId
}

async function linkedTo(scope: Scope, customerId: string | null | undefined): Promise<Subscription | undefined> {
  if (customerId === undefined || customerId === null) return undefined
  return allRows<Subscription>(scope, subscriptions).findRow({ stripeCustomerId: customerId })
}

/** Throws ConflictError for an event of another customer than the organization is, or of one that another organization is. */
async function assertOwnCustomer(scope: Scope, { event, orgId }: Received, known: Subscription): Promise<void> {
  const { customerId } = event
  if (customerId === undefined || customerId === null || customerId === known.stripeCustomerId) return
  if (orgId === undefined)
    throw customerError('was unlinked, or linked to another organization, meanwhile; receive the event again')
  if (known.stripeCustomerId !== null) throw customerError('is not the one that the given organization is linked to')
  if ((await linkedTo(scope, customerId)) !== undefined)
    throw customerError('is linked to another organization than the given one')
}

const customerError = (fault: string) =>
  new ConflictError('subscriptions', ['stripeCustomerId'], `subscriptions: the customer of this event ${fault}`)

/**
 * Locks the organization and then its subscription, so that its events are applied one after the other. Suspended and deleted
 * organizations too. Throws NotFoundError.
 */
export async function lockBilling(scope: Scope): Promise<Subscription> {
  const organization = new ScopedTable(scope, organizations)
  const lock = ownStatement(organization.plan, lockBilling, 'lock', false, locked)
  await organization.run(
    lock,
    () => [],
    ({ rowCount }) => {
      if (rowCount === 0) throw new NotFoundError('organizations')
    },
  )
  const rows = new ScopedTable<Subscription>(scope, subscriptions)
  const [subscription] = await rows.runRows(ownStatement(rows.plan, lockBilling, 'lock', false, locked), () => [])
  if (subscription === undefined) throw new NotFoundError('subscriptions')
  return subscription
}

const locked = ({ sql, selected, owned }: TablePlan) =>
  `select ${selected} from ${sql} where ${owned} for no key update`

/**
 * Whether the event came before, to any organization that its customer was linked to. Asked only for events from before the present link:
 * each index of events begins with the organization, so the statement searches once for each organization.
 */
async function cameBeforeLink(scope: Scope, { provider, event }: Received, known: Subscription): Promise<boolean> {
  const { id, customerId, createdAt } = event
  if (typeof customerId !== 'string' || customerId !== known.stripeCustomerId) return false
  const rows = allRows<Subscription>(scope, subscriptions)
  const earlier = ownStatement(rows.plan, receiveEvent, 'earlier', false, ({ sql }) => {
    const [events, entries] = [planOfAllOwners(billingEvents).sql, planOfAllOwners(systemAuditLogs).sql]
    // With `limit` in the subquery the planner cannot choose to read all events.
    return `select from ${sql} s cross join lateral (
        select from ${events} where "org_id" = s."org_id" and "provider" = $1::text and "event_id" = $2::text
          and "payload" ->> 'customerId' = $3::text limit 1) e
      where $4::timestamptz < (
        select max("created_at") from ${entries} where "target_org_id" = $5::uuid and "operation" = 'billing.link'
      ) limit 1`
  })
  const found: Query<boolean> = rows.run(
    earlier,
    () => [provider, id, customerId, createdAt.toISOString(), known.orgId],
    ({ rowCount }) => rowCount > 0,
  )
  return found
}

/** Keeps the event. Returns false for one that is there already. */
async function keep(scope: Scope, { provider, event }: Received, processedAt: Date): Promise<boolean> {
  const id = newId()
  const values = {
    provider,
    eventId: event.id,
    type: event.type,
    payload: payloadOf(event),
    providerCreatedAt: event.createdAt,
  }
  const managed = { id, processedAt }
  const options = { managed, existing: 'billing_events_event_key' }
  const kept = await new ScopedTable<BillingEvent>(scope, billingEvents).insertRow(newBillingEvent, values, options)
  return kept.id === id
}

/** Without the digits and the expiry of a card: they are personal, and only its row has them. */
function payloadOf({ paymentMethod, ...event }: Event): JsonObject {
  const personal = new Set(['cardLast4', 'cardExpMonth', 'cardExpYear'])
  const kept = Object.entries(paymentMethod ?? {}).filter(([name]) => !personal.has(name))
  const payload = paymentMethod === undefined ? event : { ...event, paymentMethod: Object.fromEntries(kept) }
  return JSON.parse(JSON.stringify(payload)) as JsonObject
}

async function applyParts(applying: Applying): Promise<ReceivedPart[]> {
  const { subscription, invoice, paymentMethod } = applying.event
  const parts: [ReceivedPart, (() => Promise<boolean>) | undefined][] = [
    ['subscription', subscription && (() => receiveSubscription(applying, subscription))],
    ['invoice', invoice && (() => receiveInvoice(applying, invoice))],
    ['paymentMethod', paymentMethod && (() => receivePaymentMethod(applying, paymentMethod))],
  ]
  const applied: ReceivedPart[] = []
  for (const [part, apply] of parts) if ((await apply?.()) === true) applied.push(part)
  return applied
}
