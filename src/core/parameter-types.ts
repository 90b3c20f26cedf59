/**
 * Whether a text can be prepared under a name. The server infers the type of an uncast parameter when it parses the statement, and
 * keeps it as long as the statement has a name. If somebody then changes the type of the column, values are still converted to the
 * old type, and may lose digits without an error: for example after `real` became `double precision`. That cannot happen where each
 * parameter is cast (`$2::text`) or compared with an id: there the old type fails, or finds the same row.
 */
export function keepsItsTypes(text: string): boolean {
  let clause = ''
  for (const { 0: found, index } of text.matchAll(uncastOrClause)) {
    if (!found.startsWith('$')) clause = found.toLowerCase()
    else if (clause === 'set' || !comparedId.test(text.slice(Math.max(0, index - 8), index))) return false
  }
  return true
}

/** Whether a value could be refused only because its parameter still has the old type of a column. */
export const infersTypes = (text: string): boolean => inferred.test(text)

const uncastOrClause = /\$\d+(?!\d|::)|\b(?:set|where|on)\b/gi
/** `"id" = ` or `"agent_id" = `. */
const comparedId = /(?:\b|_)id"? = $/
/** `org_id = $1` is left out: the type of that column never changes. */
const inferred = /(?<!\borg_id"? = )\$\d+(?!\d|::)/
