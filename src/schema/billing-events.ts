import { primaryKey, text, unique } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { createdAt, id, instant, orgId, platform } from './shared/columns.js'
import { tenantTable } from './shared/isolation.js'
import { json, type JsonObject } from './shared/json.js'
import { declareTable } from './shared/kinds.js'
import type { Row } from './shared/rows.js'
import * as shape from './shared/shapes.js'

/** An event of the payment provider, one row for each of its event ids. Only `processedAt` ever changes. */
export const billingEvents = platform.table(
  'billing_events',
  {
    orgId: orgId(),
    id: id(),
    provider: text('provider').notNull(),
    eventId: text('event_id').notNull(),
    type: text('type').notNull(),
    payload: json<JsonObject>('payload').notNull(),
    /** By the provider's clock: events arrive in any order. */
    providerCreatedAt: instant('provider_created_at'),
    receivedAt: instant('received_at').notNull().defaultNow(),
    processedAt: instant('processed_at'),
    createdAt: createdAt(),
  },
  (t) => [
    primaryKey({ name: 'billing_events_pkey', columns: [t.orgId, t.id] }),
    unique('billing_events_event_key').on(t.orgId, t.provider, t.eventId),
    ...tenantTable('billing_events', t),
  ],
)
declareTable(billingEvents, { kind: 'tenant', changes: ['processed_at'] })

export const newBillingEvent = z.strictObject({
  provider: shape.label(63),
  eventId: shape.label(255),
  type: shape.label(),
  payload: shape.jsonObject,
  providerCreatedAt: shape.instant.nullish(),
})

export interface BillingEvent extends Row<typeof billingEvents> {}
export interface NewBillingEvent extends z.input<typeof newBillingEvent> {}
