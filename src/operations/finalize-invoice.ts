import { ConflictError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { type GuardedChange, refusedVerb } from '../core/statements/updates.js'
import { Invoices } from '../repositories/invoices.js'
import { type Invoice, invoices } from '../schema/invoices.js'
import { subscriptions } from '../schema/subscriptions.js'

/** The permission to change invoices is enough to take a number, although that changes the subscription. */
const permission = 'invoices'

/** The organization's invoices with `finalize`, which also takes a number from the subscription. */
export class OrgInvoices extends Invoices {
  /**
   * Opens a draft and gives it the organization's next number. The numbers have no gaps: one that is taken in a transaction which fails is
   * taken again. Throws ConflictError for an invoice that is no draft, and in an organization without a subscription.
   */
  finalize(id: string): Promise<Invoice> {
    return finalizeInvoice(this.scope, id)
  }
}

function finalizeInvoice(scope: Scope, id: string): Promise<Invoice> {
  return scope.steps(async (inner) => {
    inner.context.rules.authorize(`${permission}:write`, undefined)
    const invoice = parseId(id)
    const number = await takeInvoiceNumber(inner)
    return new ScopedTable<Invoice>(inner, invoices).guardedRow('finalize', invoice, finalizing, () => [number])
  })
}

const finalizing: GuardedChange = {
  set: `"status" = 'open', "number" = $3::int, "finalized_at" = statement_timestamp()`,
  when: `"status" = 'draft'`,
  ask: '"status"',
  refuse: ([status]) => refusedVerb('invoices', 'finalize', String(status), ['draft']),
}

/** The next number. Until the transaction ends, whoever wants another one waits, and gets this one if the transaction fails. */
export function takeInvoiceNumber(scope: Scope): Query<number> {
  const rows = new ScopedTable(scope, subscriptions, undefined, { permission })
  const take = ownStatement(rows.plan, OrgInvoices, 'takeInvoiceNumber', true, ({ sql, visible }) => ({
    verb: 'update',
    ctes: [],
    head: `update ${sql} set "next_invoice_number" = "next_invoice_number" + 1, "updated_at" = statement_timestamp()`,
    where: visible,
    returning: '"next_invoice_number" - 1',
  }))
  return rows.run(
    take,
    () => [],
    ({ rows: [row] }) => {
      if (row === undefined) throw withoutSubscription()
      return Number(row[0])
    },
  )
}

const withoutSubscription = () =>
  new ConflictError(
    'subscriptions',
    [],
    'subscriptions: the organization has none, from which its invoices are numbered',
  )
