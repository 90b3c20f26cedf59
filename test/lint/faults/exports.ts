import { sql } from 'drizzle-orm'
import { pgPolicy, text } from 'drizzle-orm/pg-core'
import { agents } from '../../../src/schema/agents.js'
import { tenantryApp } from '../../../src/schema/shared/isolation.js'
import { crm, type PlantedFault } from './planted-fault.js'

const names = { name: text('name') }

export const exportFaults: PlantedFault[] = [
  {
    fault: 'a view with the rights of its owner',
    rule: 'view',
    exports: { agentNames: crm.view('agent_names', names).as(sql`select name from platform.agents`) },
  },
  {
    fault: 'a view that says it has the rights of its owner',
    rule: 'view',
    exports: {
      agentNames: crm
        .view('agent_names', names)
        .with({ securityInvoker: false })
        .as(sql`select name from platform.agents`),
    },
  },
  {
    fault: 'a materialized view',
    rule: 'view',
    exports: { agentNames: crm.materializedView('agent_names', names).as(sql`select name from platform.agents`) },
  },
  {
    fault: 'a policy that is linked from outside',
    rule: 'stray-policy',
    exports: { shared: pgPolicy('shared', { to: tenantryApp, using: sql.raw('true') }).link(agents) },
  },
  { fault: 'an enum', rule: 'shared-type', exports: { colors: crm.enum('colors', ['red', 'green']) } },
  { fault: 'a sequence', rule: 'shared-type', exports: { numbers: crm.sequence('numbers') } },
]

/** Views that row security holds for, or that somebody else made. */
export const soundExports = {
  agentNames: crm
    .view('agent_names', names)
    .with({ securityInvoker: true })
    .as(sql`select name from platform.agents`),
  reports: crm.view('reports', names).existing(),
}
