import { quoted } from '../../core/statements/column-plan.js'
import type { Session } from '../../database/session.js'
import type { CatalogTable } from '../catalog.js'
import type { Finding } from '../findings.js'
import { literal } from '../sql.js'
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
  const { from, source, key, sealed } = table
  const found: string[] = []
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
    const checks = await session.query<{ name: string; text: string }>(
      `select k.conname as name, pg_catalog.pg_get_expr(k.conbin, k.conrelid) as text from pg_catalog.pg_constraint k
       join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = any (k.conkey)
       where k.contype = 'c' and k.conrelid = $1::pg_catalog.regclass and a.attname = $2 order by 1`,
      [source, column],
    )
    for (const { name, text } of checks) {
      const [row] = await session.query<{ refused: boolean }>(
        `select exists (select from (select (pg_catalog.jsonb_populate_record(s, pg_catalog.jsonb_build_object(${literal(column)}::text, ${word ?? 'null::text'}))).* from ${source} s limit 1) s
         where (${text}) is false) as refused`,
      )
      if (row?.refused === true)
        found.push(
          word === undefined
            ? `has the check ${name}, which refuses the null that takes the place of a secret in ${column}: drop it`
            : `has the check ${name}, which refuses the word that takes the place of a secret, \`sealed\` with the id of the row: drop it, or let ${column} take null`,
        )
    }
  }
  return found.map((message) => ({
    table: from.name,
    kind: 'secrets',
    needs: 'mend',
    message: `${from.name} ${message}`,
  }))
}
