import { quoted } from '../../core/statements/column-plan.js'
import { type AdoptedSchema, type AdoptedTable } from '../adopted-schema.js'
import { closeHome } from '../home.js'
import { fillTrigger } from './expand.js'
import { observing } from './observe.js'
import { organizationMaking } from './organizations.js'
import { buildPassingIndexes, dropIndex, marksOf, passingNames, referenceIndexes, refuseTakenNames } from './keys.js'
import type { Step } from './step.js'
import { literal } from '../sql.js'

/** Takes away what only the time of the adoption needed. From here on a new row belongs to the bound organization. */
export function contract(adopted: AdoptedSchema): Step {
  const { home, tables } = adopted
  const making = organizationMaking(adopted)
  const counting = observing(adopted)
  const filling = tables.map((table) => fillTrigger(adopted, table))
  const keepsHome = tables.some(({ isQuarantined }) => isQuarantined)
  const filled = tables.filter(({ hadColumn }) => !hadColumn)
  return {
    up: [
      // Code that names no organization, and has one bound, writes rows of that one.
      ...filled.map(({ on }) => `alter table ${on} alter column org_id set default platform.current_org()`),
      ...filling.toReversed().flatMap(({ down }) => down),
      ...making.down,
      ...counting.down,
      ...(keepsHome ? [] : [`drop schema ${quoted(home)}`]),
      ...droppedIndexes(adopted).map((name) => dropIndex(adopted.schema, name)),
    ],
    down: [
      refuseTakenNames(adopted.schema, droppedIndexes(adopted)),
      ...tables.flatMap(buildPassingIndexes),
      ...tables.flatMap((table) =>
        replacedIndexes(table).flatMap((index) => [
          index.definition.replace(/^CREATE INDEX /, 'create index concurrently if not exists '),
          ...marksOf(table, index),
        ]),
      ),
      ...(keepsHome ? [] : [`create schema ${quoted(home)}`]),
      ...counting.up,
      ...making.up,
      ...filling.flatMap(({ up }) => up),
      closeHome(home),
      ...filled.map(
        ({ on, constant }) =>
          `alter table ${on} alter column org_id ${constant === undefined ? 'drop default' : `set default ${literal(constant.id)}`}`,
      ),
    ],
  }
}

/** The indexes that end with this step. */
export const droppedIndexes = ({ tables }: AdoptedSchema): string[] => [
  ...tables.flatMap(replacedIndexes).map(({ name }) => name),
  ...tables.flatMap(passingNames),
]

/** Indexes of foreign keys in whose place there are some with the organization in front. */
function replacedIndexes(table: AdoptedTable) {
  const built = referenceIndexes(table).map(({ columns }) => columns.join())
  return table.table.indexes.filter(({ plainColumns }) => plainColumns !== null && built.includes(plainColumns.join()))
}
