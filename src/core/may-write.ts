/**
 * Whether a text could change something. It is a read only when that is certain: a `select` or `values` without an `into`, a
 * `with` whose parts are such, and every function in it one of Postgres' own that is known to change nothing. A row lock, as of
 * `for update`, changes nothing that outlives the transaction.
 */
export function mayWrite(text: string): boolean {
  let before: Token | undefined
  let beforeThat: Token | undefined
  let qualifier: Token | undefined
  let isStarted = false
  for (const token of tokensOf(text)) {
    if (token.kind === 'unknown') return true
    if (!isStarted && !isSign(token, '(')) {
      if (token.kind !== 'word' || !starts.has(token.text)) return true
      isStarted = true
    }
    if (token.kind === 'word' && writes.has(token.text) && !isRowLock(token, before)) return true
    if (isSign(token, '(') && before !== undefined && isCall(before, beforeThat, qualifier)) return true
    qualifier = beforeThat
    beforeThat = before
    before = token
  }
  return !isStarted
}

interface Token {
  /** `unknown` is what may hide anything, such as a literal without an end. */
  readonly kind: 'word' | 'quoted' | 'value' | 'sign' | 'unknown'
  /** A word in lower case; a quoted name without its quotes. */
  readonly text: string
}

const starts = new Set(['select', 'values', 'with'])
const writes = new Set(['insert', 'update', 'delete', 'merge', 'into'])

const isSign = ({ kind, text }: Token, sign: string): boolean => kind === 'sign' && text === sign

/** `for update` and `for no key update`. */
const isRowLock = ({ text }: Token, before: Token | undefined): boolean =>
  text === 'update' && before?.kind === 'word' && (before.text === 'for' || before.text === 'key')

/** Whether `name (` could call a function that writes. `before` is the name, behind it what stands in front of it. */
function isCall(name: Token, before: Token | undefined, qualifier: Token | undefined): boolean {
  if (name.kind !== 'word' && name.kind !== 'quoted') return false
  if (before !== undefined && isSign(before, '.')) {
    return qualifier?.text !== 'pg_catalog' || !harmless.has(name.text)
  }
  if (name.kind === 'word' && notNames.has(name.text)) return false
  // An alias with the names of its columns, and the first part of a `with`.
  if (before?.kind === 'word' && ['as', 'with', 'recursive'].includes(before.text)) return false
  return !harmless.has(name.text)
}

// Other white space of Unicode is part of a name for the server.
const blank = /[ \t\n\r\f\v]+|--[^\n\r]*/y
const word = /[a-z_\u0080-\uffff][\w$\u0080-\uffff]*/iy
const number = /(?:\d|\.\d)[\w.]*|\$\d+/y
const quotedName = /"([^"]*(?:""[^"]*)*)"/y
const literal = /'[^']*(?:''[^']*)*'/y
const dollarTag = /\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/iy

function* tokensOf(text: string): Generator<Token> {
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    if (found === null) return undefined
    at = pattern.lastIndex
    return found
  }
  while (at < text.length) {
    if (take(blank)) continue
    if (text.startsWith('/*', at)) {
      at = endOfComment(text, at)
      continue
    }
    const named = take(word)
    if (named) {
      // Two letters that differ for the server may be one in lower case, but not among those of ASCII.
      const found = named[0]
      yield { kind: 'word', text: /[^\w$]/.test(found) ? found : found.toLowerCase() }
      continue
    }
    const quoted = take(quotedName)
    if (quoted) {
      yield { kind: 'quoted', text: quoted[1] ?? '' }
      continue
    }
    if (take(number)) {
      yield { kind: 'value', text: '' }
      continue
    }
    const quote = take(literal)
    if (quote) {
      // Where a backslash escapes, the literal may end elsewhere.
      yield quote[0].includes('\\') ? unknown : { kind: 'value', text: '' }
      continue
    }
    const tag = take(dollarTag)?.[0]
    if (tag !== undefined) {
      const end = text.indexOf(tag, at)
      yield end === -1 ? unknown : { kind: 'value', text: '' }
      at = end === -1 ? text.length : end + tag.length
      continue
    }
    yield `'"$`.includes(text.charAt(at)) ? unknown : { kind: 'sign', text: text.charAt(at) }
    at++
  }
}

const unknown: Token = { kind: 'unknown', text: '' }

/** Block comments nest. One without an end hides nothing that the server would run. */
function endOfComment(text: string, start: number): number {
  const marks = /\/\*|\*\//g
  marks.lastIndex = start
  let depth = 0
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    depth += mark[0] === '/*' ? 1 : -1
    if (depth === 0) return marks.lastIndex
  }
  return text.length
}

const words = (list: string): ReadonlySet<string> => new Set(list.trim().split(/\s+/))

/** Words that stand in front of a bracket and call nothing, types with a length among them. */
const notNames = words(`
  all and any array as between bit by case char character cube dec decimal distinct else except exists filter float from group
  grouping having ilike in intersect interval join lateral like limit materialized nchar not numeric offset on or over partition
  returning rollup row select sets similar some symmetric then time timestamp to union using values varbit varchar varying when
  where within`)

/**
 * Functions of pg_catalog that every supported version has and that change nothing, and what looks like a function and is
 * grammar. Not `nextval`, whose number is gone, nor what takes locks, sends, reaches other sessions or files, or runs SQL text.
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
