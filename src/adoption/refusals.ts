import { quoted } from '../core/statements/column-plan.js'
import type { AdoptedSchema } from './adopted-schema.js'
import type { Catalog, CatalogTable } from './catalog.js'
import type { Decisions, TableDecision } from './decisions.js'
import { newNames } from './steps/keys.js'

/** Names that the new keys and indexes are to get, and that something else has. An index of another kind would be taken for ours. */
export function takenNames(catalog: Catalog, adopted: AdoptedSchema): string[] {
  const taken = new Set(catalog.relations)
  return adopted.tables.flatMap((table) =>
    newNames(table)
      .filter((name) => taken.has(name))
      .map((name) => `${adopted.schema}.${name} has the name that a new index of ${table.name} is to get: rename it`),
  )
}

/** Why the plan of a schema cannot be written yet, each in a sentence that says what to do. */
export function refusals(catalog: Catalog, { tables }: Decisions): string[] {
  const tenants = catalog.tables.filter(({ name }) => tables[name]?.kind === 'tenant')
  const names = new Set(tenants.map(({ name }) => name))
  return tenants.flatMap((table) => [
    ...refusalsOf(table, tables[table.name]),
    ...table.referrers
      .filter((referrer) => referrer.schema !== catalog.schema || !names.has(referrer.table))
      .map(
        ({ name, schema, table: from }) =>
          `${schema}.${from} refers to ${table.name} by ${name} and has no organization: give it the kind "tenant", or drop the foreign key`,
      ),
    ...globalTargets(table, tenants, tables[table.name]?.global ?? []),
    ...(tables[table.name]?.global ?? [])
      .filter((name) => !table.uniqueKeys.some((key) => key.name === name))
      .map((name) => `${table.name} has no unique key ${name}, which "global" names`),
  ])
}

/** A foreign key needs a unique key with the organization in front. */
function globalTargets(table: CatalogTable, tenants: readonly CatalogTable[], global: readonly string[]): string[] {
  const keys = table.uniqueKeys.filter(({ name }) => global.includes(name))
  return keys.flatMap(({ name, columns }) =>
    tenants.flatMap((from) =>
      from.foreignKeys
        .filter(
          ({ target }) => target.table === table.name && target.columns.map(quoted).join() === columns.map(bare).join(),
        )
        .map(
          (key) =>
            `${key.name} of ${from.name} refers to ${table.name} by ${name}, which "global" names: take it out there`,
        ),
    ),
  )
}

/** The server quotes the names of columns only where it has to. */
const bare = (column: string) => (column.startsWith('"') ? column : quoted(column))

function refusalsOf(table: CatalogTable, decision: TableDecision | undefined): string[] {
  const way = decision?.way
  const { name, form, exclusions, viewsOnPrimaryKey, columns, foreignKeys } = table
  const organization = columns.find((column) => column.name === 'org_id')
  const isTheWay = typeof way === 'object' && 'column' in way && way.column === 'org_id'
  return [
    ...(form === 'partitioned'
      ? [`${name} is partitioned: its keys are still changed by hand; give it the kind "left" until then`]
      : []),
    ...exclusions.map(
      (exclusion) =>
        `${exclusion} of ${name} is an exclusion constraint, which would hold across organizations: drop it`,
    ),
    ...viewsOnPrimaryKey.map(
      (view) => `${view} groups by the primary key of ${name}: name the columns in its "group by" that it selects`,
    ),
    ...(organization === undefined
      ? []
      : !isTheWay
        ? [`${name}.org_id is not the id of its organization: rename the column`]
        : organization.type === 'uuid'
          ? typeof decision?.unreached === 'object'
            ? [
                `${name}.org_id cannot hold another organization than a row of its table: rename the column, or put the rows aside`,
              ]
            : []
          : [`${name}.org_id is ${organization.type}, and the ids of organizations are uuid: rename the column`]),
    ...foreignKeys
      .filter((key) => key.isFull && key.columns.length > 1)
      .map((key) => `${key.name} of ${name} is MATCH FULL, which an organization would break: make it MATCH SIMPLE`),
  ]
}
