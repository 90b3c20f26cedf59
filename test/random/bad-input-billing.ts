import type { OrgInvoices } from '../../src/operations/finalize-invoice.js'
import type { BillingProfile, TaxIds } from '../../src/repositories/billing-profiles.js'
import type { PaymentMethods } from '../../src/repositories/payment-methods.js'
import type { OrganizationSubscription } from '../../src/repositories/subscriptions.js'
import { newId } from '../../src/core/ids.js'
import { apply, type Arguments, earlier, type Entry, hour, id, reads } from './bad-input-side.js'

const draft = () => ({
  currency: 'EUR',
  tax: '1.5',
  periodStart: earlier,
  periodEnd: '2020-02-01T00:00:00Z',
  dueAt: null,
})

export const ofInvoices: Arguments<OrgInvoices> = {
  ...reads('invoices'),
  findByNumber: () => [1],
  create: () => [{ ...draft(), lines: [{ ...hour, amount: '79.99' }] }],
  update: ({ ids }) => [ids.invoices, draft()],
  addLines: ({ ids }) => [ids.invoices, [{ ...hour }]],
  setLines: ({ ids }) => [ids.invoices, [{ ...hour }, { ...hour, amount: '-1' }]],
  delete: id('invoices'),
  finalize: id('invoices'),
  pay: ({ ids }) => [ids.invoices, { amount: '0.01' }],
  void: id('invoices'),
  markUncollectible: id('invoices'),
}

export const ofPaymentMethods: Arguments<PaymentMethods> = {
  ...reads('paymentMethods'),
  add: () => [
    { stripePaymentMethodId: newId(), type: 'card', cardLast4: '4242', cardExpMonth: 1, cardExpYear: 2030 },
    { isDefault: true },
  ],
  update: ({ ids }) => [ids.paymentMethods, { cardBrand: 'visa', cardExpMonth: 12 }],
  makeDefault: id('paymentMethods'),
  remove: id('paymentMethods'),
}

export const ofTaxIds: Arguments<TaxIds> = {
  ...reads('taxIds'),
  add: () => [{ type: 'eu_vat', value: newId(), country: 'FR' }],
  verify: ({ ids }) => [ids.taxIds, 'unverified'],
  remove: id('taxIds'),
}

/** The row or the catalog decides: together with the lines that are there a total may be too large. */
export const decidedByRow = ['invoices.update', 'invoices.addLines', 'invoices.setLines', 'subscription.changePlan']

const ofSubscription: Arguments<OrganizationSubscription> = {
  get: () => [],
  changePlan: () => ['tier_contract'],
  cancel: () => [{ atPeriodEnd: true }],
  resume: () => [],
  update: () => [{ spendCapEnabled: false }],
}

const ofBillingProfile: Arguments<BillingProfile> = {
  find: () => [],
  get: () => [],
  set: () => [{ companyName: 'Acme', phone: '1', line1: 'Street 1', city: null, postalCode: '53111', country: 'DE' }],
}

export const ofSubscriptionAndProfile = Object.entries({
  subscription: ofSubscription,
  billingProfile: ofBillingProfile,
}).flatMap(([resource, methods]) =>
  Object.entries(methods as Readonly<Record<string, Entry['args']>>).map(([name, args]): Entry => ({
    name: `${resource}.${name}`,
    args,
    call: ({ org }, given) => apply(resource === 'subscription' ? org.subscription : org.billingProfile, name, given),
    asksFirst: decidedByRow.includes(`${resource}.${name}`),
  })),
)
