import { NotFoundError, OrganizationSuspendedError } from '../core/errors.js'
import { parseId } from '../core/ids.js'
import { ownerId } from '../core/owner-id.js'
import { planned } from '../core/planned.js'
import type { Query } from '../core/query.js'
import type { Scope } from '../core/scope.js'
import { statement } from '../core/statement.js'
import type { Member } from '../schema/members.js'
import { ManagedMembers } from './manage-members.js'

/** An organization in which a person is an active member. */
export interface MyOrganization {
  readonly id: string
  readonly slug: string
  readonly name: string
  /** The key of the person's role there. */
  readonly role: string
  readonly status: 'active' | 'suspended'
}

/** The organizations of one person. */
export class MyOrganizations {
  constructor(
    private readonly scope: Scope,
    private readonly openOrg: (orgId: string) => Scope,
  ) {}

  /** By name. Empty for a person who is suspended, banned or deleted. */
  list(): Query<MyOrganization[]> {
    return this.scope.query(() =>
      planned({ statement: mine, values: [] }, ({ rows }) =>
        rows.map(([id, slug, name, role, status]) => ({ id, slug, name, role, status }) as MyOrganization),
      ),
    )
  }

  /**
   * Ends the person's membership, with their roles in projects and their keys. It needs no permission. Throws ConflictError for the last
   * active owner, NotFoundError where they are no member, whether the organization is there or not.
   */
  async leave(orgId: string): Promise<Member> {
    const userId = ownerId(this.scope, 'user')
    const left = this.openOrg(parseId(orgId, 'orgId')).steps(async (scope) => {
      const members = new ManagedMembers(scope)
      const member = await members.findByUser(userId)
      if (member === undefined) throw new NotFoundError(resource)
      return members.remove(member.id)
    })
    return left.catch(async (error: unknown) => {
      // An organization that cannot be entered is no other answer than one of others.
      if (error instanceof NotFoundError) throw new NotFoundError(resource)
      if (!(error instanceof OrganizationSuspendedError)) throw error
      const isMember = (await this.list()).some(({ id }) => id === orgId)
      throw isMember ? error : new NotFoundError(resource)
    })
  }
}

const resource = 'organization_members'

const mine = statement(
  'select o.id, o.slug, o.name, o.role, o.status from platform.my_organizations() o order by o.name, o.id',
  'read',
)
