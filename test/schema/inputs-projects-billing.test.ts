import { expect, test } from 'vitest'
import * as schema from '../../src/schema/index.js'
import { describeInputs, type Fields, type Spec } from './describe-inputs.js'
import {
  boolean,
  country,
  currency,
  decimal,
  float,
  instant,
  int,
  jsonObject,
  type Kind,
  key,
  label,
  lastFour,
  list,
  money,
  objectOf,
  ref,
  secret,
  slug,
  text,
  url,
  uuid,
  words,
} from './input-kinds.js'

const maxInt = 2_147_483_647
const count = int(0, maxInt)
const bytes = int(0, Number.MAX_SAFE_INTEGER)
const percentage: Kind = {
  good: ['0', '99.99', '100', '100.00'],
  bad: ['100.01', '101', '999.99', '-0.01', '1.234', 'NaN', '1e1', '', ' 7', 7],
}

const projectStatus = words(
  'active',
  'inactive',
  'paused',
  'coming_up',
  'going_down',
  'restoring',
  'upgrading',
  'unhealthy',
)
const projectFields: Fields = {
  region: label(63),
  databaseHost: label(255),
  databasePort: int(1, 65_535),
  databaseName: label(255),
  databaseUser: label(255),
}
const keys: Fields = { anonKey: secret, serviceRoleKey: secret, jwtSecret: secret }
const databaseStatus = words('active', 'inactive', 'error')
const health = words('healthy', 'degraded', 'down', 'unknown')
const sizes = 'nano,micro,small,medium,large,xlarge,2xlarge,4xlarge,8xlarge,12xlarge,16xlarge'
const compute: Fields = {
  instanceSize: words(...sizes.split(',')),
  cpuCores: decimal(3, 2, 'positive'),
  memoryGb: decimal(5, 2, 'positive'),
}
const disk: Fields = { sizeGb: int(8, 10_000), ioBudget: count, autoscaleGrowthPercent: int(1, 100) }

const projects: Readonly<Record<string, Spec>> = {
  newProject: {
    schema: schema.newProject,
    required: { name: label(), slug },
    optional: { ref, status: projectStatus, metadata: jsonObject },
    nullable: projectFields,
    managed: ['databasePassword'],
  },
  projectPatch: {
    schema: schema.projectPatch,
    optional: { name: label(), slug, status: projectStatus, metadata: jsonObject },
    nullable: projectFields,
    managed: ['ref', 'databasePassword'],
  },
  projectSecrets: { schema: schema.projectSecrets, required: { databasePassword: secret } },
  newProjectMember: {
    schema: schema.newProjectMember,
    required: { projectId: uuid, userId: uuid, role: label(63) },
    managed: ['addedBy'],
  },
  newCredentials: {
    schema: schema.newCredentials,
    required: { projectId: uuid },
    managed: ['anonKey', 'serviceRoleKey', 'jwtSecret', 'rotatedAt'],
  },
  credentialSecrets: { schema: schema.credentialSecrets, required: keys, managed: ['projectId'] },
  credentialSecretsPatch: { schema: schema.credentialSecretsPatch, optional: keys, managed: ['projectId'] },
  newDiskConfig: {
    schema: schema.newDiskConfig,
    required: { projectId: uuid, ...disk },
    optional: { autoscaleEnabled: boolean },
    nullable: { autoscaleLimitGb: int(8, 10_000) },
  },
  diskConfigPatch: {
    schema: schema.diskConfigPatch,
    optional: { ...disk, autoscaleEnabled: boolean },
    nullable: { autoscaleLimitGb: int(8, 10_000) },
    managed: ['projectId'],
  },
  newComputeConfig: { schema: schema.newComputeConfig, required: { projectId: uuid, ...compute } },
  computeConfigPatch: { schema: schema.computeConfigPatch, optional: compute, managed: ['projectId'] },
  newProjectMetric: {
    schema: schema.newProjectMetric,
    optional: { recordedAt: instant },
    nullable: {
      cpuUsage: percentage,
      memoryUsage: percentage,
      diskIoBudget: decimal(8, 2, 'not negative'),
      diskUsageGb: decimal(8, 2, 'not negative'),
      networkInBytes: bytes,
      networkOutBytes: bytes,
      activeConnections: count,
      queryCount: count,
    },
    managed: ['projectId'],
  },
  newDatabase: {
    schema: schema.newDatabase,
    required: { projectId: uuid, name: label(), type: words('postgresql', 'mongodb', 'redis') },
    optional: { config: jsonObject, status: databaseStatus },
    managed: ['connectionString', 'health', 'healthCheckedAt'],
  },
  databasePatch: {
    schema: schema.databasePatch,
    optional: { name: label(), config: jsonObject, status: databaseStatus },
    managed: ['projectId', 'type', 'connectionString', 'health', 'healthCheckedAt'],
  },
  databaseSecrets: { schema: schema.databaseSecrets, required: { connectionString: secret } },
  databaseHealth: {
    schema: schema.databaseHealth,
    required: { health },
    optional: { healthCheckedAt: instant },
    managed: ['status'],
  },
  newDatabaseMetric: {
    schema: schema.newDatabaseMetric,
    required: { metricType: label(100), value: float },
    optional: { recordedAt: instant },
    managed: ['databaseId'],
  },
  newDatabaseConnectionLog: {
    schema: schema.newDatabaseConnectionLog,
    required: { eventType: label(100) },
    optional: { recordedAt: instant },
    nullable: { message: text(10_000) },
    managed: ['databaseId', 'projectId'],
  },
}

