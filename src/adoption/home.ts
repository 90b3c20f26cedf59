import { createHash } from 'node:crypto'
import { quoted } from '../core/statements/column-plan.js'

const longest = 55

/** A name that Postgres keeps whole, and to which a few letters may still be added. */
export function fitted(name: string): string {
  if (Buffer.byteLength(name) <= longest) return name
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 8)
  let start = name
  while (Buffer.byteLength(start) > longest - digest.length - 1) start = start.slice(0, -1)
  return `${start}_${digest}`
}

/** The schema of what the adoption of a schema needs until it is complete. */
export const homeOf = (schema: string): string => fitted(`tenantry_adopt_${schema}`)

/** The name in SQL of an object in it. */
export const inHome = (home: string, name: string): string => `${quoted(home)}.${quoted(fitted(name))}`

/** Where the rows wait that no way reaches and that nobody has given to an organization. */
export const quarantineOf = (table: string): string => fitted(`quarantined_${table}`)
