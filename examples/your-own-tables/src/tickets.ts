import { defineRepository, ScopedRepository, type Query, type Scope } from 'tenantry'
import { newTicket, type Ticket, ticketPatch, tickets } from './schema.js'

/** As much as most tables need: find, get, list, count, stream; create, update, delete. */
export const Tickets = defineRepository(tickets, { create: newTicket, patch: ticketPatch })

/** A table with verbs of its own. */
export class Helpdesk extends ScopedRepository<Ticket> {
  constructor(scope: Scope) {
    super(scope, tickets)
  }

  open(subject: string): Query<Ticket> {
    return this.insertRow(newTicket, { subject })
  }

  close(id: string): Query<Ticket> {
    return this.transitionRow(id, { verb: 'close', from: ['open', 'answered'], to: 'closed' })
  }
}