const variant = (index: number) => ({ variant: `v${index}`, name: 'Seven days', price: '100.00', currency: 'EUR' })
const variants = objectOf({ variant: label(100), name: label(), price: money, currency }, variant(1))
const addon: Fields = {
  name: label(),
  type: label(63),
}
const addonOptions: Fields = { variants: list(100, variants, variant), active: boolean }

const line = (index: number) => ({
  description: `Line ${index}`,
  quantity: '2',
  unitAmount: '0.000021',
  amount: '-1.5',
})
const lines = objectOf(
  {
    description: label(),
    quantity: decimal(24, 6, 'not negative'),
    unitAmount: decimal(14, 6, 'any'),
  },
  line(1),
)
const invoiceLines: Fields = { lines: list(1000, lines, line) }
const invoiceFields: Fields = { subscriptionId: uuid, periodStart: instant, periodEnd: instant, dueAt: instant }
const invoiceManaged = [
  ...['number', 'status', 'subtotal', 'total', 'amountDue', 'amountPaid', 'finalizedAt', 'paidAt'],
  ...['stripeInvoiceId', 'hostedUrl', 'pdfUrl', 'providerUpdatedAt'],
]

const limits = (length: number) => Object.fromEntries(Array.from({ length }, (_, index) => [`limit_${index}`, index]))
const planLimits: Kind = {
  good: [{}, { disk_gb: 8, bandwidth_gb: null, agents: 0, bytes: Number.MAX_SAFE_INTEGER }, limits(200)],
  bad: [
    ...[{ max_projects: 1 }, { max_members: null }, { 'Disk GB': 1 }, { 'a\0b': 1 }],
    ...[{ a: -1 }, { a: 1.5 }, { a: '1' }, { a: Number.NaN }, { a: 2 ** 53 }, { a: true }, { a: {} }],
    ...[limits(201), [1], 'x', new Date(0)],
  ],
}
const plan: Fields = { name: label(), price: money, currency, interval: words('month', 'year') }
const planOptions: Fields = {
  features: list(200, label(), (index) => `Feature ${index}`),
  limits: planLimits,
  active: boolean,
  sortOrder: int(-maxInt, maxInt),
}
const planFields: Fields = { description: text(1000), maxProjects: count, maxMembers: count }

