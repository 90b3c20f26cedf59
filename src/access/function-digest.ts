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

/** What a function returns, for comparison with `resultFound`: the digest does not cover it. */
export const resultOf = (returns: string): string => (returns.startsWith('table') ? 'setof record' : returns)

/**
 * The same for the row `p` of pg_proc. Null where an argument has a default, or where a type is not one of Postgres' own: an
 * operator of such a type could compare the bound organization with anything.
 */
export const resultFound = `case when p.prokind = 'f' and p.pronargdefaults = 0
    and not exists (
      select from pg_catalog.unnest(p.prorettype || coalesce(p.proallargtypes, p.proargtypes::pg_catalog.oid[])) as used(type)
      join pg_catalog.pg_type t on t.oid = used.type where t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace)
    then case when p.proretset then 'setof ' else '' end || (select t.typname from pg_catalog.pg_type t where t.oid = p.prorettype) end`
