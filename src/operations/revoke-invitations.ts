import type { Query } from '../core/query.js'
import type { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { type Invitation, isUnsettled } from '../schema/invitations.js'

/** In a table of one organization; by inviter in one of every organization. */
const conditions = {
  'of the organization': 'true',
  'to an address': '"email" = $2::text',
  'of an inviter': '"invited_by" = $1::uuid',
} as const

/** Revokes the invitations that are not settled, and returns how many. */
export function revokeInvitations(
  rows: ScopedTable<Invitation>,
  which: keyof typeof conditions,
  ...values: readonly string[]
): Query<number> {
  const revoke = ownStatement(rows.plan, revokeInvitations, `revoke ${which}`, true, ({ sql, visible, resource }) => ({
    verb: 'update',
    ctes: [],
    head: `update ${sql} set "revoked_at" = now(), "updated_at" = statement_timestamp()`,
    where: `${visible} and ${conditions[which]} and ${isUnsettled(resource)}`,
    returning: '',
  }))
  return rows.run(
    revoke,
    () => values,
    ({ rowCount }) => rowCount,
  )
}
