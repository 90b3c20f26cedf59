import { quoted } from '../core/statements/column-plan.js'
import type { AdoptedSchema, AdoptedTable } from './adopted-schema.js'
import { type Catalog, type CatalogColumn, type CatalogTable, isOurs } from './catalog.js'
import type { Decisions, TableDecision } from './decisions.js'
import type { Finding } from './findings.js'
import { fillTriggerName } from './steps/expand.js'
import { constraintNames, relationNames } from './steps/keys.js'

/**
 * What keeps the steps from being written, each in a sentence that says what to do. Tables that are to be mended before are left out, and so
 * are those that a step has changed already.
 */
export function obstacles(
  catalog: Catalog,
  { tables }: Decisions,
  adopted: AdoptedSchema,
  leftOut: ReadonlySet<string>,
): Finding[] {
  const seen = { ...adopted, tables: adopted.tables.filter(({ name }) => !leftOut.has(name)) }
  const tenants = adopted.tables.map(({ table }) => table)
  // The step observe has given rights on them.
  const shared = catalog.tables.some(({ isAdopted }) => isAdopted) ? [] : seen.shared
  const mend = (table: string, messages: readonly string[]) =>
    messages.map((message) => obstacle(table, 'mend', message))
  const decide = (table: string, messages: readonly string[]) =>
    messages.map((message) => obstacle(table, 'decision', message))
  return [
    ...[...seen.tables, ...shared]
      .filter(({ table: { name, isGranted } }) => isGranted && !leftOut.has(name))
      .flatMap(({ table: { name } }) =>
        mend(name, [
          `tenantry_app or tenantry_system have rights on ${name} already: revoke them, the step observe grants those that are needed`,
        ]),
      ),
    ...seen.sources.flatMap(({ table, id }) => decide(table.name, idRefusals(table, id.name))),
    ...seen.tables.flatMap((one) => {
      const { table, wayColumns, parents } = one
      return [
        ...mend(table.name, [
          ...refusalsOf(table, tables[table.name]),
          ...keyRefusals(table),
          ...triggerRefusals(table),
          ...wayColumns.flatMap((column) => idRefusals(table, column)),
        ]),
        ...parents.flatMap((parent) => mend(parent.table, looseKeys(catalog, parent))),
        ...lateParents(one),
        ...decide(table.name, [
          ...referrerRefusals(catalog, table, tables),
          ...globalTargets(catalog.schema, table, tenants, tables),
          ...(tables[table.name]?.global ?? [])
            .filter((name) => !table.uniqueKeys.some((key) => key.name === name))
            .map((name) => `${table.name} has no unique key ${name}, which "global" names`),
        ]),
      ]
    }),
    ...takenNames(catalog, seen).flatMap(([table, message]) => mend(table, [message])),
  ]
}

const obstacle = (table: string, needs: Finding['needs'], message: string): Finding => ({
  table,
  kind: 'obstacle',
  needs,
  message,
})

/** Names that the new keys and indexes are to get, and that something else has. An index of another kind would be taken for ours. */
function takenNames(catalog: Catalog, adopted: AdoptedSchema): (readonly [table: string, message: string])[] {
  const taken = new Set(catalog.relations)
  const refused = (table: string, name: string) =>
    [table, `${name} has a name that a new key or index of ${table} is to get: rename it`] as const
  const names = adopted.tables.flatMap(relationNames)
  const twice = names.filter((name, place) => names.indexOf(name) !== place)
  return adopted.tables.flatMap((table) => [
    ...relationNames(table)
      .filter((name) => twice.includes(name))
      .map(
        (name) =>
          [
            table.name,
            `two new indexes are to be called ${name}, one of them of ${table.name}: rename a key or a column`,
          ] as const,
      ),
    ...relationNames(table)
      .filter((name) => taken.has(name))
      .map((name) => refused(table.name, `${adopted.schema}.${name}`)),
    ...constraintNames(table)
      .filter((name) => table.table.constraints.includes(name))
      .map((name) => refused(table.name, `the constraint ${name}`)),
  ])
}

