import { newId } from '../../core/ids.js'
import { quoted } from '../../core/statements/column-plan.js'
import type { Session } from '../../database/session.js'
import type { CarriedTable } from './carried-table.js'

/** A variant of an add-on, as the rows that use it describe it. */
interface UsedAddon {
  readonly addonId: string | null
  readonly variant: string | null
  readonly price: string | null
  readonly currency: string
}

/**
 * The earlier table says with each use what the add-on is: this part of it goes into the catalog. An entry that is there keeps its name and
 * its prices, and gets the variants that it lacks.
 */
export async function fillCatalog(session: Session, table: CarriedTable, keys: readonly string[]): Promise<void> {
  const valueOf = (column: string) => table.columns.find(({ name }) => name === column)?.value ?? 'null::text'
  const used = await session.query<UsedAddon>(
    `select distinct on (1, 2) ${valueOf('addon_id')} as "addonId", ${valueOf('addon_variant')} as variant,
       ${valueOf('price_per_unit')}::text as price, ${valueOf('currency')}::text as currency
     from ${table.source} s where s.${quoted(table.key.name)} = any ($1::text[]::${table.key.type}[])
     order by 1, 2, ${valueOf('price_per_unit')} is null, ${valueOf('status')} <> 'active', ${valueOf('activated_at')} desc`,
    [keys],
  )
  for (const addonId of new Set(used.map((row) => row.addonId))) {
    if (addonId === null) continue
    await session.query(
      `insert into platform.addon_catalog (id, addon_id, name, type) values ($1, $2, $2, $2) on conflict (addon_id) do nothing`,
      [newId(), addonId],
    )
    const variants = used
      .filter((row) => row.addonId === addonId && row.variant !== null && row.price !== null)
      .map(({ variant, price, currency }) => ({ variant, name: variant, price, currency }))
    await session.query(
      `update platform.addon_catalog c set variants = c.variants || l.lacking
       from (select pg_catalog.jsonb_agg(v.value) as lacking from platform.addon_catalog k, pg_catalog.jsonb_array_elements($2::jsonb) v
         where k.addon_id = $1 and not exists (select from pg_catalog.jsonb_array_elements(k.variants) h where h.value ->> 'variant' = v.value ->> 'variant')) l
       where c.addon_id = $1 and l.lacking is not null`,
      [addonId, JSON.stringify(variants)],
    )
  }
}
