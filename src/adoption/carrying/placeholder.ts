import { quoted } from '../../core/statements/column-plan.js'
import type { Session } from '../../database/session.js'
import type { CatalogTable } from '../catalog.js'
import type { Finding } from '../findings.js'
import { isEnforced, literal } from '../sql.js'
import type { CarriedTable } from './carried-table.js'

/** The word that a column without null gets in the place of a secret, as the column keeps it. `key` is SQL. Undefined where it takes null. */
export function placeholderIn(table: CatalogTable, column: string, key: string): string | undefined {
  const { type = 'text', isNullable = true } = table.columns.find(({ name }) => name === column) ?? {}
  return isNullable ? undefined : `('sealed ' || (${key})::text)::${type}::text`
}

/** The word `sealed` and 17 characters of the key, by which two rows are told apart. */
const shortest = 24

/** Why the secrets of a table could not be emptied. */
export async function unemptyable(session: Pick<Session, 'query'>, table: CarriedTable): Promise<Finding[]> {
  const { from, key, sealed } = table
  const found: string[] = []
  const emptied: string[] = []
  if (sealed.length > 0 && from.triggers.some(({ isNeverSilent }) => isNeverSilent))
    found.push(
      'has a trigger that fires even in sessions that silence triggers: make it an ordinary one with `alter table … enable trigger`',
    )
  for (const { from: column } of sealed) {
    if (from.columns.some(({ name, isGenerated }) => name === column && isGenerated)) {
      found.push(
        `has secrets in ${column}, which is generated, so that it cannot be emptied: \`alter column … drop expression\``,
      )
      continue
    }
    const word = placeholderIn(from, column, `s.${quoted(key.name)}`)
    const type = from.columns.find(({ name }) => name === column)?.type ?? ''
    const [, kind = '', length] = /^([a-z ]+?)(?:\((\d+)\))?$/.exec(type) ?? []
    const isLong = ['text', 'character varying', 'character', 'citext'].includes(kind)
    if (word !== undefined && (!isLong || Number(length ?? shortest) < shortest)) {
      found.push(
        `has secrets in ${column}, which takes neither null nor a word of ${shortest} characters: let it take null`,
      )
      continue
    }
    emptied.push(column)
  }
  found.push(...(await refusingChecks(session, table, emptied)))
  return found.map((message) => ({
    table: from.name,
    kind: 'secrets',
    needs: 'mend',
    message: `${from.name} ${message}`,
  }))
}

/** Checks that refuse a row of which all secrets are empty. */
async function refusingChecks(
  session: Pick<Session, 'query'>,
  { from, source, key }: CarriedTable,
  columns: readonly string[],
): Promise<string[]> {
  if (columns.length === 0) return []
  const checks = await session.query<{ name: string; text: string; columns: string[] }>(
    `select k.conname as name, pg_catalog.pg_get_expr(k.conbin, k.conrelid) as text, pg_catalog.array_agg(a.attname::text order by a.attnum) as columns
     from pg_catalog.pg_constraint k join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = any (k.conkey)
     where k.contype = 'c' and ${isEnforced('k')} and k.conrelid = $1::pg_catalog.regclass and a.attname = any ($2::text[]) group by k.oid order by 1`,
    [source, columns],
  )
  const wordOf = (column: string) => placeholderIn(from, column, `s.${quoted(key.name)}`)
  const empty = columns.map((column) => `${literal(column)}::text, ${wordOf(column) ?? 'null::text'}`).join(', ')
  const found: string[] = []
  for (const { name, text, columns: checked } of checks) {
    const [row] = await session.query<{ refused: boolean }>(
      `select exists (select from (select (pg_catalog.jsonb_populate_record(s, pg_catalog.jsonb_build_object(${empty}))).* from ${source} s offset 0) s
       where (${text}) is false) as refused`,
    )
    if (row?.refused !== true) continue
    const list = checked.join(', ')
    const words = checked.filter((column) => wordOf(column) !== undefined)
    found.push(
      words.length === 0
        ? `has the check ${name}, which refuses the null that takes the place of a secret in ${list}: drop it`
        : `has the check ${name}, which refuses the word that takes the place of a secret in ${list}, \`sealed\` with the id of the row: drop it, or let ${words.join(', ')} take null`,
    )
  }
  return found
}
