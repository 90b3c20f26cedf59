import { relations } from 'drizzle-orm'
import { foreignKey, pgSchema, primaryKey, text, uuid } from 'drizzle-orm/pg-core'
import { agents } from '../../src/schema/agents.js'
import { id, orgId } from '../../src/schema/shared/columns.js'
import { tenantTable } from '../../src/schema/shared/isolation.js'
import { declareTable } from '../../src/schema/shared/kinds.js'

// A host's module of tables, exported as hosts do it.
const desk = pgSchema('desk')

export const tickets = desk.table(
  'tickets',
  { orgId: orgId(), id: id(), subject: text('subject').notNull(), agentId: uuid('agent_id') },
  (t) => [
    primaryKey({ name: 'tickets_pkey', columns: [t.orgId, t.id] }),
    foreignKey({
      name: 'tickets_agent_fkey',
      columns: [t.orgId, t.agentId],
      foreignColumns: [agents.orgId, agents.id],
    }),
    ...tenantTable('tickets', t),
  ],
)
declareTable(tickets, { kind: 'tenant' })

export const replies = desk.table(
  'replies',
  { orgId: orgId(), id: id(), ticketId: uuid('ticket_id').notNull(), text: text('text').notNull() },
  (t) => [
    primaryKey({ name: 'replies_pkey', columns: [t.orgId, t.id] }),
    foreignKey({
      name: 'replies_ticket_fkey',
      columns: [t.orgId, t.ticketId],
      foreignColumns: [tickets.orgId, tickets.id],
    }),
    ...tenantTable('replies', t),
  ],
)
declareTable(replies, { kind: 'tenant', permission: 'tickets' })

export const ticketsRelations = relations(tickets, ({ one, many }) => ({
  agent: one(agents, { fields: [tickets.orgId, tickets.agentId], references: [agents.orgId, agents.id] }),
  replies: many(replies),
}))

export const repliesRelations = relations(replies, ({ one }) => ({
  ticket: one(tickets, { fields: [replies.orgId, replies.ticketId], references: [tickets.orgId, tickets.id] }),
}))

/** More of a table of the library's, beside the relations that it has. */
export const agentTickets = relations(agents, ({ many }) => ({ tickets: many(tickets) }))

export const deskMigration = [
  'create schema desk',
  `create table desk.tickets (
    org_id uuid not null, id uuid not null, subject text not null, agent_id uuid,
    constraint tickets_pkey primary key (org_id, id)
  )`,
  `create table desk.replies (
    org_id uuid not null, id uuid not null, ticket_id uuid not null, text text not null,
    constraint replies_pkey primary key (org_id, id)
  )`,
  `alter table desk.tickets
    add constraint tickets_org_fkey foreign key (org_id) references platform.organizations (id) on delete cascade`,
  `alter table desk.tickets
    add constraint tickets_agent_fkey foreign key (org_id, agent_id) references platform.agents (org_id, id)`,
  `alter table desk.replies
    add constraint replies_org_fkey foreign key (org_id) references platform.organizations (id) on delete cascade`,
  `alter table desk.replies
    add constraint replies_ticket_fkey foreign key (org_id, ticket_id) references desk.tickets (org_id, id)`,
  ...['desk.tickets', 'desk.replies'].flatMap((table) => [
    `alter table ${table} enable row level security`,
    `create policy org_isolation on ${table} to tenantry_app using (org_id = platform.current_org()) with check (org_id = platform.current_org())`,
    `create policy system_access on ${table} to tenantry_system using (true) with check (true)`,
  ]),
]
