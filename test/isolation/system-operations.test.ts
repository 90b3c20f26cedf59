import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { getTableColumns } from 'drizzle-orm'
import { describe, expect, test } from 'vitest'
import { newId } from '../../src/core/ids.js'
import type { QueryEvent } from '../../src/core/tracing.js'
import { OrganizationProfile } from '../../src/repositories/organization.js'
import { BillingProfile } from '../../src/repositories/billing-profiles.js'
import { OrganizationSubscription } from '../../src/repositories/subscriptions.js'
import { Entitlements } from '../../src/operations/entitlements.js'
import { AuditChains } from '../../src/operations/audit-chains.js'
import { Catalog } from '../../src/operations/catalogs.js'
import { Keys } from '../../src/operations/keys.js'
import { Maintenance } from '../../src/operations/maintenance.js'
import { Organizations } from '../../src/operations/organizations.js'
import { Billing } from '../../src/operations/billing.js'
import { SystemTasks } from '../../src/operations/claim-fairly.js'
import { SystemSchedules } from '../../src/operations/fire-due-schedules.js'
import { Users } from '../../src/operations/users.js'
import type { Addon, NewAddon } from '../../src/schema/addons.js'
import type { ProviderEvent } from '../../src/schema/billing-events.js'
import { platformTables } from '../../src/schema/tables.js'
import { sqlOf } from '../support/every-table.js'
import { type Team, useTeams } from '../support/use-teams.js'
import { refusedForms } from './statement-forms.js'

// The system's login has one wall: row security lets it see everything, so that only the predicates of its statements keep one
// organization's operation away from another one's rows.
const teams = useTeams()
const until = new Date(Date.now() + 600_000)

interface Subject {
  readonly team: Team
  readonly userId: string
}

type Calls<Face> = {
  readonly [Name in keyof Face as Face[Name] extends (...args: never[]) => unknown ? Name : never]: (
    face: Face,
    subject: Subject,
  ) => Promise<unknown>
}

const organizationCalls: Calls<Organizations> = {
  provision: (all, { team }) => {
    const key = newId()
    return all.provision({ key, name: key, slug: `s-${key}`, plan: 'tier_free', owner: { userId: team.owner.userId } })
  },
  find: (all, { team }) => all.find(team.id),
  findBySlug: async (all, { team }) => all.findBySlug((await all.find(team.id))?.slug ?? ''),
  findByExternalId: (all) => all.findByExternalId('nobody'),
  list: (all) => all.list({ limit: 1 }),
  suspend: (all, { team }) => all.suspend(team.id, 'unpaid'),
  reactivate: async (all, { team }) => {
    await all.suspend(team.id, 'unpaid')
    return all.reactivate(team.id)
  },
  delete: (all, { team }) => all.delete(team.id),
  restore: async (all, { team }) => {
    await all.delete(team.id)
    return all.restore(team.id)
  },
  setUserManagement: (all, { team }) => all.setUserManagement(team.id, false),
  revokeInvitations: (all, { team }) => all.revokeInvitations(team.id),
}

const userCalls: Calls<Users> = {
  find: (all, { userId }) => all.find(userId),
  findByEmail: (all, { userId }) => all.findByEmail(`${userId}@example.com`),
  findByExternalId: (all) => all.findByExternalId('nobody'),
  list: (all) => all.list({ limit: 1 }),
  confirmEmail: (all, { userId }) => all.confirmEmail(userId),
  changeEmail: (all, { userId }) => all.changeEmail(userId, `new-${userId}@example.com`),
  setExternalId: (all, { userId }) => all.setExternalId(userId, `auth-${userId}`),
  setCredentials: (all, { userId }) => all.setCredentials(userId, { passwordHash: 'hash' }),
  passwordHash: (all, { userId }) => all.passwordHash(userId),
  suspend: (all, { userId }) => all.suspend(userId),
  ban: (all, { userId }) => all.ban(userId, until),
  reactivate: (all, { userId }) => all.reactivate(userId),
  delete: (all, { userId }) => all.delete(userId),
  restore: async (all, { userId }) => {
    await all.delete(userId)
    return all.restore(userId)
  },
  erase: (all, { userId }) => all.erase(userId),
}

const profileCalls: Calls<OrganizationProfile> = {
  get: (profile) => profile.get(),
  update: (profile, { team }) => profile.update({ name: `New ${team.id}` }),
}

const entitlementCalls: Calls<Entitlements> = {
  get: (entitlements) => entitlements.get(),
  assert: (entitlements) => entitlements.assert('max_projects'),
}

