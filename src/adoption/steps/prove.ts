import { quoted } from '../../core/statements/column-plan.js'
import { type AdoptedReference, type AdoptedSchema, type AdoptedTable, literal, nameFor } from '../adopted-schema.js'
import type { CatalogKey, CatalogReference } from '../catalog.js'
import { fitted, inHome, quarantineOf } from '../home.js'
import { matches } from '../owners.js'
import type { Step } from './step.js'

/**
 * Proves that every row has an organization, that it is there, and that every child has that of its parent. The keys that the swap needs
 * are built beside the old ones. Nothing here holds a lock for longer than a moment: indexes are built concurrently, and constraints are
 * added unchecked and validated afterwards.
 */
export function prove(adopted: AdoptedSchema): Step {
  const { tables } = adopted
  return {
    up: [
      refuseTakenNames(adopted),
      // From here on no row without an organization is added.
      ...tables
        .filter(isToProve)
        .map(
          ({ name, on }) => `alter table ${on} add constraint ${setCheck(name)} check (org_id is not null) not valid`,
        ),
      ...moveToQuarantine(adopted),
      ...tables.filter(isToProve).flatMap(proveNotNull),
      ...tables.flatMap(buildIndexes),
      ...tables.flatMap(proveOrganization),
      ...tables.flatMap((table) => table.references.flatMap((reference) => proveReference(adopted, table, reference))),
    ],
    down: [
      ...tables.flatMap(({ on, references }) =>
        references.map(({ key }) => `alter table ${on} drop constraint ${quoted(besideOf(key.name))}`),
      ),
      ...tables.map((table) => `alter table ${table.on} drop constraint ${quoted(organizationKeyOf(table))}`),
      ...tables.flatMap(dropIndexes(adopted.schema)),
      ...tables.filter(isToProve).map(({ on }) => `alter table ${on} alter column org_id drop not null`),
      ...moveBack(adopted),
    ],
  }
}

/** The name of what is built beside a key or an index of this name, until it takes its place. */
export const besideOf = (name: string): string => fitted(`${name}_org`)

const organizationKeyOf = ({ name }: AdoptedTable): string => nameFor(name, 'org_fkey')

/** Whether `org_id` may be null before. */
const isToProve = ({ constant, hadColumn, table }: AdoptedTable): boolean =>
  hadColumn ? table.columns.some(({ name, isNullable }) => name === 'org_id' && isNullable) : constant === undefined

const setCheck = (table: string): string => quoted(nameFor(table, 'org_id_set'))

/** NOT NULL alone would read the whole table under a lock that stops everybody. A checked constraint tells it that there is nothing to find. */
const proveNotNull = ({ name, on }: AdoptedTable): string[] => [
  `alter table ${on} validate constraint ${setCheck(name)}`,
  `alter table ${on} alter column org_id set not null`,
  `alter table ${on} drop constraint ${setCheck(name)}`,
]

/** An index of another kind under the same name would be taken for ours. */
function refuseTakenNames({ schema, tables }: AdoptedSchema): string {
  const names = tables.flatMap(newNames).map(literal)
  return refuseWhen(
    `select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${literal(schema)} and c.relname in (${names.join(', ')})`,
    `a table or an index of ${schema} has a name that an index of tenantry is to get: rename it`,
  )
}

const refuseWhen = (rows: string, message: string): string => `do $body$
begin
  if exists (${rows}) then
    raise exception '%', ${literal(message)};
  end if;
end $body$`

const organizationFirst = (columns: readonly string[]) => ['org_id', ...columns].map(quoted).join(', ')

/** The indexes of the keys with the organization in front, and of the foreign keys that no key serves. */
export const buildIndexes = (table: AdoptedTable): string[] => [
  ...(table.primaryKey.isComplete
    ? []
    : [
        `create unique index concurrently if not exists ${quoted(besideOf(table.primaryKey.name))} on ${table.on} (${organizationFirst(
          namesOf(table),
        )})`,
      ]),
  ...table.uniqueKeys.map((key) => withOrganization(key, table)),
  ...referenceIndexes(table).map(
    ({ name, columns }) =>
      `create index concurrently if not exists ${quoted(name)} on ${table.on} (${organizationFirst(columns)})`,
  ),
]

export const namesOf = ({ primaryKey }: AdoptedTable) => primaryKey.columns.map(({ name }) => name)

const dropIndexes = (schema: string) => (table: AdoptedTable) =>
  newNames(table).map((name) => `drop index concurrently if exists ${quoted(schema)}.${quoted(name)}`)

/** The names of the indexes that are built beside the others. */
export const newNames = (table: AdoptedTable): string[] => [
  ...referenceIndexes(table).map(({ name }) => name),
  ...table.uniqueKeys.map(({ name }) => besideOf(name)),
  ...(table.primaryKey.isComplete ? [] : [besideOf(table.primaryKey.name)]),
]

