import { quoted } from '../../core/statements/column-plan.js'
import { type AdoptedSchema, type AdoptedTable, type OrganizationSource } from '../adopted-schema.js'
import { type CatalogColumn, fires } from '../catalog.js'
import { inHome } from '../home.js'
import { organizationOfRow } from './organizations.js'
import { literal } from '../sql.js'

/** How one table is filled, or its rows made organizations. */
export interface BackfillEntry {
  /** Names the entry where its progress is kept. */
  readonly name: string
  readonly table: string
  /** Its name in SQL, with its schema. */
  readonly on: string
  /** Whether triggers or rules of the table fire on updates, and are to stay silent. */
  readonly isSilent: boolean
  /** How many columns the key has by which it goes. */
  readonly keyLength: number
  /**
   * Takes the rows of the next batch for itself. `$1` is how many, the others are the key after which it begins, or null. Returns their
   * number as `rows`, and the `last` key.
   */
  readonly take: string
  /** Fills them, up to the last key. Returns `filled` and `unreached`. A statement of its own, so that it sees what others wrote before. */
  readonly fill: string
  /**
   * Counts the rows of a filled table whose organization is not the one that their way leads to, as `wrong`: rows that no way reaches and that
   * are not put aside, and rows that were filled before they, or a parent of theirs, were there or moved.
   */
  readonly check: string | null
}

/** Organizations first, so that every row finds its own. */
export const backfillEntries = (adopted: AdoptedSchema): BackfillEntry[] => [
  ...adopted.sources.filter(({ isRoot }) => isRoot).map((root) => mirrorEntry(adopted, root)),
  ...adopted.tables.filter(({ mayLack }) => mayLack).map((table) => fillEntry(adopted, table)),
]

const mirrorEntry = ({ home }: AdoptedSchema, { table, on, id, prefix }: OrganizationSource): BackfillEntry => ({
  name: `organizations of ${table.name}`,
  table: table.name,
  on,
  isSilent: false,
  keyLength: 1,
  take: take(on, [id], ''),
  fill: `select pg_catalog.count(made.org_id)::int as filled, 0 as unreached
from (select ${inHome(home, 'organization_of')}(${literal(prefix)} || t.${quoted(id.name)}::text) as org_id from ${on} t where ${between([id])}) made`,
  check: null,
})

function fillEntry(adopted: AdoptedSchema, table: AdoptedTable): BackfillEntry {
  const { name, on, primaryKey, hadColumn, isQuarantined } = table
  const key = primaryKey.columns
  const columns = key.map((column) => quoted(column.name))
  const isSame = key
    .map((column) => `t.${quoted(column.name)} ${operatorsOf(column).equal} f.${quoted(column.name)}`)
    .join(' and ')
  const organization = organizationOfRow(adopted, { owner: table.ownerBefore })
  const known = organizationOfRow(adopted, table, { makes: false })
  const isOpen = hadColumn ? 't.org_id is null' : 't.org_id is distinct from f.org_id'
  return {
    name,
    table: name,
    on,
    isSilent: fires(table.table, 'firesOnUpdate'),
    keyLength: key.length,
    take: take(on, key, ' for no key update'),
    fill: `with found as materialized (
  select ${columns.map((column) => `t.${column}`).join(', ')}, ${organization.sql} as org_id
  from ${on} t${organization.joins} where ${between(key)}
), filled as (
  update ${on} t set org_id = f.org_id from found f where ${isSame} and ${between(key)} and f.org_id is not null and ${isOpen} returning 1
)
select (select pg_catalog.count(*)::int from filled) as filled,
  pg_catalog.count(*) filter (where f.org_id is null)::int as unreached from found f`,
    // Where no row with the key is of the same organization, those of several others may be joined.
    check: `select pg_catalog.count(distinct t.ctid)::float8 as wrong from ${on} t${known.joins}
where ${known.reaches} and t.org_id is distinct from ${known.sql}${isQuarantined ? '' : ' or t.org_id is null'}`,
  }
}

const take = (on: string, key: readonly CatalogColumn[], lock: string): string => {
  const columns = key.map(({ name }) => quoted(name))
  return `with batch as materialized (
  select ${columns.map((column) => `t.${column}`).join(', ')} from ${on} t where ${columns.map((column) => `t.${column} is not null`).join(' and ')} and ${after(key)}
  order by ${columns.map((column) => `t.${column}`).join(', ')} limit $1${lock}
)
select pg_catalog.count(*)::int as rows,
  (select array[${columns.map((column) => `b.${column}::text`).join(', ')}] from batch b order by ${columns
    .map((column) => `b.${column} desc`)
    .join(', ')} limit 1) as last
from batch`
}

/** `$2` and so on are the key before the first row, or null. */
const after = (key: readonly CatalogColumn[], offset = 2): string =>
  `($${offset}::text is null or ${isBeyond(key, offset, 'above')})`

/** `$1` and so on are the key before the first row, or null, and after them the last key. */
const between = (key: readonly CatalogColumn[]): string =>
  `${after(key, 1)} and ${isBeyond(key, 1 + key.length, 'upTo')}`

/** Compares the key of row `t` with the parameters from `offset` on, as `order by` does. */
function isBeyond(key: readonly CatalogColumn[], offset: number, side: 'above' | 'upTo'): string {
  const values = key.map(({ type }, place) => `$${place + offset}::text::${type}`)
  const columns = key.map(({ name }) => `t.${quoted(name)}`)
  if (key.every(({ operators }) => operators === null))
    return `(${columns.join(', ')}) ${side === 'above' ? '>' : '<='} (${values.join(', ')})`
  // A comparison of rows looks for all its operators in one schema.
  return key.reduceRight((rest, column, place) => {
    const { less, atMost, atLeast, greater } = operatorsOf(column)
    const [strictly, atBest] = side === 'above' ? [greater, atLeast] : [less, atMost]
    const compared = (operator: string) => `${columns[place]} ${operator} ${values[place]}`
    if (rest === '') return compared(side === 'above' ? greater : atMost)
    return `(${compared(atBest)} and (${compared(strictly)} or ${rest}))`
  }, '')
}

function operatorsOf({ operators }: CatalogColumn) {
  const [less = '<', atMost = '<=', equal = '=', atLeast = '>=', greater = '>'] = operators ?? []
  return { less, atMost, equal, atLeast, greater }
}
