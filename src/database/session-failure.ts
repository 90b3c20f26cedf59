import { MigrationError } from '../core/errors.js'
import { isFilteredRows } from './row-security.js'
import type { Session } from './session.js'

/** A lock was not free in time, or a deadlock was broken here. Run the same again. */
export class LockNotFree extends MigrationError {
  constructor(
    message: string,
    /** What is told of it where it was tried often enough. */
    readonly reason = 'because a long transaction holds the lock',
  ) {
    super(message)
  }
}

/** The server or the way to it ended the session. Run the same again. */
export class ConnectionLost extends MigrationError {}

// lock_not_available, deadlock_detected
const lockErrors = new Set(['55P03', '40P01'])

/** The error shows the server's message to the migrating user, but not its DETAIL, which holds values of rows, unless it lists objects. */
export function failed(where: string, error: unknown): MigrationError {
  const { code, message, detail } = error as { code?: unknown; message?: unknown; detail?: unknown }
  // 57P and 08: the server ended the connection. EPIPE and the like have no digit.
  if (
    typeof code !== 'string' ||
    !/^(?=.*\d)[0-9A-Z]{5}$/.test(code) ||
    (/^(?:57P|08)/.test(code) && !isNodeAway(code, String(message)))
  ) {
    return new ConnectionLost(`${where}: the connection was lost. Run it again: it goes on where it stopped`)
  }
  if (lockErrors.has(code)) return new LockNotFree(`${where}: a lock was not free in time (${code})`)
  // dependent_objects_still_exist
  const text = String(message) + (code === '2BP01' ? `: ${String(detail).replaceAll('\n', ', ')}` : '')
  const hint = isFilteredRows(error)
    ? filteredRows
    : lacksOwnership(code, text)
      ? notTheOwner
      : isNodeAway(code, text)
        ? nodeAway
        : undefined
  return new MigrationError(`${where}: ${text} (${code})${hint === undefined ? '' : `. ${hint}`}`)
}

/** Not for what an owner may be refused too, such as to create an extension. */
const lacksOwnership = (code: string, message: string): boolean =>
  code === '42501' && /^(?:permission denied for (?:table|view|schema) |must be owner of )/.test(message)

const filteredRows =
  'The statement changed nothing: row security binds the role that migrates, so it would leave out rows. Migrate as the owner of ' +
  'the table; where the table has FORCE, run `alter table <name> no force row level security`, or give that role bypassrls'

const notTheOwner = 'Migrations are for the role that owns the tables: its url belongs in DATABASE_ADMIN_URL'

/** What Citus says of a node that does not answer: before it begins a move, and where it cannot connect. */
const isNodeAway = (code: string, message: string): boolean =>
  (code === 'XX000' && message.startsWith('Could not fetch disk stats for node')) ||
  (code === '08006' && message.startsWith('connection to the remote node '))

const nodeAway =
  'A node of the cluster does not answer. Nothing of the statement was changed: run it again when the node is back'

/** A session whose errors name `where`. */
export function withContext(session: Session, where: string): Session {
  return {
    engine: session.engine,
    query: <Row>(text: string, params?: readonly unknown[]) =>
      session.query<Row>(text, params).catch((error: unknown) => {
        throw error instanceof MigrationError ? error : failed(where, error)
      }),
    close: () => session.close(),
  }
}
