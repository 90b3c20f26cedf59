import type { TenantryError } from '../core/errors.js'
import type { DriverError } from './sqlstate.js'

/**
 * Whose messages name tables, columns and constraints, and no values: cardinality, integrity, states of a transaction, resources
 * and shutdown. Then conflict targets, parameters without a type, generated columns, rights, locks and the protocol.
 */
const nameOnly = /^(?:21|23|25|26|40|53|57|42P10|42P18|428C9|42501|55P03|08P01)/

/** Adds what the server said of a statement. For a tenancy that was opened with `debug: true`, and no other. */
export function withDebug(failure: TenantryError, error: DriverError, text: string | undefined): TenantryError {
  const position = Number(error.position)
  const debug = {
    sqlstate: error.code,
    position: position > 0 ? position : undefined,
    text,
    message: quotesValues(error) ? undefined : error.message,
  }
  return Object.assign(failure, { debug })
}

/**
 * Class 22 quotes the value that it refuses. Other messages quote one too where a parameter names something, as in
 * `$1::regclass`, or where a function raises it. With a position the message is about the SQL text, not about a value.
 */
function quotesValues({ code = '', message, position, routine }: DriverError): boolean {
  if (code.startsWith('22')) return true
  if (position !== undefined) return false
  if (routine === 'exec_stmt_raise') return !ours.test(message)
  return !nameOnly.test(code)
}

/** What `enter_org`, `enter_user` and the policies raise. A function of the host's may raise the same codes with a value in it. */
const ours = /^(?:no|no such|an|a|another) (?:organization|user)(?: is bound)?$|^the organization is suspended$/
