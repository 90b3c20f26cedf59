import { ownerId } from '../core/owner-id.js'
import type { Query } from '../core/query.js'
import { NotFoundError } from '../core/errors.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { type User, userPatch, type UserPatch, users } from '../schema/users.js'
import { noteFor } from './my-audit-log.js'

/** What a person sees of themselves. */
export interface ProfileRow extends User {
  /** When the newest session was started. */
  readonly lastSignInAt: Date | null
}

/** A person's own row. */
export class Profile {
  constructor(private readonly scope: Scope) {}

  /** Throws NotFoundError for somebody who is not there any more. */
  get(): Query<ProfileRow> {
    const rows = new ScopedTable<User>(this.scope, users)
    const statement = ownStatement(
      rows.plan,
      Profile,
      'profile',
      false,
      ({ sql, visible, selected }) => `select ${selected}, (
        select pg_catalog.max(l.created_at) from platform.user_audit_logs l where l.user_id = $1 and l.event_type = 'session.started'
      ) from ${sql} where ${visible}`,
    )
    return rows.run(
      statement,
      () => [],
      (result) => {
        const [user] = rows.rowsOf(result)
        if (user === undefined) throw new NotFoundError('users')
        const last = result.rows[0]?.at(-1) as string | null
        return { ...user, lastSignInAt: last === null ? null : new Date(last) }
      },
    )
  }

  /** Names, avatar, phone and metadata. An address is changed by the system, once it is confirmed. */
  update(patch: UserPatch): Promise<User> {
    return this.scope.steps(async (scope) => {
      const rows = new ScopedTable<User>(scope, users)
      const user = await rows.updateRow(userPatch, ownerId(scope, 'user'), patch)
      await noteFor(scope, 'profile.updated')
      return user
    })
  }
}
