import { quoted } from '../../core/statements/column-plan.js'
import { fixedWhereAdopted } from '../../schema/shared/kinds.js'
import type { AdoptedSchema } from '../adopted-schema.js'
import { applicationRoles, type CatalogTable } from '../catalog.js'
import type { Step } from './step.js'

const [app, system] = applicationRoles

/** The rights of the application's roles, as `tenantry bootstrap` gives them on tables of these kinds. */
export function grants({ schema, tables, shared, withoutUsage }: AdoptedSchema): Step {
  const given: readonly (readonly [what: string, role: string])[] = [
    ...withoutUsage.map((role) => [`usage on schema ${quoted(schema)}`, role] as const),
    ...tables.flatMap(({ on, table }) => [
      ...applicationRoles.map((role) => [`${everything(table)} on ${on}`, role] as const),
      ...table.sequences.flatMap((sequence) =>
        applicationRoles.map((role) => [`usage on sequence ${sequence}`, role] as const),
      ),
    ]),
    ...shared.flatMap(({ on, table }) => [
      [`select on ${on}`, app] as const,
      [`${everything(table)} on ${on}`, system] as const,
    ]),
  ]
  return {
    up: given.map(([what, role]) => `grant ${what} to ${role}`),
    down: given.toReversed().map(([what, role]) => `revoke ${what} from ${role}`),
  }
}

/** The columns that identify a row and its organization never change. */
function everything({ columns, primaryKey }: CatalogTable): string {
  const changing = columns
    .filter(({ name, isGenerated }) => !isGenerated && !fixedWhereAdopted.includes(name) && !primaryKey.includes(name))
    .map(({ name }) => quoted(name))
  return `select, insert, delete${changing.length === 0 ? '' : `, update (${changing.join(', ')})`}`
}
