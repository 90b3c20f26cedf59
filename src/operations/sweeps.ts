import { nilId } from '../core/ids.js'
import { apiKeyWindows } from '../schema/api-keys.js'
import { idempotencyKeys } from '../schema/idempotency-keys.js'
import { organizationInvitations } from '../schema/invitations.js'
import { userSessions } from '../schema/sessions.js'
import { type Expired, type NextBatch, removing } from './remove-expired.js'
import { organizationsWithExpired, requeueIn } from './requeue-leases.js'
import { SealPass } from './seal-audit-log.js'
import { sweepSubscriptions } from './subscription-sweep.js'
import type { SystemWork } from './system-operation.js'

/** How many days rows are kept after their end, where they are kept. */
export interface Retention {
  readonly sessionDays: number
  readonly invitationDays: number
}

/** By kind, in the order of a pass. Workers wait for the leases, so they come first. */
export const sweeps = {
  /** Tasks whose worker is gone: queued again, or failed. */
  taskLeases: (work: SystemWork): NextBatch => requeueing(work),
  idempotencyKeys: (work: SystemWork): NextBatch => removing(work, expiredKeys, undefined),
  apiKeyWindows: (work: SystemWork): NextBatch => removing(work, pastWindows, undefined),
  /** Only those that nobody has answered: an answered one tells who let whom in. */
  invitations: (work: SystemWork, { invitationDays }: Retention): NextBatch =>
    removing(work, expiredInvitations, invitationDays),
  sessions: (work: SystemWork, { sessionDays }: Retention): NextBatch =>
    inTurn([removing(work, expiredSessions, sessionDays), removing(work, revokedSessions, sessionDays)]),
  /** Those without a payment provider. */
  subscriptions: (work: SystemWork): NextBatch => sweepSubscriptions(work),
  /** Last: an entry that cannot be sealed must not stop the others. */
  auditEntries: (work: SystemWork): NextBatch => sealing(work),
} satisfies Readonly<Record<string, (work: SystemWork, retention: Retention) => NextBatch>>

export type MaintenanceKind = keyof typeof sweeps

const keptSince = `statement_timestamp() - pg_catalog.make_interval(days => $2::int)`

const expiredKeys: Expired = {
  name: 'expired',
  table: idempotencyKeys,
  owner: '"org_id"',
  key: '"id"',
  when: '"expires_at" < statement_timestamp()',
  orderBy: '"expires_at"',
}

const pastWindows: Expired = {
  name: 'past hours',
  table: apiKeyWindows,
  owner: '"org_id"',
  key: '"api_key_id", "window_start"',
  // The hour that has begun, and the day before it.
  when: `"window_start" < statement_timestamp() - interval '25 hours'`,
  orderBy: '"window_start"',
}

const expiredInvitations: Expired = {
  name: 'expire',
  table: organizationInvitations,
  owner: '"org_id"',
  key: '"id"',
  when: `"accepted_at" is null and "declined_at" is null and "revoked_at" is null and "expires_at" < ${keptSince}`,
  // No index is ordered by `expires_at`. This one holds the unanswered invitations only; those not yet expired are read and skipped.
  orderBy: '"email"',
}

const expiredSessions: Expired = {
  name: 'expired',
  table: userSessions,
  owner: '"user_id"',
  key: '"id"',
  when: `"expires_at" < ${keptSince}`,
  orderBy: '"expires_at"',
}

const revokedSessions: Expired = {
  ...expiredSessions,
  name: 'revoked',
  // Those that were revoked first would have expired first, so a batch finds them at the beginning of the index.
  when: `"revoked_at" < ${keptSince}`,
}

/** Organization by organization: each change of tasks names the one that they belong to. */
function requeueing(work: SystemWork): NextBatch {
  const scope = work.scopeAbout(undefined)
  let organizations: readonly string[] = []
  let last = nilId
  return async (size) => {
    if (organizations.length === 0) organizations = await organizationsWithExpired(scope, last)
    const [id, ...others] = organizations
    if (id === undefined) return { rows: 0, isLast: true }
    const rows = await requeueIn(scope, id, size)
    if (rows < size) {
      last = id
      organizations = others
    }
    return { rows, isLast: false }
  }
}

/** Nothing where there are no keys: the command says so. */
function sealing(work: SystemWork): NextBatch {
  if (work.chainKeys === undefined) return () => Promise.resolve({ rows: 0, isLast: true })
  const pass = new SealPass(work, work.chainKeys)
  return async (size) => {
    const before = pass.entries
    await pass.next(size)
    const { entries, isComplete, hasWrongKey, notSealed } = pass
    return { rows: entries - before, isLast: isComplete || hasWrongKey, notSealed, hasWrongKey }
  }
}

/** One after the other, as if they were one. */
function inTurn(all: readonly NextBatch[]): NextBatch {
  let left = all
  return async (size) => {
    const [next, ...others] = left
    if (next === undefined) return { rows: 0, isLast: true }
    const { rows, isLast } = await next(size)
    if (isLast) left = others
    return { rows, isLast: isLast && others.length === 0 }
  }
}
