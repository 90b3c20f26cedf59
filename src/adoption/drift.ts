import type { AdoptedTable, OrganizationSource } from './adopted-schema.js'
import { type Catalog, type CatalogPolicy, type CatalogReference, type CatalogTable, fires, isOurs } from './catalog.js'
import { constraintNames, relationNames } from './steps/keys.js'

/** What a plan was made for. */
export interface PlannedTable {
  readonly name: string
  /** Its columns, keys, triggers and policies. */
  readonly facts: readonly string[]
  /** Names of keys that the steps make. */
  readonly ours: readonly string[]
  /** Whether it had `org_id` before. */
  readonly hadColumn: boolean
  /** Facts that end with these steps. */
  readonly untilSwap: readonly string[]
  readonly untilEnforce: readonly string[]
  /** Whether triggers would fire when its rows are put aside and brought back. */
  readonly isSilenced: boolean
}

export function plannedTable(table: AdoptedTable): PlannedTable {
  const ours = [...relationNames(table), ...constraintNames(table)]
  return {
    name: table.name,
    facts: factsOf(table.table, ours),
    ours,
    hadColumn: table.hadColumn,
    untilSwap: table.dropped.map(foreignKey),
    untilEnforce: table.table.policies.map(policy),
    isSilenced: table.isQuarantined && (fires(table.table, 'firesOnDelete') || fires(table.table, 'firesOnInsert')),
  }
}

/** A table of which rows become organizations, and what the steps read of it. */
export interface PlannedSource {
  readonly name: string
  readonly facts: readonly string[]
}

export const plannedSource = ({ table, id, name, slug }: OrganizationSource): PlannedSource => ({
  name: table.name,
  facts: [...new Set([id.name, name, slug].filter((column) => column !== undefined))].flatMap((column) =>
    readColumns(table).filter((fact) => fact.startsWith(`the column ${column} `)),
  ),
})

const readColumns = ({ columns }: CatalogTable) => columns.map(({ name, type }) => `the column ${name} ${type}`)

/** What the functions that make organizations read, and is not there any more. */
export function sourceDriftOf(catalog: Catalog, sources: readonly PlannedSource[]): string[] {
  return sources.flatMap(({ name, facts }) => {
    const table = catalog.tables.find((one) => one.name === name)
    if (table === undefined) return [`${name} is not there any more`]
    const now = readColumns(table)
    return facts.filter((fact) => !now.includes(fact)).map((fact) => `${name} has lost ${fact}`)
  })
}

// The swap puts the organization into keys.
const withoutOrganization = (columns: readonly string[]) => columns.filter((column) => column !== 'org_id').join(', ')

const foreignKey = ({ name, columns, target, onDelete, onUpdate }: CatalogReference) =>
  `the foreign key ${name} (${withoutOrganization(columns)}) to ${target.schema}.${target.table} (${withoutOrganization(
    target.columns,
  )}), on delete ${onDelete}, on update ${onUpdate}`

const policy = ({ name, definition }: CatalogPolicy) => `the policy ${name}: ${definition}`

const aTrigger = 'the trigger '

function factsOf(table: CatalogTable, ours: readonly string[]): string[] {
  const isOld = ({ name }: { readonly name: string }) => !ours.includes(name)
  return [
    ...table.columns
      .filter(({ name }) => name !== 'org_id')
      .map(
        ({ name, type, isNullable, isGenerated }) =>
          `the column ${name} ${type}${isNullable ? '' : ' not null'}${isGenerated ? ', generated' : ''}`,
      ),
    `the primary key (${withoutOrganization(table.primaryKey)})`,
    ...table.foreignKeys.filter(isOld).map(foreignKey),
    ...table.uniqueKeys
      .filter(isOld)
      .map(
        ({ name, columns, where }) =>
          `the unique key ${name} (${withoutOrganization(columns)})${where === null ? '' : ` where ${where}`}`,
      ),
    ...table.triggers.map((trigger) => `${aTrigger}${trigger.name}, which calls ${trigger.function}`),
    ...table.policies.filter((one) => !isOurs(one)).map(policy),
    ...table.exclusions.map((name) => `the exclusion constraint ${name}`),
  ]
}

/**
 * What has been added to the tables and taken from them since the plan, as sentences: its statements know nothing of it. A policy could let
 * rows through, a trigger change them, a foreign key delete them.
 */
export function driftOf(
  catalog: Catalog,
  planned: readonly PlannedTable[],
  applied: { readonly expand: boolean; readonly swap: boolean; readonly observe: boolean; readonly enforce: boolean },
  /** Whether some statements of a step have run, so that what the steps add and end may be there or not. */
  isHalf = false,
): string[] {
  const names = new Set(planned.map(({ name }) => name))
  return planned.flatMap(({ name, facts, ours, hadColumn, untilSwap, untilEnforce }) => {
    const table = catalog.tables.find((one) => one.name === name)
    if (table === undefined) return [`${name} is not there any more`]
    const gone = [...(isHalf || applied.swap ? untilSwap : []), ...(isHalf || applied.enforce ? untilEnforce : [])]
    const wanted = facts.filter((fact) => !gone.includes(fact))
    const known = isHalf ? facts : wanted
    // A swap takes keys away before it gives the new ones their names.
    const isCompared = (fact: string) => !isHalf || !/^the (?:primary key|foreign key|unique key) /.test(fact)
    const now = factsOf(table, ours)
    const hasColumn = table.columns.some((column) => column.name === 'org_id')
    return [
      ...(hasColumn && !hadColumn && !applied.expand && !isHalf ? [`${name} has got the column org_id`] : []),
      ...(!hasColumn && (hadColumn || applied.expand) ? [`${name} has lost the column org_id`] : []),
      // Without it the policies hide nothing and count nothing.
      ...(applied.observe && !table.hasRowSecurity ? [`${name} has lost its row security`] : []),
      ...now
        .filter((fact) => !known.includes(fact) && (isCompared(fact) || fact.startsWith('the foreign key ')))
        .map((fact) => `${name} has got ${fact}`),
      ...table.referrers
        .filter((from) => from.schema !== catalog.schema || !names.has(from.table))
        .map((from) => `${from.schema}.${from.table} refers to ${name} by ${from.name}`),
      // A step works as well without a trigger of yours.
      ...wanted
        .filter((fact) => !now.includes(fact) && !fact.startsWith(aTrigger) && isCompared(fact))
        .map((fact) => `${name} has lost ${fact}`),
    ]
  })
}
