import type { Session } from '../../src/database/session.js'
import { OrgInvoices } from '../../src/operations/finalize-invoice.js'
import { BillingProfile, TaxIds } from '../../src/repositories/billing-profiles.js'
import { PaymentMethods } from '../../src/repositories/payment-methods.js'
import { OrganizationSubscription } from '../../src/repositories/subscriptions.js'
import { customerProfiles, invoices, paymentMethods, subscriptions, taxIds } from '../../src/schema/index.js'
import type { ContractCase } from '../../src/testing/isolation-contract.js'
import { listEveryWay, reads } from './every-option.js'

/** A subscription, from which invoices are numbered. */
export const subscribe = (admin: Session, orgId: string) =>
  admin.query(
    `with plan as (
       insert into platform.billing_plans (id, name, price, currency, interval) values ('tier_contract', 'Contract', '0', 'USD', 'month')
       on conflict (id) do update set name = excluded.name returning id
     )
     insert into platform.subscriptions (org_id, id, plan_id, plan_name, current_period_start, current_period_end)
     select $1, gen_random_uuid(), id, 'Contract', now(), now() + interval '1 month' from plan`,
    [orgId],
  )

export const subscriptionCase = {
  repository: OrganizationSubscription,
  tables: [subscriptions],
  make: async (org, admin) => {
    await subscribe(admin, org.id)
    return (await org.subscription.get()).id
  },
  calls: {
    get: (subscription) => subscription.get(),
    changePlan: (subscription) => subscription.changePlan('tier_contract'),
    cancel: (subscription) => subscription.cancel(),
    resume: (subscription) => subscription.resume(),
    update: (subscription) => subscription.update({ spendCapEnabled: false }),
  },
  prepare: {
    resume: (org) => org.subscription.cancel(),
  },
} satisfies ContractCase<OrganizationSubscription>

export const billingProfileCase = {
  repository: BillingProfile,
  tables: [customerProfiles],
  make: async (org) => (await org.billingProfile.set({ companyName: 'Acme', city: 'Bonn' })).id,
  calls: {
    find: (profile) => profile.find(),
    get: (profile) => profile.get(),
    set: (profile) => profile.set({ companyName: 'Taken' }),
  },
} satisfies ContractCase<BillingProfile>

export const invoicesCase = {
  repository: OrgInvoices,
  tables: [subscriptions, invoices],
  make: async (org, admin) => {
    await subscribe(admin, org.id)
    await org.invoices.create({ currency: 'EUR' })
    return (await org.invoices.create({ currency: 'EUR', lines: [hour] })).id
  },
  calls: {
    ...reads('status', 'createdAt'),
    sum: (all) => all.sum('amountDue'),
    list: async (all, id) => [
      await all.list({ id }),
      await listEveryWay(all, ['number', '-currency'], { status: { prefix: 'dra' } }),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ status: 'draft' }),
    exists: (all, id) => all.exists({ id }),
    findByNumber: (all) => all.findByNumber(1),
    create: (all) => all.create({ currency: 'EUR' }),
    update: (all, id) => all.update(id, { tax: '1.00' }),
    addLines: (all, id) => all.addLines(id, [hour]),
    setLines: (all, id) => all.setLines(id, []),
    delete: (all, id) => all.delete(id),
    finalize: (all, id) => all.finalize(id),
    pay: (all, id) => all.pay(id, { amount: '1.00' }),
    void: (all, id) => all.void(id),
    markUncollectible: (all, id) => all.markUncollectible(id),
  },
  prepare: {
    findByNumber: (org, id) => org.invoices.finalize(id),
    pay: (org, id) => org.invoices.finalize(id),
    void: (org, id) => org.invoices.finalize(id),
    markUncollectible: (org, id) => org.invoices.finalize(id),
  },
} satisfies ContractCase<OrgInvoices>

const hour = { description: 'An hour', quantity: '1', unitAmount: '80' }

export const paymentMethodsCase = {
  repository: PaymentMethods,
  tables: [paymentMethods],
  make: async (org) => {
    await org.paymentMethods.add({ stripePaymentMethodId: 'pm_1', type: 'card' })
    return (await org.paymentMethods.add({ stripePaymentMethodId: 'pm_2', type: 'card' })).id
  },
  calls: {
    ...reads('type', 'createdAt'),
    sum: (all) => all.sum('cardExpYear'),
    list: async (all, id) => [
      await all.list({ id }),
      await listEveryWay(all, ['cardBrand', '-createdAt'], { type: { prefix: 'ca' } }),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ type: 'card' }),
    exists: (all, id) => all.exists({ id }),
    add: (all) => all.add({ stripePaymentMethodId: 'pm_3', type: 'card' }),
    update: (all, id) => all.update(id, { cardBrand: 'visa' }),
    makeDefault: (all, id) => all.makeDefault(id),
    remove: (all, id) => all.remove(id),
  },
} satisfies ContractCase<PaymentMethods>

export const taxIdsCase = {
  repository: TaxIds,
  tables: [taxIds],
  make: async (org) => {
    await org.taxIds.add({ type: 'eu_vat', value: 'DE987654321', country: 'DE' })
    return (await org.taxIds.add({ type: 'eu_vat', value: 'DE123456789', country: 'DE' })).id
  },
  calls: {
    ...reads('country', 'createdAt'),
    list: async (all, id) => [
      await all.list({ id }),
      await listEveryWay(all, ['-country', 'createdAt'], { value: { prefix: 'DE' } }),
    ],
    stream: (all) => all.stream(),
    count: (all) => all.count({ country: 'DE' }),
    exists: (all, id) => all.exists({ id }),
    add: (all) => all.add({ type: 'eu_vat', value: 'FR12345678901', country: 'FR' }),
    verify: (all, id) => all.verify(id),
    remove: (all, id) => all.remove(id),
  },
} satisfies ContractCase<TaxIds>
