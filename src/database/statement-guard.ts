import { UnsafeStatementError } from '../core/errors.js'
import { SqlTokens } from '../core/sql-tokens.js'

const statements = new Set(['select', 'insert', 'update', 'delete', 'merge', 'with', 'values'])

/** Refused in comments and literals too: functions such as crosstab run a literal as SQL. */
const refusedAnywhere = /\b(?:set_config|enter_org|enter_user|session_authorization)\b|\btenantry\.\w/i
const sessionLockAnywhere = /\bpg_(?:try_)?advisory_(?:un)?lock(?:_shared|_all)?\b/i

const moves = 'moves the binding or the role'
const runs = 'runs or hides other SQL text'
const outlives = 'outlives its transaction on the connection'
const reaches = 'reaches other sessions'
const authenticates = 'lets the writes of its transaction not wait for the disk; call tenancy.authenticate'
const shows = 'shows SQL texts of others, with the literals that stand in them'
const shares = 'makes or reads a large object, which belongs to every organization'

/** Refused as a name, quoted or not, at any place: a function can also be called like a column, `(a).b`. */
const refusedNames = new Map(
  Object.entries({
    [moves]: 'pg_settings',
    [runs]: `query_to_xml query_to_xmlschema query_to_xml_and_xmlschema cursor_to_xml cursor_to_xmlschema ts_rewrite ts_stat
      dblink dblink_connect dblink_connect_u dblink_disconnect dblink_exec dblink_open dblink_fetch dblink_close
      dblink_send_query dblink_is_busy dblink_get_result dblink_get_notify dblink_cancel_query dblink_get_connections
      dblink_error_message citus_run_local_command worker_apply_shard_ddl_command worker_apply_inter_shard_ddl_command alter_role_if_exists
      worker_save_query_explain_analyze worker_partition_query_result create_intermediate_result broadcast_intermediate_result
      run_command_on_workers run_command_on_all_nodes run_command_on_coordinator run_command_on_shards run_command_on_placements
      run_command_on_colocated_placements master_run_on_worker`,
    [outlives]: 'setseed',
    [authenticates]: 'accept_api_key accept_session authenticate_api_key authenticate_session',
    [reaches]: 'pg_cancel_backend pg_terminate_backend pg_notify',
    [shows]: `pg_stat_activity pg_stat_get_activity pg_stat_get_backend_activity pg_stat_statements
      citus_stat_activity citus_dist_stat_activity citus_lock_waits citus_stat_statements`,
    [shares]: `lo_close lo_creat lo_create lo_export lo_from_bytea lo_get lo_import lo_lseek lo_lseek64 lo_open lo_put
      lo_tell lo_tell64 lo_truncate lo_truncate64 lo_unlink loread lowrite`,
  }).flatMap(([reason, names]) => names.split(/\s+/).map((name) => [name, reason] as const)),
)

const temporarySchema = /^pg_(?:toast_)?temp(?:_\d+)?$/

/** Texts without these need not be split into tokens, which takes ten times as long as this search. */
const suspicious = new RegExp(`\\b(?:${[...refusedNames.keys()].join('|')}|(?:pg_(?:toast_)?)?temp|role|u&")`, 'i')

/** How many checked texts are remembered. Behind a pooler statements have no names, so that each call comes here. */
const capacity = 1_000
/** Longer texts are not remembered: they are rarely the same twice, and would fill the memory. */
const longest = 10_000
const checked = new Set<string>()

/**
 * Refuses a text that is not a plain query or write, or that names something that could move the binding or outlive the transaction.
 * It guards against mistakes in trusted SQL. The wall against hostile SQL is row security. Returns false for a text that only a
 * tenancy with `debug` may send.
 */
export function guard(text: string, debug = false): boolean {
  if (checked.has(text)) return true
  const anywhere = refusedAnywhere.exec(text)
  if (anywhere) throw names(anywhere[0], moves)
  const lock = sessionLockAnywhere.exec(text)
  if (lock) throw names(lock[0], outlives)
  // The server reads only up to it.
  if (text.includes('\0')) throw new UnsafeStatementError('a scope does not send SQL that holds the character NUL')
  const tokens = new SqlTokens(text)
  const isExplain = checkBeginning(tokens)
  if (isExplain && !debug) throw new UnsafeStatementError(explainRefused)
  if (suspicious.test(text)) checkNames(tokens)
  if (isExplain) return false
  if (text.length > longest) return true
  if (checked.size >= capacity) checked.clear()
  checked.add(text)
  return true
}

const explainRefused =
  'a scope sends `explain` only in a tenancy opened with `debug: true`, because the estimates of a plan come from the rows of every organization'

const names = (what: string, reason: string): UnsafeStatementError =>
  new UnsafeStatementError(`a scope does not send SQL that names ${what}: it ${reason}`)

/** Moves to the first word of the statement, after brackets and `explain` with its options. Returns whether there is an `explain`. */
function checkBeginning(tokens: SqlTokens): boolean {
  tokens.next()
  const first = wordBehindBrackets(tokens)
  const isExplain = first === 'explain'
  if (statements.has(isExplain ? explained(tokens) : first)) return isExplain
  throw new UnsafeStatementError(
    'a scope sends only select, insert, update, delete, merge, with and values, and with `debug: true` explain of these',
  )
}

/** The first word after opening brackets; empty when something else comes. */
function wordBehindBrackets(tokens: SqlTokens): string {
  while (tokens.isSymbol('(')) tokens.next()
  return tokens.kind === 'word' ? tokens.text : ''
}

/** The first word after `explain`. A bracket begins its options, as in `explain (analyze) select 1`, or the statement itself. */
function explained(tokens: SqlTokens): string {
  tokens.next()
  const hasBracket = tokens.isSymbol('(')
  let word = wordBehindBrackets(tokens)
  if (hasBracket && !statements.has(word)) {
    while (!tokens.isSymbol(')') && tokens.next());
    tokens.next()
    return wordBehindBrackets(tokens)
  }
  while (word === 'analyze' || word === 'analyse' || word === 'verbose') {
    tokens.next()
    word = wordBehindBrackets(tokens)
  }
  return word
}

/** Looks at the current token and all that follow. */
function checkNames(tokens: SqlTokens): void {
  let previous = ''
  let earlier = ''
  let isRole = false
  do {
    const { kind } = tokens
    // `update ... set role = $1` changes a column.
    if (isRole && !tokens.isSymbol('=')) throw names('set role', moves)
    if (kind === 'escaped name') throw names('something by U&', runs)
    const word = kind === 'word' ? tokens.text : ''
    if (kind === 'word' || kind === 'name') checkName(tokens.text)
    const lead = inFrontOfKind.has(previous) ? earlier : previous
    if (lead === 'into' && (word === 'temp' || word === 'temporary')) throw names(`into ${word}`, outlives)
    isRole = lead === 'set' && word === 'role'
    earlier = previous
    previous = word
  } while (tokens.next())
}

/** As in `into local temp t`, and `set session role r`. */
const inFrontOfKind = new Set(['local', 'global', 'session'])

function checkName(name: string): void {
  const reason = refusedNames.get(name) ?? (temporarySchema.test(name) ? outlives : undefined)
  if (reason !== undefined) throw names(name, reason)
}