/** A row without an organization could refer to rows of any. Of a table that is undecided that is told instead. */
function referrerRefusals(
  { schema, tables: all }: Catalog,
  table: CatalogTable,
  tables: Decisions['tables'],
): string[] {
  const isOpen = (name: string) => all.some((one) => one.name === name) && tables[name] === undefined
  return table.referrers
    .filter((from) => from.schema !== schema || (tables[from.table]?.kind !== 'tenant' && !isOpen(from.table)))
    .map(
      ({ name, schema: place, table: from }) =>
        `${place}.${from} refers to ${table.name} by ${name} and has no organization: give it the kind "tenant", or drop the foreign key`,
    )
}

// Their text is the same in every session, and no function of the schema writes it.
const idTypes = /^(?:smallint|integer|bigint|uuid|text|character(?: varying)?(?:\(\d+\))?)$/

function idRefusals({ name, columns }: CatalogTable, column: string): string[] {
  const found = columns.find((one) => one.name === column)
  if (found === undefined) return []
  return [
    ...(idTypes.test(found.type)
      ? []
      : [`${name}.${column} is ${found.type}: what leads to an organization may be a whole number, a uuid or text`]),
    ...looseText(name, found),
    ...(found.isGenerated
      ? [`${name}.${column} is computed after triggers have run, and leads nowhere in them: take another way`]
      : []),
  ]
}

/** Another text would find the row too. */
function looseKeys({ tables }: Catalog, { table, columns }: AdoptedTable['parents'][number]): string[] {
  const found = tables.find(({ name }) => name === table)?.columns ?? []
  return found.filter(({ name }) => columns.includes(name)).flatMap((column) => looseText(table, column))
}

const looseText = (table: string, { name, type, collation, isLoose }: CatalogColumn): string[] =>
  isLoose
    ? [
        `${table}.${name} has the collation ${collation ?? ''}, to which different texts are the same, so that a row may lead to several organizations: \`alter table … alter column … type ${type} collate "C"\``,
      ]
    : []

/** Keys that the way back could not give again as they were. */
function keyRefusals({
  name,
  primaryKeyName,
  primaryKeyDefinition,
  uniqueKeys,
  foreignKeys,
  ...table
}: CatalogTable): string[] {
  const plain = `PRIMARY KEY (${table.primaryKey.join(', ')})`
  return [
    ...(primaryKeyDefinition === null || primaryKeyDefinition.replaceAll('"', '') === plain.replaceAll('"', '')
      ? []
      : [`${primaryKeyName ?? ''} of ${name} is ${primaryKeyDefinition}: make a plain primary key of it`]),
    ...uniqueKeys
      .filter(({ definition }) => !definition.includes(' USING btree ('))
      .map((key) => `${key.name} of ${name} is no btree index: drop it`),
    ...uniqueKeys
      .filter(({ deferral }) => deferral !== '')
      .map((key) => `${key.name} of ${name} is deferrable, and would not be until the swap: make it immediate`),
    ...foreignKeys
      .filter(({ columns, target }) => target.columns.includes('org_id') && !columns.includes('org_id'))
      .map((key) => `${key.name} of ${name} refers to org_id by a column of another name: rename that column org_id`),
    ...foreignKeys
      .filter(({ isValidated }) => !isValidated)
      .map((key) =>
        key.isEnforced
          ? `${key.name} of ${name} was not validated for every row: \`alter table … validate constraint\``
          : `${key.name} of ${name} is NOT ENFORCED, so that rows may refer to none: \`alter table … alter constraint … enforced\`, or drop it`,
      ),
    ...foreignKeys
      .filter(({ isDisabled }) => isDisabled)
      .map(
        (key) =>
          `${key.name} of ${name} has disabled triggers, and is not checked; the key of the swap would be: \`alter table … enable trigger all\` for ${name} and ${key.target.table}, or drop it`,
      ),
    ...foreignKeys
      .filter(({ onUpdate }) => onUpdate.startsWith('set'))
      .map((key) => `${key.name} of ${name} empties columns on update, also the organization: drop its ON UPDATE`),
    ...foreignKeys
      .filter(
        ({ columns, onDelete, emptied }) =>
          onDelete.startsWith('set') && (emptied.length === 0 ? columns : emptied).includes('org_id'),
      )
      .map(
        (key) =>
          `${key.name} of ${name} empties org_id on delete, and from prove on every row has an organization: make it ON DELETE RESTRICT or CASCADE`,
      ),
    ...(table.replicaIdentity === null
      ? []
      : [
          `subscribers find the rows of ${name} by ${table.replicaIdentity}: \`alter table … replica identity default\``,
        ]),
    ...table.policies
      .filter(isOurs)
      .map((policy) => `${name} has a policy with the name ${policy.name}, which is one of ours: rename it`),
  ]
}

