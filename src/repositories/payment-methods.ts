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
      const previous = await inner.lockDefault()
      const replaces = isDefault ?? previous === undefined
      if (replaces) await inner.resetDefault(previous)
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
      const previous = await inner.lockDefault()
      if (previous === row) return inner.lockRow(row)
      await inner.resetDefault(previous)
      return inner.setDefault(row, true)
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

  /** Locks the organization, so that one caller at a time changes the default. Gives the id of the default that there is. */
  private async lockDefault(): Promise<string | undefined> {
    const organization = this.child(organizations)
    const lock = ownStatement(
      organization.plan,
      PaymentMethods,
      'lock',
      false,
      ({ sql, owned }) => `select from ${sql} where ${owned} for no key update`,
    )
    await organization.run(
      lock,
      () => [],
      () => undefined,
    )
    // A statement of its own, because one that has waited for a lock sees the other rows as they were before.
    return (await this.findRow({ isDefault: true }))?.id
  }

  private async resetDefault(id: string | undefined): Promise<void> {
    if (id !== undefined) await this.setDefault(id, false)
  }

  private setDefault(id: string, isDefault: boolean): Query<PaymentMethod> {
    const change = unguarded(this.plan.resource, `"is_default" = ${String(isDefault)}`)
    return this.guardedRow('makeDefault', id, change, () => [])
  }
}
