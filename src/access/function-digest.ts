import { createHash } from 'node:crypto'

interface Digested {
  readonly volatility: 'stable' | 'volatile'
  readonly definer: boolean
  readonly settings: readonly string[]
  readonly body: string
}

/** One hash of the body of a function and of the rights that it runs with. */
export function digestOf({ volatility, definer, settings, body }: Digested): string {
  const text = ['plpgsql', volatility.charAt(0), definer ? 't' : 'f', settings.join(','), body].join('|')
  return createHash('sha256').update(text).digest('hex')
}

/** The same hash for the row `p` of pg_proc. */
export const digestFound = `pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat_ws('|',
      (select l.lanname from pg_catalog.pg_language l where l.oid = p.prolang), p.provolatile, p.prosecdef,
      coalesce(pg_catalog.array_to_string(p.proconfig, ','), ''), p.prosrc), 'UTF8')), 'hex')`
