import type { BillingPlan } from '../schema/billing-plans.js'
import type { Subscription } from '../schema/subscriptions.js'

type Interval = BillingPlan['interval']

/** The end of a period that begins at `start`: that day of a later month, in UTC, or the last day of the month where it is shorter. */
export function periodAfter(start: Date, interval: Interval, day: number): Date {
  const end = new Date(start)
  end.setUTCDate(1)
  end.setUTCMonth(end.getUTCMonth() + (interval === 'year' ? 12 : 1))
  end.setUTCDate(Math.min(day, daysInMonth(end)))
  return end
}

const daysInMonth = (date: Date): number =>
  new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()

/** What time does to a subscription without a provider. */
export type Lapsing = Pick<
  Subscription,
  | 'status'
  | 'currentPeriodStart'
  | 'currentPeriodEnd'
  | 'cancelAtPeriodEnd'
  | 'canceledAt'
  | 'trialEndsAt'
  | 'createdAt'
> & { readonly interval: Interval }

export interface Lapsed {
  readonly status: Subscription['status']
  readonly currentPeriodStart: Date
  readonly currentPeriodEnd: Date
}

/**
 * The subscription as it is at `now`: ended, or in the period of that moment. A trial that is over waits for its first payment, as
 * `incomplete`.
 */
export function lapsedAt(subscription: Lapsing, now: Date): Lapsed {
  const { interval, cancelAtPeriodEnd, canceledAt, trialEndsAt } = subscription
  let { status, currentPeriodStart, currentPeriodEnd } = subscription
  const day = firstDay(subscription)
  if (!cancelAtPeriodEnd && canceledAt !== null && canceledAt <= now) status = 'canceled'
  while (status !== 'canceled' && currentPeriodEnd <= now) {
    // One that was asked for after this end takes effect with a later period.
    if (cancelAtPeriodEnd && (canceledAt === null || canceledAt < currentPeriodEnd)) {
      status = 'canceled'
    } else {
      currentPeriodStart = currentPeriodEnd
      currentPeriodEnd = periodAfter(currentPeriodStart, interval, day)
    }
  }
  if (status === 'trialing' && trialEndsAt !== null && trialEndsAt <= now) status = 'incomplete'
  return { status, currentPeriodStart, currentPeriodEnd }
}

/** The day of the month on which periods begin. After a short month it is known from the day on which the subscription began. */
function firstDay({ currentPeriodStart, createdAt }: Lapsing): number {
  const [start, created] = [currentPeriodStart.getUTCDate(), createdAt.getUTCDate()]
  return start === Math.min(created, daysInMonth(currentPeriodStart)) ? created : start
}
