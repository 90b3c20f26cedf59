import { SqlTokens, type TokenKind } from './sql-tokens.js'

/**
 * Whether a text could change something. It counts as a read only when the text says so: it is a `select`, `values` or `with`
 * without a word that writes, and each function in it is one of Postgres' own that is known to change nothing. A row lock, such as
 * `for update`, changes nothing that outlives the transaction. A text does not tell whether a view, an operator, a cast or `t.f`, which
 * can be a column or a function, calls a function that writes.
 */
export function mayWrite(text: string): boolean {
  const tokens = new SqlTokens(text)
  let before: Token | undefined
  let beforeThat: Token | undefined
  let qualifier: Token | undefined
  let isStarted = false
  while (tokens.next()) {
    const token: Token = { kind: tokens.kind, text: tokens.text }
    if (isUnsure(token)) return true
    if (!isStarted && !isSign(token, '(')) {
      if (token.kind !== 'word' || !starts.has(token.text)) return true
      isStarted = true
    }
    if (token.kind === 'word' && writes.has(token.text) && !isRowLock(token, before)) return true
    if (isSign(token, '(') && before !== undefined && isCall(before, beforeThat, qualifier)) return true
    if (beforeThat !== undefined && before !== undefined && isField(token, before, beforeThat)) return true
    qualifier = beforeThat
    beforeThat = before
    before = token
  }
  return !isStarted || tokens.isCut
}

/** A table that a text inserts into, updates or deletes from, as far as the text says so: not by a function, a view or a trigger. */
export interface WrittenTable {
  readonly schema: string | undefined
  readonly name: string
}

/** What a text writes in its own words. Undefined in the list stands for a table that has no readable name. */
export function writtenTables(text: string): (WrittenTable | undefined)[] {
  const all: Token[] = []
  const tokens = new SqlTokens(text)
  while (tokens.next()) all.push({ kind: tokens.kind, text: tokens.text })
  return all.flatMap((token, place) => {
    if (token.kind !== 'word' || !writes.has(token.text) || isRowLock(token, all[place - 1])) return []
    // `insert into` and `merge into` are found by their second word; `on conflict do update` is part of its insert.
    if (token.text === 'insert' || token.text === 'merge' || isWord(all[place - 1], 'do')) return []
    const behind = all.slice(place + 1, place + 6).filter((one) => !isWord(one, 'only') && !isWord(one, 'from'))
    return [tableOf(behind)]
  })
}

const isWord = (token: Token | undefined, word: string): boolean => token?.kind === 'word' && token.text === word

function tableOf([first, dot, second]: readonly Token[]): WrittenTable | undefined {
  if (first?.kind !== 'word' && first?.kind !== 'name') return undefined
  if (dot === undefined || !isSign(dot, '.')) return { schema: undefined, name: first.text }
  return second?.kind === 'word' || second?.kind === 'name' ? { schema: first.text, name: second.text } : undefined
}

interface Token {
  readonly kind: TokenKind
  readonly text: string
}

const starts = new Set(['select', 'values', 'with'])
const writes = new Set(['insert', 'update', 'delete', 'merge', 'into'])

/** Where standard_conforming_strings is off, a literal with a backslash may end elsewhere. */
const isUnsure = ({ kind, text }: Token): boolean =>
  kind === 'escaped name' || (kind === 'literal' && text.includes('\\'))

const isSign = ({ kind, text }: Token, sign: string): boolean => kind === 'symbol' && text === sign

/** `for update` and `for no key update`. */
const isRowLock = ({ text }: Token, before: Token | undefined): boolean =>
  text === 'update' && before?.kind === 'word' && (before.text === 'for' || before.text === 'key')

