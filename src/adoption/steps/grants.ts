import { quoted } from '../../core/statements/column-plan.js'
import { fixedColumns } from '../../schema/shared/kinds.js'
import type { AdoptedSchema, AdoptedTable } from '../adopted-schema.js'
import { applicationRoles } from '../catalog.js'
import { namesOf } from './prove.js'
import type { Step } from './step.js'

const roles = applicationRoles.join(', ')

/** The rights of the application's roles, as `tenantry bootstrap` gives them on tables of this kind. */
export function grants({ schema, tables, withoutUsage }: AdoptedSchema): Step {
  const usage = withoutUsage.join(', ')
  return {
    up: [
      ...(usage === '' ? [] : [`grant usage on schema ${quoted(schema)} to ${usage}`]),
      ...tables.flatMap((table) => [
        `grant ${rightsOn(table)} on ${table.on} to ${roles}`,
        ...table.table.sequences.map((sequence) => `grant usage on sequence ${sequence} to ${roles}`),
      ]),
    ],
    down: [
      ...tables.flatMap((table) => [
        ...table.table.sequences.map((sequence) => `revoke usage on sequence ${sequence} from ${roles}`),
        `revoke ${rightsOn(table)} on ${table.on} from ${roles}`,
      ]),
      ...(usage === '' ? [] : [`revoke usage on schema ${quoted(schema)} from ${usage}`]),
    ],
  }
}

/** The columns that identify a row and its organization never change. */
function rightsOn(table: AdoptedTable): string {
  const changing = table.table.columns
    .filter(({ name, isGenerated }) => !isGenerated && !fixedColumns.includes(name) && !namesOf(table).includes(name))
    .map(({ name }) => quoted(name))
  return `select, insert, delete${changing.length === 0 ? '' : `, update (${changing.join(', ')})`}`
}
