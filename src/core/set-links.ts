import type { z } from 'zod'
import { InvalidInputError } from './errors.js'
import { parsed } from './row-values.js'
import type { ScopedTable } from './scoped-table.js'
import { comparableValue, type Filter } from './statements/filters.js'
import type { TablePlan } from './statements/table-plan.js'
import { ownItems, ownProperties } from './values.js'

/** The key of a link without the field that `setLinks` sets. */
export type AllButOne<Link> = { [Name in keyof Link]: Omit<Link, Name> }[keyof Link]

/** How many links are new, and how many were deleted. */
export interface LinkChanges {
  readonly added: number
  readonly removed: number
}

const maxLinks = 1000

/**
 * Makes these the only links of a row, in one transaction. The row is locked first, so that two calls at once do not merge their
 * links. `of` is the key of the links but for one field, to which the ids belong.
 */
export function setLinks<Row extends object>(
  rows: ScopedTable<Row>,
  schema: z.ZodType,
  of: object,
  ids: readonly string[],
): Promise<LinkChanges> {
  return rows.scope.steps(async (scope) => {
    const links = rows.in(scope)
    const { fixed, columns, field } = sideOf(links.plan, of)
    const all = ownItems(ids, field, maxLinks).map((id) => parsed(schema, { ...fixed, [field]: id }))
    for (const column of columns) await links.lockReferred(column.property, fixed[column.property])
    const others = { ...fixed, not: { [field]: { in: all.map((link) => link[field]) } } }
    const removed = await links.deleteRows(others as unknown as Filter<Row>)
    return { removed, added: await links.linkRows(schema, all) }
  })
}

function sideOf(plan: TablePlan, of: object) {
  const fixed = ownProperties(of, 'of')
  const columns = plan.key.filter(({ property }) => Object.hasOwn(fixed, property))
  const [open, ...more] = plan.key.filter((column) => !columns.includes(column))
  if (open === undefined || more.length > 0 || columns.length === 0 || columns.length < Object.keys(fixed).length) {
    const names = plan.key.map(({ property }) => property).join(', ')
    throw new InvalidInputError('of', `must have all of these fields but one: ${names}`)
  }
  for (const column of columns) comparableValue(column, fixed[column.property])
  return { fixed, columns, field: open.property }
}
