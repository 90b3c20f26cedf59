import { z } from 'zod'
import { databaseTime } from '../core/database-time.js'
import { ConflictError, IdempotencyMismatchError, InvalidInputError } from '../core/errors.js'
import { newId } from '../core/ids.js'
import { planned } from '../core/planned.js'
import type { Scope } from '../core/scope.js'
import { ScopedTable } from '../core/scoped-table.js'
import type { DataKeys } from '../core/sealing.js'
import { statement } from '../core/statement.js'
import { ownStatement } from '../core/statements/own-statements.js'
import { parseInput } from '../core/values.js'
import { type BillingPlan, billingPlans } from '../schema/billing-plans.js'
import { builtInRoles } from '../schema/built-in-roles.js'
import { organizationMembers } from '../schema/members.js'
import { newOrganization, type Organization, organizations } from '../schema/organizations.js'
import { rolePermissions, rolePlaces, roles } from '../schema/roles.js'
import * as shape from '../schema/shared/shapes.js'
import { subscriptions } from '../schema/subscriptions.js'
import { newUser, type User, users } from '../schema/users.js'
import { periodAfter } from './billing-periods.js'
import { digestOf } from './request-digest.js'
import { assertRightKey } from './right-keys.js'
import { addKey, newKey } from './stored-keys.js'
import { allRows, operate, type SystemWork } from './system-operation.js'

const owner = shape.own(
  z.union([
    z.strictObject({ userId: shape.uuid }),
    newUser.omit({ id: true }).extend({
      /** Whether the host has seen that the address is the person's. */
      emailConfirmed: z.boolean().optional(),
    }),
  ]),
)

const newProvision = newOrganization.extend({
  /** Yours, for this customer: the same key gives the same organization again. */
  key: shape.label(255),
  /** The id of a billing plan. */
  plan: shape.label(63),
  owner,
  allowUserManagement: z.boolean().optional(),
  trialEndsAt: shape.instant.optional(),
})

export interface NewProvision extends z.input<typeof newProvision> {}
type Provision = z.output<typeof newProvision>

export interface Provisioned {
  readonly organization: Organization
  /** False when this key was used before: the existing organization is returned unchanged. */
  readonly isNew: boolean
}

/**
 * Makes an organization with its roles, its owner and its plan: all of it, or nothing. Of two callers with one key the second waits
 * for the first, and gets the same organization.
 */
export async function provision(work: SystemWork, values: NewProvision): Promise<Provisioned> {
  const asked = parseInput(newProvision, values)
  // Outside of the transaction, since a key service may be asked. So a repeated call with a wrong key is refused too.
  await assertRightKey(work.scopeAbout(undefined), work, 'wrap', work.dataKeys.provider.activeId)
  const attempt = () => {
    const id = newId()
    const about = { kind: 'org', id } as const
    const made = async (scope: Scope): Promise<Provisioned> =>
      (await knownBy(scope, asked)) ?? { organization: await make(scope, id, asked, work.dataKeys), isNew: true }
    return operate(work, 'organizations.provision', about, made, { targetOf: ({ organization }) => organization.id })
  }
  try {
    return await attempt()
  } catch (error) {
    if (!(error instanceof ConflictError && error.fields.includes('provisionKey'))) throw error
    // Another caller was faster, or the organization was deleted, which the second attempt reports.
    return attempt()
  }
}

/** The organization that this key has made. */
async function knownBy(scope: Scope, asked: Provision): Promise<Provisioned | undefined> {
  const rows = allRows<Organization>(scope, organizations)
  const statement = ownStatement(
    rows.plan,
    provision,
    'known by key',
    false,
    ({ sql, selected, visible }) =>
      `select ${selected}, "provision_hash" is not distinct from $2::bytea from ${sql} where ${visible} and "provision_key" = $1::text`,
  )
  const found = await rows.run(
    statement,
    () => [asked.key, digestOfAsked(asked)],
    (result) => ({ organization: rows.rowsOf(result)[0], isSame: result.rows[0]?.at(-1) === true }),
  )
  if (found.organization === undefined) return undefined
  if (!found.isSame)
    throw new IdempotencyMismatchError(
      'this key has made an organization with other values: use those values, or another key',
    )
  return { organization: found.organization, isNew: false }
}

/** The rows may have been changed since, so what was asked for is compared. */
function digestOfAsked(asked: Provision): Buffer {
  return digestOf(
    Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== null && value !== undefined)),
  )
}

