import { z } from 'zod'
import { ConflictError, InvalidInputError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { type GuardedChange, refusedVerb, type Transition } from '../core/statements/updates.js'
import { parseInput, type Values } from '../core/values.js'
import {
  type Invoice,
  type InvoiceLine,
  invoicePatch,
  type InvoicePatch,
  invoices,
  type invoiceStatuses,
  invoiceTransitions,
  maxInvoiceLines,
  type NewInvoice,
  newInvoice,
  type NewInvoiceLine,
  newInvoiceLines,
} from '../schema/invoices.js'
import { differenceOf, isNegative, productOf, sumOf } from '../schema/shared/exact-decimals.js'
import * as shape from '../schema/shared/shapes.js'

export type InvoiceStatus = (typeof invoiceStatuses)[number]

const payment = z.strictObject({
  /** Default: all that is due. */
  amount: shape.decimal(14, 2, 'positive').optional(),
})

export interface InvoicePayment extends z.input<typeof payment> {}

/**
 * The organization's invoices. A draft can be changed in every respect. After it is finalised, only its status and what was paid of it
 * change.
 */
export class Invoices extends ScopedRepository<Invoice> {
  constructor(scope: Scope) {
    super(scope, invoices)
  }

  findByNumber(number: number): Query<Invoice | undefined> {
    return this.findRow({ number })
  }

  /** Makes a draft. Throws BrokenReferenceError for a subscription that the organization does not have. */
  create(values: NewInvoice): Query<Invoice> {
    return this.insertRow(newDraft, values)
  }

  /** Changes a draft; a new tax changes its total. Throws ConflictError for an invoice that is finalised. */
  update(id: string, patch: InvoicePatch): Promise<Invoice> {
    return this.revising('update', id, () => {
      const given = parseInput(invoicePatch, patch)
      if (Object.keys(given).length === 0) throw new InvalidInputError('', 'there is nothing to change')
      const { tax } = given
      return (draft) => ({ ...given, ...(tax === undefined ? {} : totalsOf('tax', { ...draft, tax })) })
    })
  }

  /** Adds lines to a draft. Throws ConflictError for an invoice that is finalised. */
  addLines(id: string, lines: readonly NewInvoiceLine[]): Promise<Invoice> {
    return this.revising('addLines', id, () => {
      const given = parseLines(lines)
      // The provider's drafts may have a total without lines.
      return ({ lines, subtotal, ...draft }) =>
        withLines([...lines, ...given], { ...draft, subtotal: sumOf(subtotal, subtotalOf(given)) })
    })
  }

  /** Replaces the lines of a draft. Throws ConflictError for an invoice that is finalised. */
  setLines(id: string, lines: readonly NewInvoiceLine[]): Promise<Invoice> {
    return this.revising('setLines', id, () => {
      const given = parseLines(lines)
      return (draft) => withLines(given, { ...draft, subtotal: subtotalOf(given) })
    })
  }

  /** Deletes a draft. An invoice that is finalised stays: `void` takes it back. */
  delete(id: string): Promise<Invoice> {
    return this.atomically(async (inner) => {
      await inner.lockDraft('delete', id)
      return inner.deleteRow(id)
    })
  }

  /**
   * Notes a payment: all that is due, or a part of it. With the last part the invoice is paid. Throws ConflictError for more than is due,
   * and for an invoice that is neither open nor uncollectible.
   */
  pay(id: string, paid: InvoicePayment = {}): Query<Invoice> {
    return this.guardedRow('pay', id, pay, () => [parseInput(payment, paid).amount ?? null])
  }

  /** Takes an open or uncollectible invoice back. It keeps its number. */
  void(id: string): Query<Invoice> {
    return this.transitionRow(id, transitionTo('void', 'void'))
  }

  /** Gives an open invoice up. It can still be paid. */
  markUncollectible(id: string): Query<Invoice> {
    return this.transitionRow(id, transitionTo('uncollectible', 'markUncollectible'))
  }

  /** `read` checks the input before anything is sent, and gives the change of the draft. */
  private revising(verb: string, id: string, read: () => (draft: Invoice) => Values): Promise<Invoice> {
    return this.atomically(async (inner) => {
      inner.scope.context.rules.authorize(`${inner.rows.permission}:write`, undefined)
      const change = read()
      const managed = change(await inner.lockDraft(verb, id))
      return inner.updateRow(shape.noInput, id, {}, { managed, event: verb })
    })
  }

  private async lockDraft(verb: string, id: string): Promise<Invoice> {
    const invoice = await this.lockRow(parseId(id))
    if (invoice.status !== 'draft') throw refusedVerb('invoices', verb, invoice.status, ['draft'])
    return invoice
  }
}

const withAmount = ({ amount, ...line }: z.output<typeof newInvoiceLines>[number]): InvoiceLine => ({
  ...line,
  amount: sumOf(amount ?? productOf(line.quantity, line.unitAmount)),
})

function parseLines(lines: readonly NewInvoiceLine[]): InvoiceLine[] {
  return parseInput(z.strictObject({ lines: newInvoiceLines }), { lines }).lines.map(withAmount)
}

const subtotalOf = (lines: readonly InvoiceLine[]): string => sumOf(...lines.map(({ amount }) => amount))

type Amounts = Pick<Invoice, 'subtotal' | 'tax' | 'amountPaid'>

function withLines(lines: readonly InvoiceLine[], amounts: Amounts): Values {
  if (lines.length > maxInvoiceLines) throw new InvalidInputError('lines', `are more than ${maxInvoiceLines} together`)
  return { lines, ...totalsOf('lines', amounts) }
}

/** The greatest amount that a column of money holds. */
const most = '999999999999.99'

/** Throws InvalidInputError naming `field` where the total would be less than zero, or more than a column of money holds. */
function totalsOf(field: 'lines' | 'tax', { subtotal, tax, amountPaid }: Amounts): Values {
  const total = sumOf(subtotal, tax)
  const below = [subtotal, total].find(isNegative)
  if (below !== undefined)
    throw new InvalidInputError(field, `would make the subtotal or the total ${below}, and neither may be below zero`)
  if (isNegative(differenceOf(most, total)))
    throw new InvalidInputError(field, `would make more than ${most}, lines and tax together`)
  const left = differenceOf(total, amountPaid)
  return { subtotal: sumOf(subtotal), tax: sumOf(tax), total, amountDue: isNegative(left) ? '0.00' : left }
}

const newDraft = newInvoice.transform(({ lines = [], tax = '0', ...more }, context) => {
  try {
    const given = lines.map(withAmount)
    return { ...more, ...withLines(given, { subtotal: subtotalOf(given), tax, amountPaid: '0' }), amountPaid: '0.00' }
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    for (const { field, reason } of error.faults) context.addIssue({ code: 'custom', path: [field], message: reason })
    return z.NEVER
  }
})

/** The statuses from which an invoice may get that one. */
const before = (to: InvoiceStatus): InvoiceStatus[] =>
  Object.entries(invoiceTransitions).flatMap(([from, next]) =>
    (next as readonly InvoiceStatus[]).includes(to) ? [from as InvoiceStatus] : [],
  )

const transitionTo = (to: InvoiceStatus, verb: string): Transition => ({ verb, from: before(to), to })

const payable = before('paid')
const amount = `coalesce($3::numeric, "amount_due")`

// When the last part is paid the time of the statement, else what it was. A cluster takes no clock inside of CASE and COALESCE, and fails
// with one in FROM beside the audited row; null is passed over by greatest().
const never = `case when "amount_due" = ${amount} then '-infinity'::timestamptz else 'infinity' end`
const paidAt = `greatest(nullif(greatest(statement_timestamp(), ${never}), ${never}), "paid_at")`

const pay: GuardedChange = {
  set: `"amount_paid" = "amount_paid" + ${amount}, "amount_due" = "amount_due" - ${amount},
    "status" = case when "amount_due" = ${amount} then 'paid' else "status" end,
    "paid_at" = ${paidAt}`,
  when: `"status" in (${payable.map((status) => `'${status}'`).join(', ')}) and ${amount} <= "amount_due"`,
  ask: '"status", "amount_due"',
  refuse: ([status, due]) =>
    payable.includes(status as InvoiceStatus)
      ? new ConflictError('invoices', ['amount'], `invoices: only ${String(due)} is due`)
      : refusedVerb('invoices', 'pay', String(status), payable),
}