function triggerRefusals({ name, triggers, rules }: CatalogTable): string[] {
  return [
    ...rules
      .filter((rule) => rule.isNeverSilent)
      .map(
        (rule) =>
          `${rule.name} of ${name} is a rule that fires while rows are filled too: \`alter table … enable rule\` without ALWAYS and REPLICA`,
      ),
    ...triggers
      .filter((trigger) => trigger.isBeforeRow && trigger.name > fillTriggerName)
      .map(
        (trigger) =>
          `${trigger.name} of ${name} fires after the trigger that fills organizations, and could change the way: rename it, so that it sorts before zz`,
      ),
    ...triggers
      .filter((trigger) => trigger.isNeverSilent)
      .map(
        (trigger) =>
          `${trigger.name} of ${name} fires while rows are filled too: \`alter table … enable trigger\` without ALWAYS and REPLICA`,
      ),
  ]
}

/** A foreign key needs a unique key with the organization in front. */
function globalTargets(
  schema: string,
  table: CatalogTable,
  tenants: readonly CatalogTable[],
  tables: Decisions['tables'],
): string[] {
  const global = tables[table.name]?.global ?? []
  const sorted = (names: readonly string[]) => names.toSorted().join()
  return table.uniqueKeys
    .filter(({ name }) => global.includes(name))
    .flatMap(({ name, columns }) =>
      tenants.flatMap((from) =>
        from.foreignKeys
          .filter(({ target }) => target.schema === schema && target.table === table.name)
          .filter((key) => !(tables[from.name]?.crossing?.includes(key.name) ?? false))
          .filter(({ target }) => sorted(target.columns.map(quoted)) === sorted(columns.map(alwaysQuoted)))
          .map(
            (key) =>
              `${key.name} of ${from.name} refers to ${table.name} by ${name}, which "global" names: take it out there`,
          ),
      ),
    )
}

/** A deferrable foreign key lets a row be written before its parent, which would tell its organization. */
const lateParents = ({ name, table, owner, hadColumn, wayColumns }: AdoptedTable): Finding[] =>
  (owner === undefined || hadColumn ? [] : table.foreignKeys)
    .filter(({ deferral, columns }) => deferral !== '' && columns.some((column) => wayColumns.includes(column)))
    .map((key) => ({
      table: name,
      kind: 'deferrable',
      needs: 'attention',
      message: `${key.name} of ${name} is deferrable, and leads to the organization: from prove on, a row that is written before the row of ${key.target.table} to which it refers is refused, also in one transaction`,
    }))

/** The server quotes the names of columns only where it has to. */
const alwaysQuoted = (column: string) => (column.startsWith('"') ? column : quoted(column))

function refusalsOf(table: CatalogTable, decision: TableDecision | undefined): string[] {
  const way = decision?.way
  const { name, form, exclusions, viewsOnPrimaryKey, keyUsers, columns, foreignKeys } = table
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
    ...keyUsers.map(
      (user) =>
        `${user.name} depends on ${user.key} of ${name}, which the swap replaces: name the columns in its "group by" and its "on conflict", or give a function a body of text in place of BEGIN ATOMIC`,
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
