import { quoted } from '../../core/statements/column-plan.js'
import { type AdoptedSchema, type AdoptedTable } from '../adopted-schema.js'
import { fires } from '../catalog.js'
import { inHome, quarantineOf } from '../home.js'
import { hasNobody, matches } from '../owners.js'
import { organizationOfRow } from './organizations.js'
import {
  besideOf,
  buildIndexes,
  countReused,
  dropIndex,
  newNames,
  organizationKeyOf,
  proveReference,
  refuseTakenNames,
  relationNames,
  reusedKey,
  reusedPrimaryKey,
  setCheckOf,
  wordsOf,
} from './keys.js'
import type { Step } from './step.js'
import { bodyOf, literal } from '../sql.js'

/**
 * Proves that every row has an organization, that it is there, and that every child has that of its parent. The keys that the swap needs
 * are built beside the old ones. Nothing here holds a lock for longer than a moment: indexes are built concurrently, and constraints are
 * added unchecked and validated afterwards.
 */
export function prove(adopted: AdoptedSchema): Step {
  const { schema, tables } = adopted
  return {
    up: [
      refuseTakenNames(schema, tables.flatMap(relationNames)),
      // From here on no row without an organization is added.
      ...tables
        .filter(({ mayLack }) => mayLack)
        .map(
          (table) =>
            `alter table ${table.on} add constraint ${quoted(setCheckOf(table))} check (org_id is not null) not valid`,
        ),
      ...moveToQuarantine(adopted),
      ...tables.filter(({ mayLack }) => mayLack).flatMap(proveNotNull),
      ...tables.flatMap(buildIndexes),
      ...tables.flatMap(proveOrganization),
      ...tables.flatMap((table) => table.references.flatMap((key) => proveReference(table, key))),
    ],
    down: [
      ...refuseWayBack(adopted),
      ...tables.flatMap(({ on, references }) =>
        references.map(({ name }) => `alter table ${on} drop constraint if exists ${quoted(besideOf(name))}`),
      ),
      ...tables.map((table) => `alter table ${table.on} drop constraint if exists ${quoted(organizationKeyOf(table))}`),
      ...tables.map((table) => `alter table ${table.on} drop constraint if exists ${quoted(setCheckOf(table))}`),
      ...tables.flatMap(newNames).map((name) => dropIndex(schema, name)),
      ...tables.filter(({ mayLack }) => mayLack).map(({ on }) => `alter table ${on} alter column org_id drop not null`),
      ...moveBack(adopted),
    ],
  }
}

/** NOT NULL alone would read the whole table under a lock that stops everybody. A checked constraint tells it that there is nothing to find. */
const proveNotNull = (table: AdoptedTable): string[] => [
  `alter table ${table.on} validate constraint ${quoted(setCheckOf(table))}`,
  `alter table ${table.on} alter column org_id set not null`,
  `alter table ${table.on} drop constraint ${quoted(setCheckOf(table))}`,
]

function proveOrganization(table: AdoptedTable): string[] {
  const name = quoted(organizationKeyOf(table))
  return [
    `alter table ${table.on} add constraint ${name} foreign key (org_id) references platform.organizations (id) on delete cascade not valid`,
    `alter table ${table.on} validate constraint ${name}`,
  ]
}

/** Puts the rows aside that no way reaches, unless a row that stays refers to one. */
function moveToQuarantine(adopted: AdoptedSchema): string[] {
  const { tables } = adopted
  const moved = tables.filter(({ isQuarantined }) => isQuarantined)
  if (moved.length === 0) return []
  const places = new Map(moved.map((table, place) => [table.name, `tenantry_aside_${place}`]))
  const isAside = ({ name }: AdoptedTable, alias: string) => {
    const rows = places.get(name)
    return rows === undefined ? 'false' : `${alias}.ctid in (select pg_catalog.unnest(${rows}))`
  }
  const referring = moved.flatMap((parent) =>
    tables.flatMap((child) =>
      child.table.foreignKeys
        .filter(({ target }) => target.schema === adopted.schema && target.table === parent.name)
        .map(
          (key) => `if exists (select from ${child.on} c join ${parent.on} t on ${matches(key, 'c', 't')}
    where ${isAside(parent, 't')} and not (${isAside(child, 'c')})) then
    raise exception '%', ${literal(`rows of ${child.name} refer by ${key.name} to rows of ${parent.name} that are to be put aside: give both an organization`)};
  end if;`,
        ),
    ),
  )
  const gone = moved.map(
    (table, place) => `gone_${place} as (delete from ${table.on} c where ${isAside(table, 'c')} returning c.*)`,
  )
  const [first = '', ...others] = moved.map((table, place) => {
    const columns = table.table.columns.map(({ name }) => quoted(name)).join(', ')
    return `insert into ${inHome(adopted.home, quarantineOf(table.name))} (${columns}) select ${columns} from gone_${place}`
  })
  const kept = others.map((insert, place) => `kept_${place} as (${insert})`)
  const lock = (table: AdoptedTable) =>
    `select c.ctid as place from ${table.on} c where c.ctid in (${asideRows(adopted, table)}) for update`
  return [
    `do ${bodyOf(`
#variable_conflict use_column
declare
  ${[...places.values()].map((rows) => `${rows} tid[];`).join('\n  ')}
begin
  -- Nobody may refer to them any more. This waits for those who write them, and passes over what they wrote.
  ${moved.map((table) => `perform from (${lock(table)}) c;`).join('\n  ')}
  -- So they are looked for again. These rows stay where they are until the end, and a row that has come to nothing since is none of them.
  ${moved.map((table) => `select array_agg(c.place) into ${places.get(table.name)} from (${lock(table)}) c;`).join('\n  ')}
  ${[...referring, ...silence(moved, 'firesOnDelete')].join('\n  ')}
  -- One statement, so that they may refer to each other.
  with ${[...gone, ...kept].join(', ')}
  ${first};
  ${moved.map(refuseLateRows).join('\n  ')}
end`)}`,
  ]
}

