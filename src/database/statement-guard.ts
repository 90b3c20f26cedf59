import { UnsafeStatementError } from '../core/errors.js'

// Block comments in front are refused: they nest in Postgres, and a wrong guess where one ends would hide the first word.
// Without a bound, millions of brackets would be too deep for the regular expression itself.
const firstWord = /^(?:\s|--[^\n\r]*(?:[\n\r]|$)|\(){0,1000}(?:select|insert|update|delete|merge|with|values)\b/i

/** What no text may name, anywhere in it: in a comment or a literal too, for a text that needs the word is rare. */
const refused: readonly (readonly [RegExp, string])[] = [
  [
    /\b(?:set_config|pg_settings|enter_org|enter_user|session_authorization)\b|\btenantry\.|\bset\s+(?:local\s+|session\s+)?role\b/i,
    'moves the binding or the role',
  ],
  [/\bu&["']|\b(?:query_to_xml|cursor_to_xml)|\b(?:ts_stat|dblink)/i, 'hides or runs other SQL text'],
  [
    /\bpg_temp|\binto\s+(?:local\s+|global\s+)?temp(?:orary)?\b|\bpg_(?:try_)?advisory_(?:un)?lock/i,
    'outlives its transaction on the connection',
  ],
  [/\bpg_(?:cancel|terminate)_backend\b/i, 'reaches other sessions'],
  [/\0/, 'ends early'],
]

/** Where nothing has a name every call comes here again. Long texts are rarely the same twice, and would fill the memory. */
const cap = 1_000
const longest = 10_000
const checked = new Set<string>()

/**
 * Refuses a text that is not a plain query or write, or that names what would move the scope's binding or outlive it. A guard
 * against mistakes in trusted SQL, not a wall against hostile SQL: that is row security's.
 */
export function guard(text: string): void {
  if (checked.has(text)) return
  if (!firstWord.test(text)) {
    throw new UnsafeStatementError(
      'a scope sends only select, insert, update, delete, merge, with and values, and no block comment in front of them',
    )
  }
  for (const [pattern, reason] of refused) {
    const found = pattern.exec(text)
    if (found) throw new UnsafeStatementError(`a scope does not send SQL that names ${found[0].trim()}: it ${reason}`)
  }
  if (text.length > longest) return
  if (checked.size >= cap) checked.clear()
  checked.add(text)
}
