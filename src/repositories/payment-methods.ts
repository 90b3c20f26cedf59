import { z } from 'zod'
import { parseId } from '../core/ids.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { unguarded } from '../core/statements/updates.js'
import { parseInput } from '../core/values.js'
import { organizations } from '../schema/organizations.js'
import {
  type NewPaymentMethod,
  newPaymentMethod,
  type PaymentMethod,
  paymentMethodPatch,
  type PaymentMethodPatch,
  paymentMethods,
} from '../schema/payment-methods.js'

const addition = z.strictObject({
  /** Default: only when the organization has no default yet. */
  isDefault: z.boolean().optional(),
})

export interface AddPaymentMethodOptions extends z.input<typeof addition> {}

/**
 * The organization's payment methods at the provider. At most one is the default. The rows only describe them: attach, detach and charge
 * them at the provider.
 */
export class PaymentMethods extends ScopedRepository<PaymentMethod> {
  constructor(scope: Scope) {
    super(scope, paymentMethods)
  }

  /** The first one is the default. Throws ConflictError for one that is there already. */
  add(values: NewPaymentMethod, options: AddPaymentMethodOptions = {}): Promise<PaymentMethod> {
    return this.changing(async (inner) => {
      const given = parseInput(newPaymentMethod, values)
      const { isDefault } = parseInput(addition, options)
      await inner.lockOrganization()
      const replaces = isDefault ?? (await inner.findRow({ isDefault: true })) === undefined
      if (replaces) await inner.resetDefault()
      return inner.insertRow(newPaymentMethod, given, { managed: { isDefault: replaces }, event: 'add' })
    })
  }

  /** Changes the details by which a person recognises it. */
  update(id: string, patch: PaymentMethodPatch): Query<PaymentMethod> {
    return this.updateRow(paymentMethodPatch, id, patch)
  }

  /** The previous default is none any more, in the same transaction. */
  makeDefault(id: string): Promise<PaymentMethod> {
    return this.changing(async (inner) => {
      const row = parseId(id)
      await inner.lockOrganization()
      const method = await inner.lockRow(row)
      if (method.isDefault) return method
      await inner.resetDefault()
      const change = unguarded(inner.plan.resource, '"is_default" = true')
      return inner.guardedRow('makeDefault', row, change, () => [])
    })
  }

  /** Where it was the default, there is none until another one is made the default. */
  remove(id: string): Query<PaymentMethod> {
    return this.deleteRow(id)
  }

  private changing<T>(work: (inner: this) => Promise<T>): Promise<T> {
    return this.atomically(async (inner) => {
      inner.scope.context.rules.authorize(`${inner.rows.permission}:write`, undefined)
      return work(inner)
    })
  }

  /** So that one caller at a time changes the default. What follows is a statement of its own, which sees what the last one has changed. */
  private lockOrganization(): Query<void> {
    const organization = this.child(organizations)
    const lock = ownStatement(
      organization.plan,
      PaymentMethods,
      'lock',
      false,
      ({ sql, owned }) => `select from ${sql} where ${owned} for no key update`,
    )
    return organization.run(
      lock,
      () => [],
      () => undefined,
    )
  }

  /** Clears the flag of whichever row is the default now. `remove` takes no lock, so there may be none. */
  private resetDefault(): Query<void> {
    const reset = this.change('makeDefault reset', ({ sql, visible }) => ({
      verb: 'update',
      ctes: [],
      head: `update ${sql} set "is_default" = false, "updated_at" = statement_timestamp()`,
      where: `${visible} and "is_default"`,
      returning: '',
      sets: ['isDefault', 'updatedAt'],
    }))
    return this.run(
      reset,
      () => [],
      () => undefined,
    )
  }
}