const card: Fields = {
  cardBrand: label(63),
  cardLast4: lastFour,
  cardExpMonth: int(1, 12),
  cardExpYear: int(2000, 9999),
}
const profile: Fields = {
  companyName: label(),
  contactName: label(),
  phone: label(40),
  line1: label(),
  line2: label(),
  city: label(),
  state: label(),
  postalCode: label(20),
  country,
}
const creditAmount = decimal(12, 2, 'positive')

const billing: Readonly<Record<string, Spec>> = {
  newAddon: {
    schema: schema.newAddon,
    required: { addonId: key, ...addon },
    optional: addonOptions,
    nullable: { description: text(1000) },
  },
  addonPatch: {
    schema: schema.addonPatch,
    optional: { ...addon, ...addonOptions },
    nullable: { description: text(1000) },
    managed: ['addonId'],
  },
  newProjectAddon: {
    schema: schema.newProjectAddon,
    required: { projectId: uuid, addonId: label(63) },
    optional: { quantity: int(1, maxInt) },
    nullable: { addonVariant: label(100) },
    managed: ['pricePerUnit', 'currency', 'status', 'activatedAt', 'deactivatedAt'],
  },
  projectAddonPatch: {
    schema: schema.projectAddonPatch,
    optional: { quantity: int(1, maxInt) },
    nullable: { addonVariant: label(100) },
    managed: ['projectId', 'addonId', 'pricePerUnit', 'currency', 'status', 'activatedAt', 'deactivatedAt'],
  },
  newBillingPlan: {
    schema: schema.newBillingPlan,
    required: { id: key, ...plan },
    optional: planOptions,
    nullable: planFields,
  },
  billingPlanPatch: {
    schema: schema.billingPlanPatch,
    optional: { ...plan, ...planOptions },
    nullable: planFields,
    managed: ['id'],
  },
  newSubscription: {
    schema: schema.newSubscription,
    required: {
      planId: label(63),
      currentPeriodStart: { ...instant, good: ['2026-01-01T00:00:00Z'] },
      currentPeriodEnd: { ...instant, good: ['2026-02-01T00:00:00Z', new Date('2026-01-01T00:00:00.001Z')] },
    },
    optional: {
      status: words('trialing', 'active', 'past_due', 'paused', 'canceled', 'incomplete'),
      spendCapEnabled: boolean,
    },
    nullable: { trialEndsAt: instant, stripeCustomerId: label(255), stripeSubscriptionId: label(255) },
    managed: ['planName', 'nextInvoiceNumber', 'canceledAt', 'cancelAtPeriodEnd', 'providerUpdatedAt'],
  },
  subscriptionPatch: {
    schema: schema.subscriptionPatch,
    optional: { spendCapEnabled: boolean },
    managed: ['planId', 'planName', 'status', 'currentPeriodEnd', 'cancelAtPeriodEnd', 'nextInvoiceNumber'],
  },
  newInvoice: {
    schema: schema.newInvoice,
    required: { currency },
    optional: { tax: money, ...invoiceLines },
    nullable: invoiceFields,
    managed: invoiceManaged,
  },
  invoicePatch: {
    schema: schema.invoicePatch,
    optional: { currency, tax: money },
    nullable: invoiceFields,
    managed: [...invoiceManaged, 'lines'],
  },
  newPaymentMethod: {
    schema: schema.newPaymentMethod,
    required: { stripePaymentMethodId: label(255), type: label(63) },
    nullable: card,
    managed: ['isDefault'],
  },
  paymentMethodPatch: {
    schema: schema.paymentMethodPatch,
    nullable: card,
    managed: ['isDefault', 'stripePaymentMethodId', 'type'],
  },
  newTaxId: {
    schema: schema.newTaxId,
    required: { type: label(63), value: label(100), country },
    managed: ['status'],
  },
  taxIdPatch: {
    schema: schema.taxIdPatch,
    optional: { status: words('pending', 'verified', 'unverified') },
    managed: ['type', 'value', 'country'],
  },
  newCustomerProfile: { schema: schema.newCustomerProfile, nullable: profile },
  customerProfilePatch: { schema: schema.customerProfilePatch, nullable: profile },
  newCredit: {
    schema: schema.newCredit,
    required: { amount: creditAmount, currency },
    optional: { priority: int(-32_768, 32_767) },
    nullable: { reason: text(1000), expiresAt: instant },
    managed: ['remaining', 'voidedAt'],
  },
  newCreditSpend: {
    schema: schema.newCreditSpend,
    required: { amount: creditAmount, currency },
    nullable: { reference: label(255) },
    managed: ['creditId', 'kind'],
  },
  newUsageEvent: {
    schema: schema.newUsageEvent,
    required: { key: label(255), metric: label(100), quantity: decimal(24, 6, 'not negative'), at: instant },
    nullable: { projectId: uuid },
    managed: ['bodyHash', 'idempotencyKey', 'metricType', 'occurredAt'],
  },
  newBillingEvent: {
    schema: schema.newBillingEvent,
    required: { provider: label(63), eventId: label(255), type: label(), payload: jsonObject },
    nullable: { providerCreatedAt: instant },
    managed: ['receivedAt', 'processedAt'],
  },
}

