import { ForbiddenError, UnauthorizedError } from '../core/errors.js'
import { newId, parseId } from '../core/ids.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { statement } from '../core/statement.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { unguarded } from '../core/statements/updates.js'
import type { ListOptions, PageContent, PageOf } from '../core/statements/pages.js'
import type { Field, Selected } from '../core/statements/selections.js'
import { parseInput } from '../core/values.js'
import { newUserSession, type NewUserSession, type UserSession, userSessions } from '../schema/sessions.js'
import { isLivePerson } from '../schema/users.js'
import type { IssuedSession } from './authenticate-session.js'
import { noteFor } from './my-audit-log.js'
import type { SessionPolicy } from './session-policy.js'

/** A person's sessions, the ended ones too. */
export class Sessions {
  private readonly rows: ScopedTable<UserSession>

  constructor(
    private readonly scope: Scope,
    private readonly policy: SessionPolicy,
  ) {
    this.rows = new ScopedTable<UserSession>(scope, userSessions)
  }

  /**
   * Starts a session, once the host has authenticated the person. The tokens are shown only now. Throws UnauthorizedError for somebody
   * who is suspended, banned or deleted, or is no person, and ForbiddenError for an `activeOrg` that `activate` would refuse.
   */
  start(values: NewUserSession = {}): Promise<IssuedSession> {
    return this.scope.steps(async (scope) => {
      const { activeOrg, ip, userAgent } = parseInput(newUserSession, values)
      const { tokens, request } = scope.context
      const userId = ownerId(scope, 'user')
      const id = newId()
      const [{ token, refreshToken, tokenHash, refreshHash, pepperId }] = tokens.makeSession(userId, id, 0)
      const row = [userId, id, tokenHash, refreshHash, pepperId, this.policy.maxAge, this.policy.maxIdle]
      const origin = [ip ?? request?.ip ?? null, userAgent ?? request?.userAgent ?? null]
      const expiresAt = await scope.query(() =>
        planned({ statement: insert, values: [...row, ...origin] }, ({ rows: [made] }) => {
          if (made === undefined) throw new UnauthorizedError()
          return new Date(made[0] as string)
        }),
      )
      if (activeOrg !== undefined) await activate(scope, id, activeOrg)
      await noteFor(scope, 'session.started', id)
      return { session: { id, expiresAt }, token, refreshToken }
    })
  }

  /**
   * Chooses the organization in which the session acts. Throws ForbiddenError for one that is suspended or deleted, or in which the
   * person is not an active member.
   */
  activate(id: string, orgId: string): Query<void> {
    return activate(this.scope, id, orgId)
  }

  /** Undefined for one of another person. */
  find(id: string): Query<UserSession | undefined> {
    return this.rows.find(id)
  }

  /** One page, newest first. */
  list<Name extends Field<UserSession> = Field<UserSession>, Total extends boolean = false>(
    options?: ListOptions<Omit<UserSession, 'ipAddress'>> & PageContent<Name, Total>,
  ): Query<PageOf<Selected<UserSession, Name>, Total>> {
    return this.rows.list(options)
  }

  /** Ends the session. Throws NotFoundError for one of another person. */
  revoke(id: string): Promise<UserSession> {
    return this.scope.steps(async (scope) => {
      const rows = new ScopedTable<UserSession>(scope, userSessions)
      const ended = await rows.guardedRow('revoke', id, unguarded('user_sessions', revoked), () => [])
      await noteFor(scope, 'session.revoked', id)
      return ended
    })
  }

  /** Ends every session but this one, as after a new password. Returns how many it ended. */
  revokeAllExcept(id: string): Promise<number> {
    return this.scope.steps(async (scope) => {
      const rows = new ScopedTable<UserSession>(scope, userSessions)
      const statement = ownStatement(rows.plan, Sessions, 'revoke others', true, ({ sql, visible }) => ({
        verb: 'update',
        ctes: [],
        head: `update ${sql} set "revoked_at" = now(), "revoked_reason" = 'signed_out', "updated_at" = statement_timestamp()`,
        where: `${visible} and "id" <> $2 and "revoked_at" is null`,
        returning: '',
      }))
      const count = await rows.run(
        statement,
        () => [parseId(id)],
        ({ rowCount }) => rowCount,
      )
      await noteFor(scope, 'sessions.revoked', id)
      return count
    })
  }
}

// An ended session keeps the moment and the reason of its end.
const revoked = `"revoked_at" = least("revoked_at", now()), "revoked_reason" = coalesce("revoked_reason", 'signed_out')`

function activate(scope: Scope, id: string, orgId: string): Query<void> {
  return scope.query(() => {
    const userId = ownerId(scope, 'user')
    const org = parseId(orgId, 'orgId')
    return planned({ statement: choose, values: [userId, parseId(id), org] }, ({ rowCount }) => {
      if (rowCount === 0) {
        throw new ForbiddenError(
          undefined,
          'the session has ended, the organization is suspended or deleted, or this person is not an active member of it',
        )
      }
    })
  })
}

const insert = statement(
  `insert into platform.user_sessions
     (user_id, id, token_hash, refresh_hash, pepper_id, expires_at, idle_expires_at, ip_address, user_agent)
   select u.id, $2, $3, $4, $5, statement_timestamp() + $6 * interval '1 second',
     statement_timestamp() + least($6, $7) * interval '1 second', $8, $9
   from platform.users u
   where u.id = $1 and u.kind = 'person' and ${isLivePerson('u')}
   for key share of u
   returning expires_at`,
  'change',
)

/** The membership is checked and its epoch written in one statement. */
const choose = statement(
  `update platform.user_sessions s
   set active_org_id = $3, active_org_epoch = platform.my_epoch_in($3), updated_at = statement_timestamp()
   where s.user_id = $1 and s.id = $2 and platform.my_epoch_in($3) is not null and s.revoked_at is null
     and s.expires_at > statement_timestamp() and s.idle_expires_at > statement_timestamp()`,
  'change',
)
