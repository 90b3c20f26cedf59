import type { Owner } from '../core/executor.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { planOfAllOwners } from '../core/statements/table-plan.js'
import { type SystemAuditEntry, systemAuditLogs } from '../schema/audit-logs.js'
import type { PgTable } from 'drizzle-orm/pg-core'
import * as shape from '../schema/shared/shapes.js'

/** Who works across organizations, and why. Both are recorded with each operation. */
export interface Operator {
  readonly actor: string
  readonly reason: string
}

/** What operations of the system work with. */
export interface SystemWork {
  readonly operator: Operator
  /** A scope of the system's login. Its statements name the owner in their predicates. */
  readonly scopeAbout: (owner: Owner | undefined) => Scope
}

/**
 * One operation: its work and its entry in `system_audit_logs` take effect together. `targetOf` names the organization or person of the
 * entry, where the work finds another one than it is about.
 */
export function operate<T>(
  { operator, scopeAbout }: SystemWork,
  operation: string,
  about: Owner | undefined,
  work: (scope: Scope) => Promise<T>,
  targetOf: (result: T) => string | undefined = () => about?.id,
): Promise<T> {
  return scopeAbout(about).steps(async (scope) => {
    const result = await work(scope)
    const id = targetOf(result)
    const target = about?.kind === 'user' ? { targetUserId: id } : { targetOrgId: id }
    const managed = { ...operator, operation, ...(id === undefined ? {} : target) }
    await new ScopedTable<SystemAuditEntry>(scope, systemAuditLogs).insertRow(shape.noInput, {}, { managed })
    return result
  })
}

/** A table over the rows of every owner. */
export const allRows = <Row extends object>(scope: Scope, table: PgTable): ScopedTable<Row> =>
  new ScopedTable<Row>(scope, table, undefined, { plan: planOfAllOwners(table) })
