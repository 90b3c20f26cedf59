import { MigrationError } from '../core/errors.js'
import type { Session } from '../database/session.js'

/** For a transaction in which no trigger fires but those that always do: only this silences them for one session, and others keep theirs. */
export const silence = 'set local session_replication_role = replica'

/** Checked before the first statement, so that no step fails half way. */
export async function assertMaySilence(session: Session, tables: readonly string[]): Promise<void> {
  const grant = tables.length === 0 ? undefined : await grantToSilence(session)
  if (grant === undefined) return
  throw new MigrationError(
    `the triggers of ${tables.join(', ')} have to stay silent, which needs a right: let a superuser run \`${grant}\``,
  )
}

/** The statement by which this login would get the right. Undefined where it has it. */
export async function grantToSilence(session: Pick<Session, 'query'>): Promise<string | undefined> {
  const [row] = await session.query<{ login: string; may: boolean }>(
    `select current_user as login, pg_catalog.has_parameter_privilege('session_replication_role', 'set') as may`,
  )
  return row?.may === true ? undefined : `grant set on parameter session_replication_role to "${row?.login ?? ''}"`
}