async function make(scope: Scope, id: string, asked: Provision, dataKeys: DataKeys): Promise<Organization> {
  // First, since a key service may take a while, and nothing is locked yet.
  const dataKey = await newKey(dataKeys, id)
  const { key, plan, owner, trialEndsAt, allowUserManagement = true, ...values } = asked
  const organization = await new ScopedTable<Organization>(scope, organizations).insertRow(newOrganization, values, {
    managed: {
      temporalNamespace: values.temporalNamespace ?? `org-${id}`,
      allowUserManagement,
      provisionKey: key,
      provisionHash: digestOfAsked(asked),
    },
    event: 'provision',
  })
  await addKey(scope, dataKey)
  await addRoles(scope)
  await addOwner(scope, await ownerOf(scope, owner))
  await subscribe(scope, plan, trialEndsAt)
  return organization
}

const builtInRole = z.strictObject({
  key: z.string(),
  name: z.string(),
  description: z.string(),
  appliesTo: z.enum(rolePlaces),
})
const rolePermission = z.strictObject({ roleKey: z.string(), permission: z.string() })

async function addRoles(scope: Scope): Promise<void> {
  const made = builtInRoles.map(({ key, name, description, appliesTo }) => ({ key, name, description, appliesTo }))
  await new ScopedTable(scope, roles).appendRows(builtInRole, made, { managed: { builtIn: true } })
  const held = builtInRoles.flatMap((role) => role.permissions.map((permission) => ({ roleKey: role.key, permission })))
  await new ScopedTable(scope, rolePermissions).appendRows(rolePermission, [...held, ...(await heldOfOwn(scope))])
}

type Held = z.input<typeof rolePermission>

/**
 * The host's permissions with the built-in roles that have them, as the last `migrate up` recorded them: so they are the same for every
 * organization, whichever build or command makes it.
 */
async function heldOfOwn(scope: Scope): Promise<Held[]> {
  const isRecorded = await scope.query(() =>
    planned({ statement: findRecord, values: [] }, ({ rows: [row] }) => row?.[0] === true),
  )
  if (!isRecorded) return []
  const held = await scope.query(() =>
    planned({ statement: recordedRoles, values: [] }, ({ rows }) =>
      rows.map(([roleKey, permission]) => ({ roleKey, permission }) as Held),
    ),
  )
  return held.filter(({ roleKey }) => builtInRoles.some(({ key }) => key === roleKey))
}

const findRecord = statement(`select pg_catalog.to_regclass('platform_migrations.inventory') is not null`, 'read')

const recordedRoles = statement(
  `select r.role, p.key from platform_migrations.inventory i join platform.permissions p on p.key = i.name
   cross join lateral pg_catalog.jsonb_array_elements_text(i.facts -> 'roles') r(role)
   where i.what = 'permission'`,
  'read',
)

type Owner = Pick<User, 'id' | 'email' | 'kind'>

/** The person who will own it: one who is there, or a new one. */
async function ownerOf(scope: Scope, asked: Provision['owner']): Promise<Owner> {
  const people = allRows<User>(scope, users)
  if ('userId' in asked) return live(scope, await people.lockRow(asked.userId))
  const { emailConfirmed = false, ...values } = asked
  const known = await people.findRow({ email: values.email })
  if (known === undefined) {
    const emailConfirmedAt = emailConfirmed ? await databaseTime(scope) : null
    return people.insertRow(newUser, values, { managed: { emailConfirmedAt } })
  }
  // Otherwise whoever registers an address that is not theirs would own what is made for its owner.
  if (known.emailConfirmedAt === null) {
    throw new ConflictError(
      'users',
      ['email'],
      'users: this address belongs to a person who has not confirmed it; name the owner by userId, or confirm the address first',
    )
  }
  return live(scope, await people.lockRow(known.id))
}

async function live(scope: Scope, person: User): Promise<Owner> {
  const { kind, status, bannedUntil } = person
  if (kind !== 'person') throw new ConflictError('users', ['kind'], 'users: a service cannot own an organization')
  if (status === 'active' && (bannedUntil === null || bannedUntil <= (await databaseTime(scope)))) return person
  throw new ConflictError('users', ['status'], 'users: a suspended or banned person cannot own an organization')
}

async function addOwner(scope: Scope, { id, email }: Owner): Promise<void> {
  const managed = { userId: id, email, role: 'owner' }
  await new ScopedTable(scope, organizationMembers).insertRow(shape.noInput, {}, { managed })
}

async function subscribe(scope: Scope, planId: string, trialEndsAt: Date | undefined): Promise<void> {
  const plan = await new ScopedTable<BillingPlan>(scope, billingPlans).findRow({ id: planId })
  if (plan?.active !== true)
    throw new InvalidInputError('plan', 'is not an active plan; `tenantry seed` makes the first ones')
  const start = await databaseTime(scope)
  const managed = {
    planId,
    planName: plan.name,
    status: trialEndsAt === undefined ? 'active' : 'trialing',
    currentPeriodStart: start,
    currentPeriodEnd: periodAfter(start, plan.interval, start.getUTCDate()),
    trialEndsAt,
  }
  await new ScopedTable(scope, subscriptions).insertRow(shape.noInput, {}, { managed })
}
