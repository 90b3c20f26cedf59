import { z } from 'zod'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { ScopedRepository } from '../core/scoped-repository.js'
import { ScopedTable } from '../core/scoped-table.js'
import {
  type CustomerProfile,
  customerProfiles,
  type NewCustomerProfile,
  newCustomerProfile,
  type NewTaxId,
  newTaxId,
  type TaxId,
  taxIdPatch,
  taxIds,
} from '../schema/billing-profiles.js'

/** The organization's tax numbers. A different number is added, because each is verified separately. */
export class TaxIds extends ScopedRepository<TaxId> {
  constructor(scope: Scope) {
    super(scope, taxIds)
  }

  /** Throws ConflictError for a number that is there already. */
  add(values: NewTaxId): Query<TaxId> {
    return this.insertRow(newTaxId, values, { event: 'add' })
  }

  /** Notes what came of the verification, which your backend makes. */
  verify(id: string, status: 'verified' | 'unverified' = 'verified'): Query<TaxId> {
    return this.updateRow(verification, id, { status }, { event: 'verify' })
  }

  /** Deletes the number. */
  remove(id: string): Query<TaxId> {
    return this.deleteRow(id)
  }
}

const verification = taxIdPatch.required().extend({ status: z.enum(['verified', 'unverified']) })

/** The recipient of the organization's invoices. */
export class BillingProfile {
  private readonly row: ScopedTable<CustomerProfile>

  constructor(scope: Scope) {
    this.row = new ScopedTable<CustomerProfile>(scope, customerProfiles)
  }

  /** Undefined until it is set. */
  find(): Query<CustomerProfile | undefined> {
    return this.row.findOnly()
  }

  /** Throws NotFoundError until it is set. */
  get(): Query<CustomerProfile> {
    return this.row.getOnly()
  }

  /** Replaces the whole profile: a field that is not given is empty afterwards. */
  set(values: NewCustomerProfile): Query<CustomerProfile> {
    return this.row.putRow(wholeProfile, values, 'customer_profiles_org_key')
  }
}

type Given = z.output<typeof newCustomerProfile>
const fields = Object.keys(newCustomerProfile.shape) as (keyof Given)[]

/** Null for each field that is missing or undefined: lines of the old address would not belong to the new one. */
const wholeProfile = newCustomerProfile.transform(
  (given) => Object.fromEntries(fields.map((field) => [field, given[field] ?? null])) as Required<Given>,
)
