import { relations } from 'drizzle-orm'
import { foreignKey, index, pgSchema, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { agents, declareTable, id, orgId, type Row, state, stateCheck, tenantTable, timestamps } from 'tenantry/schema'

export const helpdesk = pgSchema('helpdesk')

export const ticketStatuses = ['open', 'answered', 'closed'] as const

/** What a customer asked. */
export const tickets = helpdesk.table(
  'tickets',
  {
    orgId: orgId(),
    id: id(),
    subject: text('subject').notNull(),
    status: state('status', ticketStatuses).notNull().default('open'),
    /** Who answers. */
    agentId: uuid('agent_id'),
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'tickets_pkey', columns: [t.orgId, t.id] }),
    // Both columns, so that a ticket cannot point to another organization's agent.
    foreignKey({
      name: 'tickets_agent_fkey',
      columns: [t.orgId, t.agentId],
      foreignColumns: [agents.orgId, agents.id],
    }),
    index('tickets_agent_idx').on(t.orgId, t.agentId),
    index('tickets_status_idx').on(t.orgId, t.status, t.id),
    stateCheck('tickets_status_check', 'status', ticketStatuses),
    ...tenantTable('tickets', t),
  ],
)
declareTable(tickets, { kind: 'tenant' })

export const ticketsRelations = relations(tickets, ({ one }) => ({
  agent: one(agents, { fields: [tickets.orgId, tickets.agentId], references: [agents.orgId, agents.id] }),
}))

export const newTicket = z.strictObject({ subject: z.string().min(1).max(200), agentId: z.uuid().nullish() })
export const ticketPatch = newTicket.extend({ status: z.enum(ticketStatuses) }).partial()

export interface Ticket extends Row<typeof tickets> {}
