import type { Query } from '../core/query.js'
import type { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { type Invitation, isUnsettled } from '../schema/invitations.js'

export interface UnsettledInvitation {
  readonly id: string
  readonly role: string
  readonly isPending: boolean
}

/** Locks the invitation to that address which is not settled. It may have expired. */
export function findUnsettled(rows: ScopedTable<Invitation>, email: string): Query<UnsettledInvitation | undefined> {
  const unsettled = ownStatement(
    rows.plan,
    findUnsettled,
    'unsettled',
    false,
    ({ sql, visible, resource }) =>
      `select "id", "role", "expires_at" > statement_timestamp() from ${sql}
       where ${visible} and "email" = $2::text and ${isUnsettled(resource)} for no key update`,
  )
  return rows.run(
    unsettled,
    () => [email],
    ({ rows: [row] }) => {
      if (row === undefined) return undefined
      const [id, role, isPending] = row as [string, string, boolean]
      return { id, role, isPending }
    },
  )
}