/** Whether `name (` could call a function that writes. `before` and `qualifier` are the two tokens in front of the name. */
function isCall(name: Token, before: Token | undefined, qualifier: Token | undefined): boolean {
  if (name.kind !== 'word' && name.kind !== 'name') return false
  if (before !== undefined && isSign(before, '.')) {
    return qualifier?.text !== 'pg_catalog' || !harmless.has(name.text)
  }
  if (name.kind === 'word' && notNames.has(name.text)) return false
  // In `as t(a, b)` and `with t(a, b)` the parentheses hold column names, not arguments.
  if (before?.kind === 'word' && ['as', 'with', 'recursive'].includes(before.text)) return false
  return !harmless.has(name.text)
}

/** Whether `(row).f`, `rows[1].f` or `$1.f` ends here: `f` can be a function. */
const isField = (name: Token, dot: Token, row: Token): boolean =>
  (name.kind === 'word' || name.kind === 'name') &&
  isSign(dot, '.') &&
  (row.kind === 'parameter' || isSign(row, ')') || isSign(row, ']'))

const words = (list: string): ReadonlySet<string> => new Set(list.trim().split(/\s+/))

/** Words that can stand before a bracket without calling a function, types with a length among them. */
const notNames = words(`
  all and any array as between bit by case char character cube dec decimal distinct else except exists filter float from group
  grouping having ilike in intersect interval join lateral like limit materialized nchar not numeric offset on or over partition
  returning rollup row select sets similar some symmetric then time timestamp to union using values varbit varchar varying when
  where within`)

/**
 * Functions of pg_catalog that change nothing in every supported version, and grammar that looks like a function. `nextval` is
 * left out, because its number is used up; so are functions that lock, notify, run SQL text, or reach other sessions or files.
 */
export const harmless = words(`
  abs acos age array_agg array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position
  array_positions array_prepend array_remove array_replace array_to_json array_to_string array_upper ascii asin atan atan2 avg
  bit_and bit_length bit_or bool_and bool_or btrim cardinality cast cbrt ceil ceiling char_length character_length chr
  clock_timestamp coalesce concat concat_ws convert_from convert_to corr cos cot count covar_pop covar_samp cume_dist
  current_database current_schema current_setting date_bin date_part date_trunc daterange decode degrees dense_rank div
  encode every exp extract first_value floor format format_type gcd gen_random_uuid generate_series generate_subscripts
  get_bit get_byte greatest hashtext hashtextextended host initcap int4range int8range isempty isfinite json_agg
  json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each json_each_text
  json_extract_path json_extract_path_text json_object json_object_agg json_object_keys json_populate_record
  json_populate_recordset json_strip_nulls json_to_record json_to_recordset json_typeof jsonb_agg jsonb_array_elements
  jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
  jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists
  jsonb_path_match jsonb_path_query jsonb_path_query_array jsonb_path_query_first jsonb_populate_record
  jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof
  justify_days justify_hours justify_interval lag last_value lcm lead least left length ln log log10 lower lower_inc
  lower_inf lpad ltrim make_date make_interval make_time make_timestamp make_timestamptz max masklen md5 min mod mode
  multirange netmask network normalize now nth_value ntile nullif num_nonnulls num_nulls numrange octet_length overlay
  percent_rank percentile_cont percentile_disc pg_backend_pid pg_column_size pg_sleep pg_table_is_visible pg_typeof
  phraseto_tsquery pi plainto_tsquery position power quote_ident quote_literal quote_nullable radians random range_agg
  range_merge rank regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
  regexp_split_to_table regexp_substr regr_count regr_slope repeat replace reverse right round row_number row_to_json rpad
  rtrim scale set_bit set_byte setweight sha224 sha256 sha384 sha512 sign sin split_part sqrt starts_with
  statement_timestamp stddev stddev_pop stddev_samp string_agg string_to_array string_to_table strip strpos substr substring
  sum tan text timeofday timezone to_char to_date to_hex to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector
  transaction_timestamp translate trim trim_array trunc ts_headline ts_rank ts_rank_cd tsrange tstzrange tsvector_to_array
  txid_current_if_assigned unnest upper upper_inc upper_inf var_pop var_samp variance version websearch_to_tsquery
  width_bucket xmlagg xmlconcat xmlelement xmlforest`)