/** The definition of the server with the organization in front of its columns. */
function withOrganization({ name, definition }: CatalogKey, { on }: AdoptedTable): string {
  const [, rest] = / USING \w+ \(([\s\S]*)$/.exec(definition) ?? []
  if (rest === undefined) throw new TypeError(`the index ${name} has no definition: ${definition}`)
  return `create unique index concurrently if not exists ${quoted(besideOf(name))} on ${on} (org_id, ${rest}`
}

/** For each foreign key an index that begins with its columns, unless a key of the table does. */
export function referenceIndexes(table: AdoptedTable): { name: string; columns: readonly string[] }[] {
  const wanted = new Map(
    table.references
      .map(({ key }) => key.columns)
      .filter((columns) => !startsWith(namesOf(table), columns))
      .map((columns) => [columns.join(), columns]),
  )
  return [...wanted.values()].map((columns) => ({ name: nameFor(table.name, `org_${columns.join('_')}_idx`), columns }))
}

const startsWith = (key: readonly string[], columns: readonly string[]) =>
  columns.every((column) => key.slice(0, columns.length).includes(column))

function proveOrganization(table: AdoptedTable): string[] {
  const name = quoted(organizationKeyOf(table))
  return [
    `alter table ${table.on} add constraint ${name} foreign key (org_id) references platform.organizations (id) on delete cascade not valid`,
    `alter table ${table.on} validate constraint ${name}`,
  ]
}

/** A child whose organization is another than that of its parent is found here. */
export function proveReference(
  adopted: AdoptedSchema,
  table: AdoptedTable,
  { key, target }: AdoptedReference,
): string[] {
  const name = quoted(besideOf(key.name))
  const parent = `${quoted(adopted.schema)}.${quoted(target)}`
  return [
    `alter table ${table.on} add constraint ${name} foreign key (${organizationFirst(key.columns)}) references ${parent} (${organizationFirst(
      key.target.columns,
    )})${actionsOf(key)} not valid`,
    `alter table ${table.on} validate constraint ${name}`,
  ]
}

/** What becomes of the row when its parent is changed or deleted, as before: the organization is never emptied. */
export function actionsOf({ columns, onDelete, onUpdate, emptied, deferral }: CatalogReference): string {
  const empties = onDelete.startsWith('set')
  const emptying = empties ? ` (${(emptied.length === 0 ? columns : emptied).map(quoted).join(', ')})` : ''
  const updating = onUpdate === 'no action' ? '' : ` on update ${onUpdate}`
  const deleting = onDelete === 'no action' ? '' : ` on delete ${onDelete}${emptying}`
  return `${updating}${deleting}${deferral}`
}

/** Puts the rows aside that no way reaches, unless a row that stays refers to one. */
function moveToQuarantine(adopted: AdoptedSchema): string[] {
  const { tables } = adopted
  const moved = tables.filter(({ isQuarantined }) => isQuarantined)
  if (moved.length === 0) return []
  const referring = moved.flatMap((parent) =>
    tables.flatMap((child) =>
      [...child.references.map(({ key }) => key), ...child.dropped]
        .filter(({ target }) => target.table === parent.name)
        .map(
          (key) => `if exists (select from ${child.on} c join ${parent.on} t on ${matches(key, 'c', 't')}
    where t.org_id is null and c.org_id is not null) then
    raise exception '%', ${literal(`rows of ${child.name} refer by ${key.name} to rows of ${parent.name} that are to be put aside: give both an organization`)};
  end if;`,
        ),
    ),
  )
  return [
    `do $body$
begin
  -- Nobody may refer to them any more.
  ${moved.map(({ on }) => `perform from ${on} t where t.org_id is null for update;`).join('\n  ')}
  ${[...referring, ...silence(moved, 'firesOnDelete')].join('\n  ')}
  -- One statement, so that they may refer to each other.
  with ${moved
    .map((table, place) => `gone_${place} as (delete from ${table.on} where org_id is null returning *)`)
    .concat(
      moved
        .slice(1)
        .map(
          (table, place) =>
            `kept_${place + 1} as (insert into ${inHome(adopted.home, quarantineOf(table.name))} (${originals(table)}) select ${originals(table)} from gone_${place + 1})`,
        ),
    )
    .join(', ')}
  ${moved
    .slice(0, 1)
    .map(
      (table) =>
        `insert into ${inHome(adopted.home, quarantineOf(table.name))} (${originals(table)}) select ${originals(table)} from gone_0;`,
    )
    .join('')}
end $body$`,
  ]
}

function moveBack(adopted: AdoptedSchema): string[] {
  const moved = adopted.tables.filter(({ isQuarantined }) => isQuarantined)
  if (moved.length === 0) return []
  const [first, ...others] = moved.map((table) => {
    const columns = table.table.columns
      .filter(({ isGenerated, name }) => !isGenerated && (table.hadColumn || name !== 'org_id'))
      .map(({ name }) => quoted(name))
      .join(', ')
    const from = inHome(adopted.home, quarantineOf(table.name))
    return `insert into ${table.on} (${columns}) overriding system value select ${columns} from ${from}`
  })
  const also = others.map((insert, place) => `back_${place} as (${insert})`)
  return [
    `do $body$
begin
  ${[...silence(moved, 'firesOnInsert')].join('\n  ')}
  ${also.length === 0 ? '' : `with ${also.join(', ')}\n  `}${first ?? ''};
  ${moved.map(({ name }) => `delete from ${inHome(adopted.home, quarantineOf(name))};`).join('\n  ')}
end $body$`,
  ]
}

const silence = (tables: readonly AdoptedTable[], fires: 'firesOnDelete' | 'firesOnInsert'): string[] =>
  tables.some(({ table }) => table.triggers.some((trigger) => trigger[fires]))
    ? [`perform pg_catalog.set_config('session_replication_role', 'replica', true);`]
    : []

/** The columns that the table had before. */
const originals = ({ table }: AdoptedTable): string => table.columns.map(({ name }) => quoted(name)).join(', ')
