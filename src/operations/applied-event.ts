import type { z } from 'zod'
import type { Scope } from '../core/scope.js'
import type { providerEvent } from '../schema/billing-events.js'
import type { Subscription } from '../schema/subscriptions.js'

/** An event of a payment provider, parsed. */
export type Event = z.output<typeof providerEvent>

/** An event, and the locked subscription of its organization. */
export interface Applying {
  readonly scope: Scope
  readonly provider: string
  readonly event: Event
  readonly subscription: Subscription
}

/** Whether the event is newer than what is known. */
export const isNewer = ({ createdAt }: Event, known: Date | null): boolean => known === null || createdAt > known
