/**
 * The server infers the type of a parameter from what stands around it, once, when it parses the statement, and keeps that type
 * while the statement has a name. When somebody changes the column afterwards, a value is first made of the old type and may be
 * cut to it without an error, as a `double precision` to a `real`. A text may have a name where that cannot happen: each
 * parameter is cast (`$2::text`), or an id is compared with it, of which the old type fails or finds the same row.
 */
export function keepsItsTypes(text: string): boolean {
  let clause = ''
  for (const { 0: found, index } of text.matchAll(uncastOrClause)) {
    if (!found.startsWith('$')) clause = found.toLowerCase()
    else if (clause === 'set' || !comparedId.test(text.slice(Math.max(0, index - 8), index))) return false
  }
  return true
}

/** Whether a value could be refused only because its parameter has the type that an id had before. */
export const infersTypes = (text: string): boolean => inferred.test(text)

const uncastOrClause = /\$\d+(?!\d|::)|\b(?:set|where|on)\b/gi
/** `"id" = ` or `"agent_id" = `. */
const comparedId = /(?:\b|_)id"? = $/
/** The organization's id stays a uuid. */
const inferred = /(?<!\borg_id"? = )\$\d+(?!\d|::)/
