import { quoted } from '../../core/statements/column-plan.js'
import type { AdoptedSchema, AdoptedTable } from '../adopted-schema.js'
import { observingPolicy } from './observe.js'
import type { Step } from './step.js'

/** Lets only rows of the bound organization through. Until the last statement about a table its rows are observed as before. */
export function enforce(adopted: AdoptedSchema): Step {
  const { tables } = adopted
  return {
    up: tables.flatMap((table) => [
      ...exactPolicies(table),
      // Permissive policies let through what any of them does, so that these would widen ours.
      ...table.table.policies.map(({ name }) => `drop policy ${quoted(name)} on ${table.on}`),
      `drop policy org_observed on ${table.on}`,
    ]),
    down: tables.flatMap((table, place) => [
      observingPolicy(adopted, place, table.table.hasRowSecurity ? 'restrictive' : 'permissive'),
      ...table.table.policies.map(({ definition }) => definition),
      ...table.table.marks.filter(({ kind }) => kind === 'policy').map(({ statement }) => statement),
      `drop policy system_access on ${table.on}`,
      `drop policy org_isolation on ${table.on}`,
    ]),
  }
}

const exactPolicies = ({ on }: AdoptedTable): string[] => [
  `create policy org_isolation on ${on} for all to tenantry_app using (org_id = platform.current_org()) with check (org_id = platform.current_org())`,
  `create policy system_access on ${on} for all to tenantry_system using (true) with check (true)`,
]
