import { Secret } from '../../schema/shared/secret.js'
import { DefinitionError, NotFoundError } from '../errors.js'
import type { Result } from '../executor.js'
import { parseId } from '../ids.js'
import type { Rules } from '../rules.js'
import { ownItems } from '../values.js'
import { quoted } from './column-plan.js'
import { changeCall, type PlannedChange } from './inserts.js'
import { comparableValue, compileFilter } from './filters.js'
import { orgOf } from './sealed-rows.js'
import { columnOf, type TablePlan } from './table-plan.js'
import { firstPlace, type Target } from './target.js'

/** What a reveal opens: undefined for a column that is empty. */
export type Revealed<Name extends string = string> = Readonly<Record<Name, Secret | undefined>>

/** The row to reveal: its id, or a unique key. */
export type RevealKey = string | object

const maxColumns = 100

/**
 * Reads sealed columns of one row together with their keys. Another organization's key is never looked up, and a key that was destroyed
 * opens nothing from then on, in every process.
 */
export function planReveal<Name extends string>(
  target: Target<unknown>,
  rules: Rules,
  key: RevealKey,
  names: readonly Name[],
): PlannedChange<Promise<Revealed<Name>>> {
  const { plan } = target
  const orgId = orgOf(target)
  const columns = ownItems(names, 'columns', maxColumns).map((name) => sealedColumn(plan, name))
  const { sql, values } = placeOf(plan, key)
  const statement = plan.statements.change(`reveal ${columns.join()} ${sql}`, () => {
    const cells = columns.flatMap((name) => {
      const column = `${quoted(plan.resource)}.${columnOf(plan, name).sql}`
      return [column, rules.wrappedKey(column)]
    })
    // No column of a table has a name with a blank.
    const named = cells.map((cell, place) => `${cell} as "cell ${place}"`)
    return {
      verb: 'select',
      ctes: [],
      head: `select ${[plan.selected, ...named].join(', ')} from ${plan.sql}`,
      where: `${plan.visible} and ${sql}`,
      returning: ['"id"', ...cells.map((_, place) => `"cell ${place}"`)].join(', '),
    }
  })
  const read = async ({ rows: [row] }: Result) => {
    if (row === undefined) throw new NotFoundError(plan.resource)
    const [rowId, ...cells] = row
    const opened = columns.map(async (name, index): Promise<[string, Secret | undefined]> => {
      const [sealed, key] = cells.slice(index * 2) as [Uint8Array | null, unknown]
      if (sealed === null) return [name, undefined]
      const text = await rules.open({ orgId, rowId: String(rowId), column: plan.sealed.get(name) ?? '', sealed, key })
      return [name, new Secret(text)]
    })
    return Object.fromEntries(await Promise.all(opened)) as Revealed<Name>
  }
  return { call: changeCall(target, statement, values), diagnose: undefined, read }
}

function placeOf(plan: TablePlan, key: RevealKey) {
  if (typeof key === 'string') return { sql: `"id" = $${firstPlace(plan)}`, values: [parseId(key)] }
  for (const [property, value] of Object.entries(key)) comparableValue(columnOf(plan, property), value)
  const place = compileFilter(plan, key, plan.ownerPlaces, 'key')
  if (place.sql === '') throw new DefinitionError(`${plan.resource}: a reveal needs the id of its row, or a unique key`)
  return place
}

function sealedColumn(plan: TablePlan, name: unknown): string {
  if (typeof name === 'string' && plan.sealed.has(name)) return name
  throw new DefinitionError(`${plan.resource} has no sealed column ${String(name)}`)
}
