import { getTableConfig } from 'drizzle-orm/pg-core'
import { platformTables } from '../../schema/tables.js'
import { type CarriedTable, refersToNone } from './carried-table.js'

/** The tables of ours of which rows may stay: those of the earlier tables that somebody named, and those that refer to one of them. */
export function tablesThatMayStay(tables: readonly CarriedTable[], leaves: readonly string[]): ReadonlySet<string> {
  const found = new Set(tables.filter(({ from }) => leaves.includes(from.name)).map(({ to }) => to))
  for (let before = -1; before < found.size;) {
    before = found.size
    for (const { to } of tables) if (parentsOf(to).some((parent) => found.has(parent.to))) found.add(to)
  }
  return found
}

/** Whether the rows of a table, by its name, may stay for a reason. */
export function whichMayStay(
  tables: readonly CarriedTable[],
  leaves: readonly string[],
): (name: string, reason: string) => boolean {
  const staying = tablesThatMayStay(tables, leaves)
  return (name, reason) => {
    const table = tables.find((one) => one.name === name)
    return (
      table === undefined ||
      leaves.includes(table.from.name) ||
      table.conditions.some(({ otherwise, isFault }) => otherwise === reason && isFault !== true) ||
      parentsOf(table.to).some(({ to, constraint }) => staying.has(to) && reason === refersToNone(constraint))
    )
  }
}

/** The tables to which a table of ours refers, and by which foreign key. */
function parentsOf(name: string): { readonly to: string; readonly constraint: string }[] {
  const table = platformTables.find((one) => getTableConfig(one).name === name)
  if (table === undefined) return []
  const { foreignKeys, columns } = getTableConfig(table)
  const keys = foreignKeys.map((key) => ({
    to: getTableConfig(key.reference().foreignTable).name,
    constraint: key.getName(),
  }))
  // Whatever its foreign keys, a row needs an organization that was carried.
  const ofOrganization = columns.some((column) => column.name === 'org_id')
  return [...keys, ...(ofOrganization ? [{ to: 'organizations', constraint: 'organization' }] : [])].filter(
    ({ to }) => to !== name,
  )
}
