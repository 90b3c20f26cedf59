import { newId } from '../core/ids.js'
import type { Org } from '../org.js'
import type { Member, NewMember } from '../schema/members.js'
import type { OrgOptions, Tenancy } from '../tenancy.js'
import { type Given, nextNumber, readGiven } from './factory-values.js'

export interface NewOrgOptions extends OrgOptions {
  /** Default: the slug. */
  readonly name?: string | undefined
  /** Default: a new, unique slug. */
  readonly slug?: string | undefined
  /** The id of a plan. Default: `tier_enterprise`, which has no limits. */
  readonly plan?: string | undefined
}

/**
 * Provisions an organization, with the built-in roles and an owner whose address is confirmed, whom `org.members.list({ role: 'owner' })`
 * finds. The tenancy needs `systemUrl`, and the database the plans of `tenantry seed`.
 */
export async function newOrg(tenancy: Tenancy, options: NewOrgOptions = {}): Promise<Org> {
  const key = newId()
  const { slug = `org-${key}`, name = slug, plan = 'tier_enterprise', ...scope } = options
  const { organization } = await tenancy.system({ actor: 'newOrg', reason: 'a test' }).organizations.provision({
    key,
    name,
    slug,
    plan,
    owner: { email: `owner-${key}@example.com`, emailConfirmed: true },
  })
  return tenancy.forOrg(organization.id, scope)
}

/**
 * Registers a new person and makes them a member, by `org.members.add`: with the role `member`, where none is given. With `userId` it adds
 * somebody who is registered already.
 */
export async function addMember(tenancy: Tenancy, org: Org, values?: Given<NewMember>): Promise<Member> {
  const given = readGiven(values)
  const { email = `member-${nextNumber(org, 'member')}-${org.id}@example.com` } = given
  const { userId = (await tenancy.users.register({ email, emailConfirmed: true })).id } = given
  return org.members.add({ role: 'member', ...given, userId, email })
}

/**
 * The organization in the scope of a member: of a new person with that role, or of a member who exists already. Every call is checked
 * against the rights that the member has at the moment of this call. `asMember(tenancy, org, 'read_only')`
 */
export async function asMember(
  tenancy: Tenancy,
  org: Org,
  who: string | Member,
  options?: Omit<OrgOptions, 'actor'>,
): Promise<Org> {
  const { userId } = typeof who === 'string' ? await addMember(tenancy, org, { role: who }) : who
  // Rights are read by a scope without an actor, which `org` may have.
  const actor = await tenancy.forOrg(org.id).actorFor(userId)
  return tenancy.forOrg(org.id, { ...options, actor })
}