const subscriptionCalls: Calls<OrganizationSubscription> = {
  get: (subscription) => subscription.get(),
  changePlan: (subscription) => subscription.changePlan('tier_pro'),
  cancel: (subscription) => subscription.cancel(),
  resume: async (subscription) => {
    await subscription.cancel()
    return subscription.resume()
  },
  update: (subscription) => subscription.update({ spendCapEnabled: false }),
}

const billingProfileCalls: Calls<BillingProfile> = {
  find: (profile) => profile.find(),
  get: async (profile) => {
    await profile.set({ companyName: 'Acme' })
    return profile.get()
  },
  set: async (profile) => {
    await profile.set({ companyName: 'Acme' })
    return profile.set({ companyName: 'Acme Ltd' })
  },
}

const catalogCalls: Calls<Catalog<Addon, NewAddon>> = {
  upsert: (addons, { team }) => addons.upsert({ addonId: addonOf(team), name: 'Backups', type: 'backup' }),
  archive: async (addons, { team }) => {
    await addons.upsert({ addonId: addonOf(team), name: 'Backups', type: 'backup' })
    return addons.archive(addonOf(team))
  },
  restore: async (addons, { team }) => {
    await addons.upsert({ addonId: addonOf(team), name: 'Backups', type: 'backup', active: false })
    return addons.restore(addonOf(team))
  },
}
const addonOf = ({ id }: Team) => `a${id.replaceAll('-', '')}`

const maintenanceCalls: Calls<Maintenance> = {
  run: async (maintenance, { team, userId }) => {
    const past = "now() - interval '90 d'"
    await teams.database.admin.query(`update platform.user_sessions set expires_at = ${past} where user_id = $1`, [
      userId,
    ])
    await teams.database.admin.query(
      `update platform.organization_invitations set expires_at = ${past} where org_id = $1`,
      [team.id],
    )
    await teams.database.admin.query(`update platform.tasks set lease_expires_at = ${past} where org_id = $1`, [
      team.id,
    ])
    await teams.database.admin.query(
      `update platform.subscriptions set stripe_subscription_id = null, current_period_start = ${past},
         current_period_end = now() - interval '60 d' where org_id = $1`,
      [team.id],
    )
    await teams.database.admin.query(`update platform.api_key_windows set window_start = ${past} where org_id = $1`, [
      team.id,
    ])
    await teams.database.admin.query(`update platform.idempotency_keys set expires_at = ${past} where org_id = $1`, [
      team.id,
    ])
    await team.org.audit.record({ eventType: 'report.sent' })
    const maintained = await maintenance.run()
    expect(maintained.rows).toEqual({
      ...{ taskLeases: 1, idempotencyKeys: 1, apiKeyWindows: 1, invitations: 1, sessions: 1, subscriptions: 1 },
      auditEntries: expect.any(Number) as number,
    })
    expect(maintained.rows.auditEntries).toBeGreaterThan(0)
    return maintained
  },
}

const auditCalls: Calls<AuditChains> = {
  seal: async (all, { team }) => {
    expect(await all.seal(team.id)).toMatchObject({ isComplete: true })
    await team.org.audit.record({ eventType: 'report.sent' })
    const sealed = await all.seal(team.id)
    expect(sealed.entries).toBeGreaterThan(0)
    return sealed
  },
  verify: async (all, { team }) => {
    const verified = await all.verify(team.id)
    expect(verified.entries).toBeGreaterThan(0)
    return verified
  },
  head: (all, { team }) => all.head(team.id),
}

const keyCalls: Calls<Keys> = {
  ensure: async (all, { team }) => {
    await all.destroy(team.id)
    return all.ensure()
  },
  rotate: (all, { team }) => all.rotate(team.id),
  rewrap: (all) => all.rewrap(),
  status: (all) => all.status(),
  retire: async (all, { team }) => {
    const pepper = `old-${team.id.slice(-8)}`
    await teams.database.admin.query('update platform.api_keys set pepper_id = $2 where org_id = $1', [team.id, pepper])
    const retired = await all.retire(pepper, { dropKeys: true })
    expect(retired.apiKeys).toMatchObject([{ orgId: team.id }])
    return retired
  },
  destroy: (all, { team }) => all.destroy(team.id),
}

const rewound = (column: string, table: string, id: string) =>
  teams.database.admin.query(`update platform.${table} set ${column} = now() - interval '90 s' where org_id = $1`, [id])