/** The rows of a table that are put aside. A column of its own may hold the id of nobody. */
function asideRows(adopted: AdoptedSchema, table: AdoptedTable): string {
  const { joins, reaches } = organizationOfRow(adopted, { owner: table.ownerBefore }, { makes: false })
  return `select t.ctid from ${table.on} t${joins} where ${hasNobody('t', table.hadColumn)} and not (${reaches})`
}

/** Their parent has got its organization since the rows were checked, or lost it since they were looked for. */
const refuseLateRows = ({ name, on, hadColumn }: AdoptedTable): string =>
  `if exists (select from ${on} t where ${hasNobody('t', hadColumn)}) then
    raise exception '%', ${literal(`rows of ${name} lead to an organization by now and have none yet, or lost theirs at this moment: undo this step with tenantry adopt down, and run tenantry adopt backfill --again`)};
  end if;`

/** Before anything is undone: what would keep rows from coming back. */
function refuseWayBack({ home, schema, tables }: AdoptedSchema): string[] {
  const moved = tables.filter(({ isQuarantined }) => isQuarantined)
  const isMoved = (name: string) => moved.some((table) => table.name === name)
  const asideOf = (name: string) => inHome(home, quarantineOf(name))
  const checks = moved.map((table) => {
    const { name, on } = table
    const columns = table.table.columns.map((column) => quoted(column.name)).join(', ')
    const all = `(select ${columns} from ${on} union all select ${columns} from ${asideOf(name)}) t`
    const reused = [reusedPrimaryKey(table), ...table.table.uniqueKeys.map(reusedKey)].map(
      (key) => `${countReused(all, key)}
  if tenantry_count > 0 then
    raise exception '%: % values of % are used again, of rows that wait in %: change them in one of the two tables',
      ${literal(name)}, tenantry_count, ${literal(wordsOf(key))}, ${literal(asideOf(name))};
  end if;`,
    )
    const dangling = table.table.foreignKeys.map((key) => {
      const { target } = key
      const places = [
        `${quoted(target.schema)}.${quoted(target.table)}`,
        ...(target.schema === schema && isMoved(target.table) ? [asideOf(target.table)] : []),
      ]
      return `  select count(*) into tenantry_count from ${asideOf(name)} c
  where ${key.columns.map((column) => `c.${quoted(column)} is not null`).join(' and ')}
    ${places.map((place) => `and not exists (select from ${place} t where ${matches(key, 'c', 't')})`).join(' ')};
  if tenantry_count > 0 then
    raise exception '%: % rows that wait in % refer by % to rows that are gone: change or delete them there',
      ${literal(name)}, tenantry_count, ${literal(asideOf(name))}, ${literal(key.name)};
  end if;`
    })
    return `  if exists (select from ${asideOf(name)}) then
${[...reused, ...dangling].join('\n')}
  end if;`
  })
  if (checks.length === 0) return []
  return [
    `do ${bodyOf(`
#variable_conflict use_column
declare
  tenantry_count bigint;
begin
${checks.join('\n')}
end`)}`,
  ]
}

function moveBack(adopted: AdoptedSchema): string[] {
  const moved = adopted.tables.filter(({ isQuarantined }) => isQuarantined)
  if (moved.length === 0) return []
  const [first = '', ...others] = moved.map((table) => {
    const columns = table.table.columns
      .filter(({ isGenerated }) => !isGenerated)
      .map(({ name }) => quoted(name))
      .join(', ')
    const from = inHome(adopted.home, quarantineOf(table.name))
    return `insert into ${table.on} (${columns}) overriding system value select ${columns} from ${from}`
  })
  const also = others.map((insert, place) => `back_${place} as (${insert})`)
  return [
    `do ${bodyOf(`
#variable_conflict use_column
begin
  ${silence(moved, 'firesOnInsert').join('')}
  ${also.length === 0 ? '' : `with ${also.join(', ')}\n  `}${first};
  ${moved.map(({ name }) => `delete from ${inHome(adopted.home, quarantineOf(name))};`).join('\n  ')}
end`)}`,
  ]
}

const silence = (tables: readonly AdoptedTable[], on: 'firesOnDelete' | 'firesOnInsert'): string[] =>
  tables.some(({ table }) => fires(table, on))
    ? [`perform pg_catalog.set_config('session_replication_role', 'replica', true);`]
    : []
