/**
 * Whether a text can be prepared under a name. The server infers the type of a parameter without a cast when it parses the statement,
 * and a named statement keeps that type. After the type of the column has changed, values are still converted to the old type, and
 * may lose digits without an error: for example after `real` became `double precision`. A text is safe if each of its parameters is
 * cast (`$2::text`) or compared with an id: with the old type of an id the statement fails, or finds the same row.
 */
export function canBeNamed(text: string): boolean {
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
/** Any other parameter without a cast. `org_id = $1` does not count, because the type of that column never changes. */
const inferred = /(?<!\borg_id"? = )\$\d+(?!\d|::)/