const taskCalls: Calls<SystemTasks> = {
  claimFair: async (all, { team }) => {
    const kind = newId()
    await team.org.tasks.enqueue({ kind })
    const claimed = await all.claimFair({ owner: 'worker', kinds: [kind], leaseSeconds: 3600 })
    expect(claimed).toMatchObject([{ orgId: team.id }])
    return claimed
  },
  requeueExpired: async (all, { team }) => {
    await rewound('lease_expires_at', 'tasks', team.id)
    expect(await all.requeueExpired()).toBe(1)
  },
}

const scheduleCalls: Calls<SystemSchedules> = {
  fireDue: async (all, { team }) => {
    const { id } = await team.org.workflows.create({ name: 'One', slug: 'one' })
    await team.org.schedules.create({ workflowId: id, name: 'one', cron: '0 0 1 1 *', timezone: 'UTC' })
    await rewound('next_run_at', 'schedules', team.id)
    const { fired } = await all.fireDue()
    expect(fired).toMatchObject([{ orgId: team.id }])
    return fired
  },
}

const billingCalls: Calls<Billing> = {
  link: (all, { team }) => all.link(team.id, { customerId: `cus_${team.id}` }),
  // The other organization has a subscription, an invoice and a payment method with the same ids.
  receive: async (all, { team }) => {
    const received = await all.receive({ provider: 'bank', orgId: team.id, event: eventAt(2) })
    expect(received).toMatchObject({ applied: ['subscription', 'invoice', 'paymentMethod'] })
    return received
  },
}

const eventAt = (second: number): ProviderEvent => ({
  id: `evt_${second}`,
  type: 'everything.changed',
  createdAt: new Date(Date.UTC(2026, 0, 1, 0, 0, second)),
  subscription: {
    id: 'sub_1',
    status: second === 1 ? 'active' : 'past_due',
    currentPeriodStart: new Date(Date.UTC(2026, 0)),
    currentPeriodEnd: new Date(Date.UTC(2027, 0)),
  },
  invoice: {
    id: 'in_1',
    subscriptionId: 'sub_1',
    status: 'open',
    currency: 'EUR',
    subtotal: '100.00',
    tax: '0.00',
    total: '100.00',
    amountPaid: `${second}.00`,
  },
  paymentMethod: { id: 'pm_1', type: 'card', cardExpYear: 2030 + second },
})

const faces: [string, Record<string, (subject: Subject) => Promise<unknown>>, object][] = [
  ['organizations', bound(organizationCalls, () => teams.system().organizations), Organizations.prototype],
  ['users', bound(userCalls, () => teams.system().users), Users.prototype],
  ['catalog.addons', bound(catalogCalls, () => teams.system().catalog.addons), Catalog.prototype],
  ['audit', bound(auditCalls, () => teams.system().audit), AuditChains.prototype],
  ['keys', bound(keyCalls, () => teams.system().keys), Keys.prototype],
  ['billing', bound(billingCalls, () => teams.system().billing), Billing.prototype],
  ['tasks', bound(taskCalls, () => teams.system().tasks), SystemTasks.prototype],
  ['schedules', bound(scheduleCalls, () => teams.system().schedules), SystemSchedules.prototype],
  ['maintenance', bound(maintenanceCalls, () => teams.system().maintenance), Maintenance.prototype],
  ['org.organization', bound(profileCalls, ({ team }) => team.org.organization), OrganizationProfile.prototype],
  [
    'org.subscription',
    bound(subscriptionCalls, ({ team }) => team.org.subscription),
    OrganizationSubscription.prototype,
  ],
  ['org.billingProfile', bound(billingProfileCalls, ({ team }) => team.org.billingProfile), BillingProfile.prototype],
  ['org.entitlements', bound(entitlementCalls, ({ team }) => team.org.entitlements), Entitlements.prototype],
]

function bound<Face>(calls: Calls<Face>, face: (subject: Subject) => Face) {
  return Object.fromEntries(
    Object.entries(calls).map(([name, call]) => [
      name,
      (subject: Subject) => (call as (face: Face, subject: Subject) => Promise<unknown>)(face(subject), subject),
    ]),
  )
}

