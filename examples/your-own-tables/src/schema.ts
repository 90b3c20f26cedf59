import { index, pgSchema, primaryKey, text } from 'drizzle-orm/pg-core'
import { z } from 'zod'
import { declareTable, id, orgId, type Row, state, stateCheck, tenantTable, timestamps } from 'tenantry/schema'

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
    ...timestamps(),
  },
  (t) => [
    primaryKey({ name: 'tickets_pkey', columns: [t.orgId, t.id] }),
    index('tickets_status_idx').on(t.orgId, t.status, t.id),
    stateCheck('tickets_status_check', 'status', ticketStatuses),
    ...tenantTable('tickets', t),
  ],
)
declareTable(tickets, { kind: 'tenant' })

export const newTicket = z.strictObject({ subject: z.string().min(1).max(200) })
export const ticketPatch = newTicket.extend({ status: z.enum(ticketStatuses) }).partial()

export interface Ticket extends Row<typeof tickets> {}
