import type { TenantryError } from '../core/errors.js'
import type { DriverError } from './sqlstate.js'

/**
 * SQLSTATEs whose messages name tables, columns and constraints but no values: cardinality, integrity, states of a transaction,
 * resources and shutdown; then conflict targets, parameters without a type, generated columns, rights, locks and the protocol.
 */
const nameOnly = /^(?:21|23|25|26|40|53|57|42P10|42P18|428C9|42501|55P03|08P01)/

/** Adds `debug` to the error of a statement. Only for a tenancy that was opened with `debug: true`. */
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
 * Whether the server's message can quote a value. Class 22 quotes the refused value. Others quote one where a parameter names an
 * object (`$1::regclass`), or where a function raises it. A message with a position is about the SQL text, not about a value.
 */
function quotesValues({ code = '', message, position, routine }: DriverError): boolean {
  if (code.startsWith('22')) return true
  if (position !== undefined) return false
  if (routine === 'exec_stmt_raise') return !ours.test(message)
  return !nameOnly.test(code)
}

/** The messages of `enter_org`, `enter_user` and the policies. A function of the host's may raise the same codes with a value. */
const ours = /^(?:no|no such|an|a|another) (?:organization|user)(?: is bound)?$|^the organization is suspended$/
