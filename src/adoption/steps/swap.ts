import { quoted } from '../../core/statements/column-plan.js'
import { type AdoptedSchema, type AdoptedTable } from '../adopted-schema.js'
import type { CatalogKey, CatalogReference } from '../catalog.js'
import {
  besideOf,
  buildIndexes,
  buildOldKeys,
  countReused,
  marksOf,
  proveReference,
  rebuiltName,
  reusedKey,
  reusedPrimaryKey,
  swappedNames,
  takenName,
  wordsOf,
} from './keys.js'
import { matches } from '../owners.js'
import type { Step } from './step.js'
import { bodyOf, literal } from '../sql.js'

/** Puts the keys with the organization in the place of the old ones, under their names. Each statement takes milliseconds. */
export function swap(adopted: AdoptedSchema): Step {
  const { schema, tables } = adopted
  return {
    up: [
      refuseKeyUsers(adopted),
      ...refuseNarrowPublications(adopted),
      ...tables.flatMap((table) => [
        ...table.references.flatMap((key) => [
          `alter table ${table.on} drop constraint ${quoted(key.name)}`,
          `alter table ${table.on} rename constraint ${quoted(besideOf(key.name))} to ${quoted(key.name)}`,
          ...marksOf(table, key),
        ]),
        ...table.dropped.map(({ name }) => `alter table ${table.on} drop constraint ${quoted(name)}`),
      ]),
      ...tables.flatMap((table) => takeKeys(schema, table, besideOf, true)),
    ],
    down: [
      refuseWayBack(adopted),
      ...tables.flatMap(buildOldKeys),
      ...tables.flatMap(({ on, references, dropped }) =>
        [...references, ...dropped].flatMap(({ name, definition }) => [
          `alter table ${on} add constraint ${quoted(rebuiltName(name))} ${definition} not valid`,
          `alter table ${on} validate constraint ${quoted(rebuiltName(name))}`,
        ]),
      ),
      ...tables.flatMap((table) => [
        ...table.references.map(({ name }) => `alter table ${table.on} drop constraint ${quoted(name)}`),
        ...[...table.references, ...table.dropped].flatMap((key) => [
          `alter table ${table.on} rename constraint ${quoted(rebuiltName(key.name))} to ${quoted(key.name)}`,
          ...marksOf(table, key),
        ]),
      ]),
      ...tables.flatMap((table) => takeKeys(schema, table, rebuiltName, false)),
      // As the step before has left them.
      ...tables.flatMap(buildIndexes),
      ...tables.flatMap((table) => table.references.flatMap((key) => proveReference(table, key))),
    ],
  }
}

/** Puts the indexes in the place of the keys from whose names `nameOf` makes theirs. */
const takeKeys = (
  schema: string,
  table: AdoptedTable,
  nameOf: (key: string) => string,
  hasOrganization: boolean,
): string[] => [
  ...takePrimaryKey(table, nameOf(table.primaryKey.name)),
  ...(table.primaryKey.isComplete ? [] : marksOf(table, table.primaryKey, hasOrganization)),
  ...table.uniqueKeys.flatMap((key) => [
    ...takeUnique(schema, table, key, nameOf(key.name)),
    ...marksOf(table, key, hasOrganization),
  ]),
]

/** Before anything is replaced: something may have got a key since the plan that nobody may drop. */
const refuseKeyUsers = ({ tables }: AdoptedSchema): string =>
  `do ${bodyOf(`
declare
  tenantry_user record;
begin
${keyUsers(tables)}
end`)}`

/** Functions with a BEGIN ATOMIC body, views and rules may depend on a key, for which the server refuses to drop it. */
function keyUsers(tables: readonly AdoptedTable[]): string {
  const keys = tables.flatMap(({ on, primaryKey, uniqueKeys }) =>
    [...(primaryKey.isComplete ? [] : [primaryKey]), ...uniqueKeys.filter(({ isConstraint }) => isConstraint)].map(
      ({ name }) => `(${literal(on)}::pg_catalog.regclass, ${literal(name)}::pg_catalog.name)`,
    ),
  )
  return keys.length === 0
    ? ''
    : `  select pg_catalog.pg_describe_object(d.classid, d.objid, 0) as name, k.conname as key, k.conrelid::pg_catalog.regclass as place into tenantry_user
  from pg_catalog.pg_depend d join pg_catalog.pg_constraint k on k.oid = d.refobjid
  where d.refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
    and d.classid = any (array['pg_catalog.pg_proc', 'pg_catalog.pg_rewrite', 'pg_catalog.pg_policy']::pg_catalog.regclass[])
    and (k.conrelid, k.conname) in (${keys.join(', ')}) order by 1, 2 limit 1;
  if found then
    raise exception '% depends on % of %, which is to be replaced: name the columns in its "group by" and its "on conflict", give a function a body of text in place of BEGIN ATOMIC, or drop it until then',
      tenantry_user.name, tenantry_user.key, tenantry_user.place;
  end if;`
}

