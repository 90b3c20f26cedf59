import { billingBefore } from './known-billing.js'
import { peopleBefore, recordsBefore } from './known-people.js'
import { projectsBefore } from './known-projects.js'
import type { KnownTable } from './known-table.js'

/** The tables of an earlier platform that have a place in tenantry, each behind those to which it refers. */
export const knownTables: readonly KnownTable[] = [
  ...peopleBefore,
  ...billingBefore,
  ...projectsBefore,
  ...recordsBefore,
]

/** Known tables of which the rows stay where they are, and why. */
export const staying: Readonly<Record<string, string>> = {
  user_sessions: 'their tokens are of another form: people sign in again',
  api_keys: 'their hashes are of another form: make new keys with tenantry key create',
  organization_invitations: 'the links of the invitations are of another form: invite again',
}