describeInputs({ ...projects, ...billing })

const diskOf = (sizeGb: number, autoscaleLimitGb?: number | null) => ({ sizeGb, autoscaleLimitGb })

test.each([diskOf(100), diskOf(100, null), diskOf(100, 100), diskOf(100, 101)])('a disk may be %j', (values) => {
  const disk = { projectId: uuid.good[0], ioBudget: 1, autoscaleGrowthPercent: 50, ...values }
  expect(schema.newDiskConfig.safeParse(disk).success).toBe(true)
  expect(schema.diskConfigPatch.safeParse(values).success).toBe(true)
})

test('a disk is never larger than it may grow', () => {
  const values = diskOf(100, 99)
  const disk = { projectId: uuid.good[0], ioBudget: 1, autoscaleGrowthPercent: 50, ...values }
  for (const answer of [schema.newDiskConfig.safeParse(disk), schema.diskConfigPatch.safeParse(values)]) {
    expect(answer.error?.issues).toMatchObject([{ path: ['autoscaleLimitGb'] }])
  }
})

test.each(['2026-01-01T00:00:00Z', '2026-01-01T01:00:00+01:00', '2025-12-31T23:59:59Z'])(
  'a period from 2026-01-01T00:00:00Z cannot end at %s',
  (currentPeriodEnd) => {
    const values = { planId: 'tier_free', currentPeriodStart: '2026-01-01T00:00:00Z', currentPeriodEnd }
    expect(schema.newSubscription.safeParse(values).error?.issues).toMatchObject([{ path: ['currentPeriodEnd'] }])
  },
)

test('an add-on has each variant once', () => {
  const values = { addonId: 'pitr', name: 'Recovery', type: 'backup', variants: [variant(0), variant(1), variant(0)] }
  expect(schema.newAddon.safeParse(values).error?.issues).toMatchObject([{ path: ['variants'] }])
})

test('an event of a provider has links that a browser may open', () => {
  const amounts = { subtotal: '1', tax: '0', total: '1', amountPaid: '0' }
  const withUrl = (hostedUrl: unknown) =>
    schema.providerEvent.safeParse({
      id: 'evt_1',
      type: 'invoice.paid',
      createdAt: new Date(0),
      invoice: { id: 'in_1', status: 'paid', currency: 'EUR', ...amounts, hostedUrl },
    }).success
  expect([url.good.every(withUrl), url.bad.some(withUrl)]).toEqual([true, false])
})