/** Subscribers find a row by its primary key. Where a publication leaves a column of it out, the server refuses every update and delete. */
function refuseNarrowPublications({ tables }: AdoptedSchema): string[] {
  const swapped = tables.filter(({ primaryKey }) => !primaryKey.isComplete)
  if (swapped.length === 0) return []
  return [
    `do ${bodyOf(`
declare
  tenantry_narrow record;
begin
  select p.pubname as publication, r.prrelid::pg_catalog.regclass as name into tenantry_narrow
  from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid
  join pg_catalog.pg_attribute a on a.attrelid = r.prrelid and a.attname = 'org_id' and not a.attisdropped
  where r.prrelid = any (array[${swapped.map(({ on }) => literal(on)).join(', ')}]::pg_catalog.regclass[]) and (p.pubupdate or p.pubdelete)
    and r.prattrs is not null and not a.attnum = any (r.prattrs) order by 1, 2 limit 1;
  if found then
    raise exception 'the publication % sends some columns of % without org_id, which its primary key gets: add org_id to them by \`alter publication … set table\`, or updates and deletes would be refused',
      tenantry_narrow.publication, tenantry_narrow.name;
  end if;
end`)}`,
  ]
}

const takePrimaryKey = ({ on, primaryKey }: AdoptedTable, index: string): string[] =>
  primaryKey.isComplete
    ? []
    : [
        `alter table ${on} drop constraint ${quoted(primaryKey.name)}, add constraint ${quoted(primaryKey.name)} primary key using index ${quoted(index)}`,
      ]

function takeUnique(
  schema: string,
  { on }: AdoptedTable,
  { name, isConstraint, deferral }: CatalogKey,
  index: string,
): string[] {
  if (isConstraint)
    return [
      `alter table ${on} drop constraint ${quoted(name)}, add constraint ${quoted(name)} unique using index ${quoted(index)}${deferral}`,
    ]
  return [
    `drop index ${quoted(schema)}.${quoted(name)}`,
    `alter index ${quoted(schema)}.${quoted(index)} rename to ${quoted(name)}`,
  ]
}

/** Before anything is undone: what would stop the way back. */
const refuseWayBack = ({ schema, tables }: AdoptedSchema): string =>
  `do ${bodyOf(`
#variable_conflict use_column
declare
  tenantry_count bigint;
  tenantry_taken text;
  tenantry_user record;
begin
${takenName(schema, tables.flatMap(swappedNames))}
${keyUsers(tables)}
${tables
  .flatMap((table) => [
    ...(table.primaryKey.isComplete ? [] : [refuseReused(table, reusedPrimaryKey(table))]),
    ...table.uniqueKeys.map((key) => refuseReused(table, reusedKey(key))),
    ...table.dropped.map((key) => refuseDangling(table, key)),
  ])
  .join('\n')}
end`)}`

/** Once two organizations use the same key, it cannot be unique in the table any more. */
const refuseReused = ({ name, on }: AdoptedTable, key: ReturnType<typeof reusedKey>): string =>
  `${countReused(on, key)}
  if tenantry_count > 0 then
    raise exception '%: % values of % are used by several organizations, and cannot be unique again',
      ${literal(name)}, tenantry_count, ${literal(wordsOf(key))};
  end if;`

/** A foreign key that was dropped with the swap does not hold any more where a row has gone. */
const refuseDangling = ({ name, on }: AdoptedTable, key: CatalogReference): string =>
  `  select count(*) into tenantry_count from ${on} c
  where ${key.columns.map((column) => `c.${quoted(column)} is not null`).join(' and ')}
    and not exists (select from ${quoted(key.target.schema)}.${quoted(key.target.table)} t where ${matches(key, 'c', 't')});
  if tenantry_count > 0 then
    raise exception '%: % rows refer by % to rows that are gone', ${literal(name)}, tenantry_count, ${literal(key.name)};
  end if;`
