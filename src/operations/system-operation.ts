import type { Owner } from '../core/executor.js'
import type { ChainKeys, Scope } from '../core/scope.js'
import type { SharedReads } from '../core/shared-reads.js'
import type { DataKeys } from '../core/sealing.js'
import { ScopedTable } from '../core/scoped-table.js'
import { planOfAllOwners } from '../core/statements/table-plan.js'
import { type SystemAuditEntry, systemAuditLogs } from '../schema/audit-logs.js'
import type { PgTable } from 'drizzle-orm/pg-core'
import type { JsonObject } from '../schema/shared/json.js'
import * as shape from '../schema/shared/shapes.js'

/** Who works across organizations, and why. Both are recorded with each operation. */
export interface SystemOptions {
  readonly actor: string
  readonly reason: string
}

/** What operations of the system work with. */
export interface SystemWork {
  readonly operator: SystemOptions
  /** A scope of the system's login. Its statements name the owner in their predicates. */
  readonly scopeAbout: (owner: Owner | undefined) => Scope
  /** Every table that this build declares, the host's too. A function: tables refer to each other, and JSON cannot be written of them. */
  readonly tables: () => readonly PgTable[]
  /** The shared reads of feature flags in this process. Undefined where there are none. */
  readonly flags: Pick<SharedReads<unknown>, 'forgetAll'> | undefined
  readonly dataKeys: DataKeys
  /** Undefined where a command was given no master keys: it then seals nothing. */
  readonly chainKeys: ChainKeys | undefined
  /** Whether the host gave a KeyProvider, which wraps the data keys in place of the keyring. */
  readonly hasKeyProvider: boolean
}

/** What the entry of an operation says beside the operator. */
export interface EntryFacts<T> {
  /** The organization or person, where the work finds another one than it is about. */
  readonly targetOf?: (result: T) => string | undefined
  readonly metadata?: (result: T) => JsonObject
  /** False where the work found nothing to do: then there is no entry. Default: always. */
  readonly isRecorded?: (result: T) => boolean
}

/**
 * One operation: its work and its entry in `system_audit_logs` take effect together. In read committed, whatever the login has: what
 * changed while an operation waited for a lock is seen by its next statement.
 */
export function operate<T>(
  { operator, scopeAbout }: SystemWork,
  operation: string,
  about: Owner | undefined,
  work: (scope: Scope) => Promise<T>,
  { targetOf = () => about?.id, metadata = () => ({}), isRecorded = () => true }: EntryFacts<T> = {},
): Promise<T> {
  const run = async (scope: Scope): Promise<T> => {
    const result = await work(scope)
    if (!isRecorded(result)) return result
    const id = targetOf(result)
    const target = about?.kind === 'user' ? { targetUserId: id } : { targetOrgId: id }
    const facts = metadata(result)
    const managed = {
      ...operator,
      operation,
      ...(id === undefined ? {} : target),
      ...(Object.keys(facts).length === 0 ? {} : { metadata: facts }),
    }
    await new ScopedTable<SystemAuditEntry>(scope, systemAuditLogs).insertRow(shape.noInput, {}, { managed })
    return result
  }
  return scopeAbout(about).transaction(run, { isolation: 'read committed' })
}

/** A table over the rows of every owner. */
export const allRows = <Row extends object>(scope: Scope, table: PgTable): ScopedTable<Row> =>
  new ScopedTable<Row>(scope, table, undefined, { plan: planOfAllOwners(table) })
