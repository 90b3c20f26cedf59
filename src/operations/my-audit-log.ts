import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import type { ListOptions, PageContent, PageOf } from '../core/statements/pages.js'
import type { Field, Selected } from '../core/statements/selections.js'
import { ownProperties } from '../core/values.js'
import * as shape from '../schema/shared/shapes.js'
import { type UserAuditLog, userAuditLogs } from '../schema/users.js'

/** What happened to a person's account: sign-ins, ended sessions, changes of the profile. Nothing in it is ever changed. */
export class MyAuditLog {
  private readonly rows: ScopedTable<UserAuditLog>

  constructor(scope: Scope) {
    this.rows = new ScopedTable<UserAuditLog>(scope, userAuditLogs)
  }

  /** One page, newest first. */
  list<Name extends Field<UserAuditLog> = Field<UserAuditLog>, Total extends boolean = false>(
    options?: ListOptions<Omit<UserAuditLog, 'ipAddress'>> & PageContent<Name, Total>,
  ): Query<PageOf<Selected<UserAuditLog, Name>, Total>> {
    // The primary key begins with `created_at`, so this order needs no sort.
    return this.rows.list({
      orderBy: '-createdAt',
      ...ownProperties(options ?? {}, 'options'),
    })
  }
}

/** An entry in the person's own log. */
export async function noteFor(scope: Scope, eventType: string, sessionId: string | null = null): Promise<void> {
  const { request } = scope.context
  const managed = { eventType, sessionId, ipAddress: request?.ip ?? null, userAgent: request?.userAgent ?? null }
  await new ScopedTable(scope, userAuditLogs).appendRows(shape.noInput, [{}], { managed })
}