/** A person with a key, a session, a project and an invitation in an organization, where a task runs. */
async function subject(): Promise<Subject> {
  const team = await teams.newTeam()
  const { userId } = await team.join('developer')
  const { id } = await team.org.projects.create({ name: 'One', slug: 'one' })
  await team.org.projects.members.add(id, { userId, role: 'developer' })
  const { apiKey } = await team.org.apiKeys.create({ userId, name: 'ci' })
  await teams.database.admin.query(
    `insert into platform.api_key_windows (org_id, api_key_id, window_start, used, allowed) values ($1, $2, now(), 1, 9)`,
    [team.id, apiKey.id],
  )
  await teams.database.admin.query(
    `insert into platform.idempotency_keys (org_id, id, key, request_hash, state, expires_at)
     values ($1, gen_random_uuid(), 'once', '\\x01', 'done', now() + interval '1 d')`,
    [team.id],
  )
  await teams.tenancy.forUser(userId).sessions.start({ activeOrg: team.id })
  await team.org.tasks.enqueue({ kind: 'one' })
  await team.org.tasks.claim({ owner: 'worker', leaseSeconds: 3600 })
  await teams.database.admin.query(
    `insert into platform.organization_invitations (org_id, id, email, role, token_hash, pepper_id, expires_at)
     values ($1, $2, $3, 'member', '\\x01', 'test', now() + interval '1 d')`,
    [team.id, newId(), `${userId}@example.com`],
  )
  await team.org.audit.record({ eventType: 'report.sent' })
  await teams.system().billing.receive({ provider: 'bank', orgId: team.id, event: eventAt(1) })
  // A pass of maintenance seals what is not sealed, whoever it belongs to.
  await teams.system().audit.seal(team.id)
  return { team, userId }
}

/** Every row of the organization and its people, in every table. */
async function photograph({ team, userId }: Subject): Promise<string[]> {
  const photos: string[] = []
  for (const table of platformTables) {
    const names = Object.values(getTableColumns(table)).map((column) => column.name)
    const owners = ['org_id', 'user_id', 'id'].filter((name) => names.includes(name) && isUuid(name, table))
    if (owners.length === 0) continue
    const where = owners.map((name) => `${name} = any($1::uuid[])`).join(' or ')
    const rows = await teams.database.admin.query<{ row: string }>(
      `select t::text as row from ${sqlOf(table)} t where ${where} order by 1`,
      [[team.id, userId, team.owner.userId]],
    )
    photos.push(...rows.map(({ row }) => row))
  }
  return photos
}

const isUuid = (name: string, table: (typeof platformTables)[number]): boolean =>
  Object.values(getTableColumns(table)).some((column) => column.name === name && column.getSQLType() === 'uuid')

/** The texts of the statements that were sent meanwhile. */
async function noting<T>(work: () => Promise<T>): Promise<{ answer: T; texts: readonly string[] }> {
  const texts: string[] = []
  const note = (event: unknown): void => {
    texts.push(...(event as QueryEvent).statements.map(({ text }) => text))
  }
  const channel = 'tracing:tenantry:call:start'
  subscribe(channel, note)
  try {
    return { answer: await work(), texts }
  } finally {
    unsubscribe(channel, note)
  }
}

describe.each(faces)('%s', (_, calls, prototype) => {
  test.each(Object.keys(calls))('%s leaves another organization and its people alone', async (name) => {
    const [ours, theirs] = [await subject(), await subject()]
    const before = await photograph(theirs)
    expect(before.length).toBeGreaterThan(20)
    const { answer, texts } = await noting(async () => calls[name]?.(ours))
    // A cluster refuses the lock of a sweep in any form: docs/scaling.md names what stops there.
    const others = texts.filter((text) => !/^with past as materialized\b[^]*\bskip locked\b/.test(text))
    const faults = others.flatMap((text) => refusedForms(text).map((fault) => `${fault}: ${text}`))
    expect(faults, 'a cluster refuses these forms').toEqual([])
    // A list of the system shows the newest, whoever it is.
    if (name !== 'list') {
      expect(JSON.stringify(answer ?? null)).not.toContain(theirs.team.id)
      expect(JSON.stringify(answer ?? null)).not.toContain(theirs.userId)
    }
    expect(await photograph(theirs)).toEqual(before)
  })

  test('every method has a case', () => {
    const isPrivate = new Set([
      'constructor',
      'read',
      'change',
      'changing',
      'operation',
      'end',
      'setArchived',
      'record',
      'recordSealed',
      'progress',
      'countUnsealed',
      'nextChain',
      'ask',
      'beginRotation',
      'assertKnown',
      'fire',
    ])
    const methods = Object.getOwnPropertyNames(prototype).filter((name) => !isPrivate.has(name))
    expect(methods.sort()).toEqual(Object.keys(calls).sort())
  })
})
